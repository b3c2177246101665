//! What other software reads about this server: metadata and keys.
//!
//! ```text
//! GET /.well-known/openid-configuration, /.well-known/oauth-authorization-server -> metadata
//! GET /.well-known/jwks.json -> jwks
//! ```

use actix_web::HttpResponse;
use actix_web::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL};
use actix_web::web::Data;
use serde_json::{Value, json};

use crate::http::caller::{Anonymous, Call};
use crate::http::scope;
use crate::state::App;

/// Public documents: any page may read them, and caches may keep them for five minutes.
fn public(document: &Value) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .json(document)
}

/// `GET /.well-known/openid-configuration` (OpenID Connect Discovery, section 4) and
/// `GET /.well-known/oauth-authorization-server` (RFC 8414, section 3): one document, true to what is served.
pub async fn metadata(app: Data<App>, _call: Call<Anonymous>) -> HttpResponse {
    let base = &app.base_url;
    public(&json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/oauth/authorize"),
        "token_endpoint": format!("{base}/oauth/token"),
        "device_authorization_endpoint": format!("{base}/oauth/device_authorization"),
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [
            "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": scope::SUPPORTED,
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "sid", "at_hash", "email", "email_verified",
            "name", "picture",
        ],
        "authorization_response_iss_parameter_supported": true,
        // OpenID Connect Back-Channel Logout, section 2.1.
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    }))
}

/// `GET /.well-known/jwks.json` (RFC 7517)
pub async fn jwks(app: Data<App>, _call: Call<Anonymous>) -> HttpResponse {
    public(&app.signing_keys.jwks())
}
