//! One table of errors, three renderings: JSON for APIs, RFC 6749 JSON for OAuth routes, a page for people.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};

use super::observe::RequestId;
use crate::error::{Code, Error};
use crate::pages::{ErrorPage, respond};
use crate::state::{App, rfc3339};

/// How errors look to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// The product's own JSON, with the members of RFC 9457.
    Api,
    /// RFC 6749, section 5.2.
    OAuth,
    /// HTML for a person.
    Page,
}

impl Dialect {
    fn of(path: &str, accept: &str) -> Self {
        const OAUTH: [&str; 8] = [
            "/auth/token",
            "/auth/device/",
            "/oauth/token",
            "/oauth/par",
            "/oauth/device_authorization",
            "/oauth/introspect",
            "/oauth/revoke",
            "/oauth/userinfo",
        ];
        const PAGES: [&str; 8] = [
            "/auth/",
            "/oauth/authorize",
            "/oauth/consent",
            "/oauth/logout",
            "/activate",
            "/invitations/",
            "/dev",
            "/docs",
        ];
        if OAUTH.iter().any(|route| path.starts_with(route)) {
            return Self::OAuth;
        }
        let is_page = PAGES.iter().any(|route| path.starts_with(route));
        match (is_page, accept.contains("text/html"), accept.contains("json")) {
            (true, false, true) => Self::Api,
            (true, ..) => Self::Page,
            (false, true, _) if !path.starts_with("/api/") => Self::Page,
            _ => Self::Api,
        }
    }
}

/// Gives every error answer its body. Around everything that can fail, so that nothing escapes the table.
pub async fn render_errors(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let response = next.call(request).await?.map_into_boxed_body();
    let error = match response.response().error() {
        Some(error) => error.as_error::<Error>().cloned().unwrap_or_else(|| framework_error(error)),
        None => return Ok(response),
    };
    let request = response.request().clone();
    let headers = response.headers().clone();
    let mut rendered = render(&request, &error);
    for (name, value) in &headers {
        if !rendered.headers().contains_key(name) {
            rendered.headers_mut().append(name.clone(), value.clone());
        }
    }
    Ok(response.into_response(rendered))
}

/// An error that the framework made, such as a request line that it could not read.
fn framework_error(error: &actix_web::Error) -> Error {
    match error.as_response_error().status_code() {
        StatusCode::NOT_FOUND => Error::new(Code::NotFound, "There is nothing at this address."),
        StatusCode::PAYLOAD_TOO_LARGE => Error::new(Code::PayloadTooLarge, "The request is too large."),
        status if status.is_client_error() => Error::bad_request("The request could not be read."),
        _ => Error::internal(error),
    }
}

fn render(request: &HttpRequest, error: &Error) -> HttpResponse {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let dialect = Dialect::of(request.path(), accept);
    let mut response = match dialect {
        Dialect::Page => page(request, error),
        Dialect::Api | Dialect::OAuth => {
            let problem = accept.contains("application/problem+json");
            let content_type = if problem { "application/problem+json" } else { "application/json" };
            let body = Value::Object(json_body(request, error, dialect)).to_string();
            let mut response = HttpResponse::build(error.code.row().1);
            response.insert_header((CONTENT_TYPE, content_type)).body(body)
        }
    };
    add_headers(response.headers_mut(), error, presented_token(request));
    response
}

fn json_body(request: &HttpRequest, error: &Error, dialect: Dialect) -> Map<String, Value> {
    let (name, status, _) = error.code.row();
    let now = request.app_data::<Data<App>>().map(|app| rfc3339(app.clock.now()));
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    match dialect {
        Dialect::OAuth => {
            put("error", json!(error.oauth_code()));
            put("error_description", json!(error.message));
        }
        Dialect::Api | Dialect::Page => {
            put("error", json!(error.message));
        }
    }
    put("error_code", json!(name));
    put("timestamp", json!(now));
    // RFC 9457. `about:blank`: the title is the status' own phrase and the code says the rest.
    put("type", json!("about:blank"));
    put("title", json!(status.canonical_reason()));
    put("status", json!(status.as_u16()));
    put("detail", json!(error.message));
    put("instance", json!(request_id(request)));
    if let Some((member, value)) = error.more.as_deref().and_then(|more| more.member.as_ref()) {
        put(member, json!(value));
    }
    if !error.fields.is_empty() {
        put("fields", json!(error.fields));
    }
    body
}

