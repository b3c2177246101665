//! Sign-in in the browser, at a provider.
//!
//! ```text
//! GET /auth/{provider}                    app or device -> handlers::start
//! GET /auth/admin/{provider}              the same for the platform realm -> handlers::start_admin
//!   start: find service -> request::asked or device code -> departure::leave (seals state) -> provider
//! GET /oauth/authorize, POST              standard endpoint -> handlers::authorize -> authorize::authorize
//!   service -> pushed::effective -> request::asked -> the browser's session -> rules::next_step
//!     Continue: ContinueBrowserSession (write) -> app with code, or /oauth/consent (single sign-on)
//!     SignIn:   one of the providers, or a page to choose
//!     Refuse:   app with error
//! POST /oauth/par                         the same request, pushed beforehand -> par::push
//! GET /auth/{provider}/callback           -> handlers::callback
//! GET /auth/{provider}/callback/{org}     an organization's own client -> handlers::callback_own
//! GET /auth/admin/{provider}/callback     -> handlers::callback_admin
//!   open state -> claim it (write) -> provider.sign_in -> complete (write), which signs the browser in
//!     -> app with code, or a page that asks: /oauth/consent, /activate/confirm, /invitations/confirm
//! GET /auth/link/{provider}               one more account for a user -> linking::start_link
//! GET /auth/link/prove/{provider}         who is sitting there? -> linking::prove
//!     -> /auth/link/confirm
//! GET /oauth/consent, POST                may the service have it? -> consent::show, consent::decide
//!     -> GrantConsent (write) -> app with code
//! ```
//! Starting writes nothing: the state is sealed into a cookie of this very browser, and a row appears only when a
//! callback uses it up. Every answer to an app leaves through `answer`.

mod answer;
pub mod api;
mod arrival;
mod authorize;
pub mod consent;
mod departure;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod handlers;
pub mod linking;
pub mod par;
mod pushed;
mod request;
mod rules;
mod state;
