//! Sign-in in the browser, at a provider.
//!
//! ```text
//! GET /auth/{provider}                    app or device -> handlers::start
//! GET /auth/admin/{provider}              the same for the platform realm -> handlers::start_admin
//! GET /oauth/authorize                    standard endpoint -> handlers::authorize -> one of the providers
//!   start: find service -> request::web or device code -> departure::leave (seals state) -> provider
//! GET /auth/link/{provider}               one more account for a user -> linking::start_link
//! GET /auth/link/prove/{provider}         who is sitting there? -> linking::prove
//! GET /auth/{provider}/callback           -> handlers::callback
//! GET /auth/{provider}/callback/{org}     an organization's own client -> handlers::callback_own
//! GET /auth/admin/{provider}/callback     -> handlers::callback_admin
//!   open state -> claim it (write) -> provider.sign_in -> complete (write) -> app with code, or a confirm page
//!   (of a device: /activate/confirm; of an invitation: /invitations/confirm; of a link: /auth/link/confirm)
//! ```
//! Starting writes nothing: the state is sealed into a cookie of this very browser, and a row appears only when a
//! callback uses it up.

mod arrival;
mod departure;
mod failure;
pub mod handlers;
pub mod linking;
mod request;
mod state;
