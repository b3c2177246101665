//! What other software reads about this server: metadata and keys.
//!
//! ```text
//! GET /.well-known/openid-configuration, /.well-known/oauth-authorization-server -> metadata
//! GET /.well-known/jwks.json -> jwks
//! ```

pub mod api;

use actix_web::http::header::{CACHE_CONTROL, ContentType, ETag, EntityTag, IfNoneMatch};
use actix_web::web::Data;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::data::client_registration::{AuthMethod, SigningAlgorithm};
use serde_json::{Value, json};

use crate::crypto::client_keys::ALGORITHMS;
use crate::crypto::token::sha256;
use crate::http::caller::{Anonymous, Call};
use crate::http::scope;
use crate::state::App;

/// Public documents: caches may keep them for five minutes and ask then whether they changed (RFC 9110, section 13.1.2).
fn public(request: &HttpRequest, document: &Value) -> HttpResponse {
    let body = document.to_string();
    let tag = URL_SAFE_NO_PAD.encode(sha256(body.as_bytes()).get(..16).unwrap_or_default());
    let tag = EntityTag::new_strong(tag);
    let unchanged = match request.get_header::<IfNoneMatch>() {
        Some(IfNoneMatch::Any) => true,
        Some(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(&tag)),
        None => false,
    };
    let mut response = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((CACHE_CONTROL, "public, max-age=300")).insert_header(ETag(tag));
    if unchanged { response.finish() } else { response.content_type(ContentType::json()).body(body) }
}

/// `GET /.well-known/openid-configuration` (OpenID Connect Discovery, section 4) and
/// `GET /.well-known/oauth-authorization-server` (RFC 8414, section 3): one document, true to what is served.
pub async fn metadata(app: Data<App>, request: HttpRequest, _call: Call<Anonymous>) -> HttpResponse {
    let base = &app.base_url;
    let document = json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/oauth/authorize"),
        "token_endpoint": format!("{base}/oauth/token"),
        "pushed_authorization_request_endpoint": format!("{base}/oauth/par"),
        "device_authorization_endpoint": format!("{base}/oauth/device_authorization"),
        "userinfo_endpoint": format!("{base}/oauth/userinfo"),
        "introspection_endpoint": format!("{base}/oauth/introspect"),
        "introspection_endpoint_auth_methods_supported": [
            "client_secret_basic", "client_secret_post", "private_key_jwt",
        ],
        "introspection_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "revocation_endpoint": format!("{base}/oauth/revoke"),
        "revocation_endpoint_auth_methods_supported": AuthMethod::ALL.map(AuthMethod::as_str),
        "revocation_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "end_session_endpoint": format!("{base}/oauth/logout"),
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "grant_types_supported": [
            "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code",
            "client_credentials",
        ],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": SigningAlgorithm::ALL.map(SigningAlgorithm::as_str),
        "token_endpoint_auth_methods_supported": AuthMethod::ALL.map(AuthMethod::as_str),
        "token_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "dpop_signing_alg_values_supported": ALGORITHMS,
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": scope::SUPPORTED,
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "amr", "nonce", "sid", "at_hash", "email", "email_verified",
            "name", "picture",
        ],
        "authorization_response_iss_parameter_supported": true,
        "claims_parameter_supported": false,
        // OpenID Connect Back-Channel Logout, section 2.1.
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    });
    public(&request, &document)
}

/// `GET /.well-known/jwks.json` (RFC 7517)
pub async fn jwks(app: Data<App>, request: HttpRequest, _call: Call<Anonymous>) -> HttpResponse {
    public(&request, &app.signing_keys.jwks())
}
