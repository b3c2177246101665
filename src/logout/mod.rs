//! Signing out at this server because an app asks for it: OpenID Connect RP-Initiated Logout 1.0. Pages only: nothing
//! here answers a script of another origin.
//!
//! ```text
//! GET, POST /oauth/logout -> handlers::{by_query, by_form} -> Wish::read (hint, client, destination)
//!   the hint names the person of this browser -> SignOut (write) -> the app's page, or ours
//!   no hint, or somebody else's               -> the question, with an anti-forgery value in a sealed cookie
//! POST /oauth/logout/confirm -> handlers::confirm -> SignOut (write) -> the app's page, or ours
//! ```

pub mod api;
pub mod handlers;
mod wish;
