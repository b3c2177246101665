//! Tokens as others ask about them or give them up.
//!
//! ```text
//! GET, POST /oauth/userinfo -> handlers::userinfo   (OpenID Connect Core, section 5.3)
//!   Bearer (judged) -> http::claims
//! POST /oauth/introspect    -> handlers::introspect (RFC 7662)
//!   confidential client -> judge, or one read for a refresh token -> view: what it says, or {"active":false}
//! POST /oauth/revoke        -> handlers::revoke     (RFC 7009)
//!   client -> whose token? -> one write: this access token, or the refresh token's session
//! ```

pub mod api;
pub mod handlers;
mod view;
