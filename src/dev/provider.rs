//! The dev provider: a small OpenID provider inside the binary that signs in anybody as any e-mail address. It is
//! reached through the very path that a real provider is, so nothing in the login code knows it.
//!
//! ```text
//! GET authorize ──> page ──> POST authorize ──> code ──> POST token ──> id_token ──> (userinfo)
//! ```
//! It proves nothing about anybody: mount it in dev mode only, where the server listens on loopback only.

mod authority;
mod request;
mod shelf;
#[cfg(test)]
pub(crate) mod tests;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use askama::Template;
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded;

pub use self::authority::{CLIENT_ID, DevProvider, DevProviderError};
use self::authority::{Person, TokenRefusal, TokenRequest};
use self::request::{AuthorizeParams, AuthorizeRefusal};
use crate::http::caller::{Anonymous, Call};
use crate::http::resource::{At, at};
use crate::pages::{Policy, respond_with};

/// Where the provider is mounted, below the service's base URL.
pub const MOUNT_PATH: &str = "/dev/provider";

/// No `form-action`: browsers hold it against the redirects that follow the form, and those lead to the app that is
/// being developed, which may also be a native one with a scheme of its own (RFC 8252 section 7.1).
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; \
                           frame-ancestors 'none'";

/// The provider's routes, below [`MOUNT_PATH`]. They need a `web::Data<DevProvider>`.
#[must_use]
pub fn routes() -> Vec<At> {
    vec![
        at("/dev/provider/.well-known/openid-configuration").get(metadata),
        at("/dev/provider/jwks.json").get(jwks),
        at("/dev/provider/authorize").get(show_page).post(decide),
        at("/dev/provider/token").post(token),
        at("/dev/provider/userinfo").get(userinfo).post(userinfo),
    ]
}

/// The sign-in page.
#[derive(Template)]
#[template(path = "dev_sign_in.html")]
struct SignInPage<'a> {
    request: &'a AuthorizeParams,
    email: &'a str,
    name: &'a str,
    problem: Option<&'a str>,
}

/// What the sign-in page sends.
#[derive(Deserialize)]
pub struct SignInForm {
    #[serde(flatten)]
    request: AuthorizeParams,
    #[serde(default)]
    email: String,
    #[serde(default)]
    name: String,
    /// A checkbox: there when ticked.
    email_verified: Option<String>,
    decision: Option<String>,
}

/// `GET /.well-known/openid-configuration`: OpenID Connect Discovery 1.0 section 4.
pub async fn metadata(provider: web::Data<DevProvider>, _call: Call<Anonymous>) -> HttpResponse {
    HttpResponse::Ok().json(provider.metadata())
}

/// `GET /jwks.json`: RFC 7517.
pub async fn jwks(provider: web::Data<DevProvider>, _call: Call<Anonymous>) -> HttpResponse {
    HttpResponse::Ok().json(provider.jwks())
}

/// `GET /authorize`: checks the request and shows the page.
pub async fn show_page(
    http: HttpRequest,
    provider: web::Data<DevProvider>,
    _call: Call<Anonymous>,
) -> HttpResponse {
    let Ok(params) = web::Query::<AuthorizeParams>::from_query(http.query_string()) else {
        return refuse_on_page("A parameter occurs twice.");
    };
    match params.check(&provider) {
        Ok(_) => page(StatusCode::OK, &params, (params.login_hint.as_deref().unwrap_or(""), ""), None),
        Err(refusal) => refuse(&provider, refusal),
    }
}

/// `POST /authorize`: sends the browser back with a code, or with `access_denied`.
pub async fn decide(
    form: Result<web::Form<SignInForm>, actix_web::Error>,
    provider: web::Data<DevProvider>,
    _call: Call<Anonymous>,
) -> HttpResponse {
    let Ok(web::Form(form)) = form else {
        return refuse_on_page("The form cannot be read.");
    };
    let request = match form.request.check(&provider) {
        Ok(request) => request,
        Err(refusal) => return refuse(&provider, refusal),
    };
    if form.decision.as_deref() == Some("cancel") {
        let denied = AuthorizeRefusal::back(&request, "access_denied", "The person cancelled.");
        return refuse(&provider, denied);
    }
    let Some(person) = Person::new(&form.email, &form.name, form.email_verified.is_some()) else {
        let problem = Some("Enter an e-mail address, such as ada@example.com.");
        return page(StatusCode::BAD_REQUEST, &form.request, (&form.email, &form.name), problem);
    };
    match provider.issue_code(&request, person) {
        Ok(code) => {
            send_back(&provider, &request.redirect_uri, &[("code", &code), ("state", &request.state)])
        }
        Err(error) => server_error(&error),
    }
}

