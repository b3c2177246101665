//! Tokens: how they are granted, refreshed and given up.
//!
//! ```text
//! POST /auth/token = POST /oauth/token -> handlers::token -> grants::{authorization_code, device_code, refresh},
//!                                                           client_credentials::grant
//! POST /api/auth/refresh               -> handlers::refresh -> grants::refresh
//!   parse -> client -> one write (checks and opens or rotates) -> view::TokenAnswer (signs)
//! POST /api/auth/logout                -> handlers::logout -> EndSession (write)
//! GET /api/auth/sessions               -> own::list -> OwnSessions (read), with what http::last_used has noted
//! DELETE /api/auth/sessions/{id}       -> own::end_one -> EndOwnSession (write, audited)
//! DELETE /api/auth/sessions            -> own::end_others -> EndOtherSessions (write, audited)
//! ```

pub mod api;
mod client_credentials;
mod grants;
pub mod handlers;
pub mod own;
mod view;
