//! Who may call from a page of another origin (Fetch, CORS). Tokens travel in headers and bodies, never in cookies, so
//! no answer allows credentials, and none is for everybody.
//!
//! ```text
//! endpoints of tokens, userinfo, keys, metadata -> origins of registered redirect URIs, and CORS_ALLOWED_ORIGINS
//! /api/...                                      -> CORS_ALLOWED_ORIGINS
//! everything else (pages, authorize, logout)    -> nobody (RFC 9700, section 2.6)
//! ```
//! The token endpoint learns the client from the body, which a preflight does not have. So what counts is whether any
//! live service registered the origin; whether it is this client's is for the client's own authentication to say.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue,
    ORIGIN, VARY,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse};
use gatehouse_actors::data::redirect_origins::{IsRedirectOrigin, origin_of};

use crate::state::App;

/// How long a browser may keep the answer to a preflight, in seconds. Short: a registration may change.
const MAX_AGE: &str = "600";

/// Whose pages may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// Pages of registered apps, and those that the operator names.
    ToApps(&'static str),
    /// Those that the operator names.
    ToOperator(&'static str),
}

impl Open {
    /// What is open at an address, with its methods. An address that is not named is closed.
    fn at(path: &str) -> Option<Self> {
        match path {
            "/auth/token" | "/oauth/token" | "/oauth/par" | "/oauth/revoke" => Some(Self::ToApps("POST")),
            "/oauth/userinfo" => Some(Self::ToApps("GET, POST")),
            "/.well-known/jwks.json"
            | "/.well-known/openid-configuration"
            | "/.well-known/oauth-authorization-server" => Some(Self::ToApps("GET")),
            path if path.starts_with("/api/") => Some(Self::ToOperator("GET, POST, PATCH, DELETE")),
            _ => None,
        }
    }

    fn methods(self) -> &'static str {
        match self {
            Self::ToApps(methods) | Self::ToOperator(methods) => methods,
        }
    }
}

/// Answers preflights and marks answers that a page may read.
pub async fn answers(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(open) = Open::at(request.path()) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let allowed = allowed_origin(&request, open).await;
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match &allowed {
        Some(_) if is_preflight => request.into_response(preflight(open)),
        _ => next.call(request).await?.map_into_boxed_body(),
    };
    let headers = response.headers_mut();
    // Also where nobody is allowed: a cache must not hand one origin's answer to another.
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("www-authenticate, retry-after, dpop-nonce, x-request-id"),
        );
    }
    Ok(response)
}

fn preflight(open: Open) -> HttpResponse {
    HttpResponse::build(StatusCode::NO_CONTENT)
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, open.methods()))
        .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, dpop"))
        .insert_header((ACCESS_CONTROL_MAX_AGE, MAX_AGE))
        .finish()
}

/// The origin that asks, if it may. What cannot be found out is not allowed.
async fn allowed_origin(request: &ServiceRequest, open: Open) -> Option<HeaderValue> {
    let mut origins = request.headers().get_all(ORIGIN);
    let header = origins.next()?;
    if origins.next().is_some() {
        return None;
    }
    let origin = header.to_str().ok()?;
    let app = request.app_data::<Data<App>>()?;
    if app.config.cors_allowed_origins.iter().any(|allowed| allowed == origin) {
        return Some(header.clone());
    }
    match open {
        Open::ToOperator(_) => None,
        Open::ToApps(_) => is_of_an_app(app, origin).await.then(|| header.clone()),
    }
}

async fn is_of_an_app(app: &App, origin: &str) -> bool {
    let of_platform =
        app.platform_redirect_uris().iter().any(|uri| origin_of(uri).as_deref() == Some(origin));
    if of_platform {
        return true;
    }
    match app.store.read(IsRedirectOrigin { origin: origin.to_owned() }).await {
        Ok(known) => known,
        Err(error) => {
            log::warn!(reason:% = error; "origin not looked up");
            false
        }
    }
}
