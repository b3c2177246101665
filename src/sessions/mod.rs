//! Tokens: how they are granted, refreshed and given up.
//!
//! ```text
//! POST /auth/token = POST /oauth/token -> handlers::token -> grants::{authorization_code, device_code, refresh},
//!                                                           client_credentials::grant
//! POST /api/auth/refresh               -> handlers::refresh -> grants::refresh
//!   parse -> client -> one write (checks and opens or rotates) -> view::TokenAnswer (signs)
//! POST /api/auth/logout                -> handlers::logout -> EndSession (write)
//! ```

mod client_credentials;
mod grants;
pub mod handlers;
mod view;
