//! An organization's own clients at providers: bring-your-own credentials.
//!
//! ```text
//! GET    /api/organizations/{org}/oauth-credentials                -> handlers::list
//! GET    /api/organizations/{org}/oauth-credentials/{provider}     -> handlers::show
//! POST   /api/organizations/{org}/oauth-credentials/{provider}     -> handlers::save
//! DELETE /api/organizations/{org}/oauth-credentials/{provider}     -> handlers::delete
//!   save: rules::new_credential -> for oidc: discover and check the issuer -> seal the secret -> write
//! ```
//! What is saved here is used by [`crate::http::connection`] from the next request on. The secret never leaves again.

pub mod api;
pub mod handlers;
mod rules;
mod view;