fn page(request: &HttpRequest, error: &Error) -> HttpResponse {
    let (_, status, _) = error.code.row();
    let title = match status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::BAD_GATEWAY => "The provider did not answer properly",
        StatusCode::SERVICE_UNAVAILABLE => "Busy",
        status if status.is_server_error() => "Something went wrong",
        _ => "This did not work",
    };
    let page = ErrorPage {
        status: status.as_u16(),
        title: title.to_owned(),
        message: error.message.clone().into_owned(),
        request_id: request_id(request),
        action: None,
    };
    respond(&page, status)
}

fn add_headers(headers: &mut HeaderMap, error: &Error, presented: Presented) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = error.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    let allow = error.more.as_deref().and_then(|more| more.allow.as_deref());
    if let Some(allow) = allow.and_then(|allow| HeaderValue::from_str(allow).ok()) {
        headers.insert(ALLOW, allow);
    }
    if let Some(challenge) = challenge(error, presented) {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
}

fn challenge(error: &Error, presented: Presented) -> Option<&'static str> {
    match (error.code, error.oauth_error) {
        // RFC 6750, section 3.1: the token is good, but not for this.
        (Code::Forbidden, Some("insufficient_scope")) => {
            Some("Bearer realm=\"gatehouse\", error=\"insufficient_scope\", scope=\"openid\"")
        }
        (code, _) if code.row().1 != StatusCode::UNAUTHORIZED => None,
        // RFC 6749, section 5.2.
        (Code::InvalidClient, _) => Some("Basic realm=\"gatehouse\""),
        // RFC 9449, section 7.1.
        (_, Some("invalid_dpop_proof")) => Some(
            "DPoP realm=\"gatehouse\", error=\"invalid_dpop_proof\", algs=\"ES256 EdDSA Ed25519 RS256 PS256\"",
        ),
        (_, oauth_error) => match presented {
            Presented::Bound => Some(
                "DPoP realm=\"gatehouse\", error=\"invalid_token\", algs=\"ES256 EdDSA Ed25519 RS256 PS256\"",
            ),
            Presented::Bearer => Some("Bearer realm=\"gatehouse\", error=\"invalid_token\""),
            Presented::Nothing if oauth_error == Some("invalid_token") => {
                Some("Bearer realm=\"gatehouse\", error=\"invalid_token\"")
            }
            // RFC 6750, section 3.1: no error code when no token was presented, or something else than a token.
            Presented::Nothing => Some("Bearer realm=\"gatehouse\""),
        },
    }
}

/// What kind of token a request presents.
#[derive(Clone, Copy)]
enum Presented {
    Nothing,
    Bearer,
    Bound,
}

fn presented_token(request: &HttpRequest) -> Presented {
    let value = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match value.and_then(|text| text.split_once(' ')) {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("bearer") => Presented::Bearer,
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("dpop") => Presented::Bound,
        _ => Presented::Nothing,
    }
}

fn request_id(request: &HttpRequest) -> String {
    request.extensions().get::<RequestId>().map(|id| id.0.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_route_decides_who_is_spoken_to() {
        for (path, accept, dialect) in [
            ("/api/user", "*/*", Dialect::Api),
            ("/api/user", "text/html", Dialect::Api),
            ("/auth/token", "text/html", Dialect::OAuth),
            ("/auth/device/code", "*/*", Dialect::OAuth),
            ("/oauth/token", "*/*", Dialect::OAuth),
            ("/auth/github", "*/*", Dialect::Page),
            ("/auth/github/callback", "application/json", Dialect::Api),
            ("/activate", "text/html,*/*", Dialect::Page),
            ("/nowhere", "*/*", Dialect::Api),
            ("/nowhere", "text/html", Dialect::Page),
        ] {
            assert_eq!(Dialect::of(path, accept), dialect, "{path} {accept}");
        }
    }
}
