//! The users of an organization's services, as its administrators see them.
//!
//! ```text
//! GET    /{org}/users                -> list       page, limit, service_slug, email (part of the address)
//! GET    /{org}/users/{id}           -> show
//! DELETE /{org}/users/{id}/sessions  -> sign_out   in this organization; that is the only one that knows this user
//! DELETE /{org}/users/{id}           -> erase      personal data goes, counts stay
//! ```

pub mod api;
pub mod handlers;
mod view;