/// `POST /token`: RFC 6749 section 4.1.3.
pub async fn token(
    http: HttpRequest,
    form: Result<web::Form<TokenRequest>, actix_web::Error>,
    provider: web::Data<DevProvider>,
    _call: Call<Anonymous>,
) -> HttpResponse {
    let basic = http.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let answer = match form {
        Ok(form) => provider.redeem_code(&form, basic),
        Err(_) => Err(TokenRefusal::InvalidRequest),
    };
    match answer {
        Ok(tokens) => no_store(&mut HttpResponse::Ok()).json(tokens),
        Err(TokenRefusal::Internal(error)) => server_error(&error),
        // RFC 6749 section 5.2: 401 with the scheme that the client may use, else 400.
        Err(refusal @ TokenRefusal::InvalidClient) => no_store(&mut HttpResponse::Unauthorized())
            .insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"dev provider\""))
            .json(json!({ "error": refusal.code() })),
        Err(refusal) => no_store(&mut HttpResponse::BadRequest()).json(json!({ "error": refusal.code() })),
    }
}

/// `GET` or `POST /userinfo`: OpenID Connect Core 1.0 section 5.3.
pub async fn userinfo(
    http: HttpRequest,
    provider: web::Data<DevProvider>,
    _call: Call<Anonymous>,
) -> HttpResponse {
    let authorization = http.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
    match token.and_then(|token| provider.person(token)) {
        Some(person) => no_store(&mut HttpResponse::Ok()).json(person.claims()),
        None => no_store(&mut HttpResponse::Unauthorized())
            .insert_header((header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")) // RFC 6750 section 3
            .finish(),
    }
}

/// RFC 6749 section 4.1.2.1: back to the client when it is known to be the client, else to the person.
fn refuse(provider: &DevProvider, refusal: AuthorizeRefusal) -> HttpResponse {
    match refusal {
        AuthorizeRefusal::OnPage(problem) => refuse_on_page(problem),
        AuthorizeRefusal::Back { redirect_uri, state, error, description } => {
            let mut answer = vec![("error", error), ("error_description", description)];
            answer.extend(state.as_deref().map(|state| ("state", state)));
            send_back(provider, &redirect_uri, &answer)
        }
    }
}

/// Redirects to a checked redirect URI. 303, so that the browser does not repeat the form there (RFC 9700 section
/// 4.12); `iss` says who answers (RFC 9207 section 2).
fn send_back(provider: &DevProvider, redirect_uri: &str, answer: &[(&str, &str)]) -> HttpResponse {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(answer).append_pair("iss", provider.issuer());
    let separator = if redirect_uri.contains('?') { '&' } else { '?' };
    let location = format!("{redirect_uri}{separator}{}", query.finish());
    no_store(&mut HttpResponse::SeeOther()).insert_header((header::LOCATION, location)).finish()
}

fn refuse_on_page(problem: &str) -> HttpResponse {
    page(StatusCode::BAD_REQUEST, &AuthorizeParams::default(), ("", ""), Some(problem))
}

fn page(
    status: StatusCode,
    request: &AuthorizeParams,
    (email, name): (&str, &str),
    problem: Option<&str>,
) -> HttpResponse {
    let sign_in = SignInPage { request, email, name, problem };
    let mut response = respond_with(&sign_in, status, Policy::DevProvider);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    response
}

/// Codes, tokens and people's data: nobody keeps them (RFC 6749 section 5.1).
fn no_store(response: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    response.insert_header((header::CACHE_CONTROL, "no-store"))
}

fn server_error(error: &DevProviderError) -> HttpResponse {
    log::error!(reason = error.0; "dev provider failed");
    no_store(&mut HttpResponse::InternalServerError()).json(json!({ "error": "server_error" }))
}
