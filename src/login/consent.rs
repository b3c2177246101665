//! The page on which a person allows or denies a service what it asks for.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::browser_sessions::BrowserSession;
use gatehouse_actors::data::client_registration::ServiceScope;
use gatehouse_actors::data::services::{Service, ServiceById};
use gatehouse_actors::data::sign_in::{ContinueRefusal, GrantConsent};
use gatehouse_actors::data::waiting_grants::DenyConsent;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::answer;
use super::authorize::refused;
use super::departure::add_beside_others;
use super::state::WebRequest;
use crate::config::provider::ProviderKind;
use crate::crypto::token::{TokenSecret, sha256};
use crate::error::{Code, Error};
use crate::http::address::seen_from;
use crate::http::browser_session;
use crate::http::caller::{Anonymous, Call};
use crate::http::input::{Form, Params, Query};
use crate::http::origin::check_origin;
use crate::http::redirect::{see_other, with_params};
use crate::pages::{Consent, Policy, ScopeRow, respond_with};
use crate::state::App;

type Answer = Result<HttpResponse, Error>;

const PATH: &str = "/oauth/consent";
/// How long the person may think about it, in seconds.
const LIFETIME_SECONDS: i64 = 10 * 60;
/// Every cookie of a question begins like this; the rest is the question's own, so that tabs do not collide.
const COOKIE_PREFIX: &str = "gatehouse-consent-";

/// The service that asks, and the realm that it belongs to.
#[derive(Clone, Copy)]
pub(super) struct Realm<'a> {
    pub(super) org_id: i64,
    pub(super) org_slug: &'a str,
    pub(super) service_id: i64,
}

/// A question that waits for its answer, sealed into a cookie of the browser that was asked. It opens nothing by
/// itself: the answer also needs that browser's session, of the same person.
#[derive(Serialize, Deserialize)]
struct Question {
    ticket: String,
    /// Must come back in the form.
    csrf: String,
    org_id: i64,
    org_slug: String,
    service_id: i64,
    user_id: i64,
    expires_at: Millis,
    web: WebRequest,
}

/// Sends the browser to the page.
pub(super) fn ask(
    app: &App,
    request: &HttpRequest,
    realm: Realm<'_>,
    (user_id, web): (i64, &WebRequest),
) -> Answer {
    let question = Question {
        ticket: URL_SAFE_NO_PAD.encode(app.random.bytes::<12>()),
        csrf: URL_SAFE_NO_PAD.encode(app.random.bytes::<32>()),
        org_id: realm.org_id,
        org_slug: realm.org_slug.to_owned(),
        service_id: realm.service_id,
        user_id,
        expires_at: app.clock.now() + LIFETIME_SECONDS * 1000,
        web: web.clone(),
    };
    let name = cookie_name(&question.ticket);
    let cookie = app.cookies.seal(&app.keys.cookies, &app.random, (&name, &question), LIFETIME_SECONDS)?;
    let mut response = see_other(&with_params(PATH, &[("ticket", &question.ticket)]));
    add_beside_others(app, request, &mut response, (COOKIE_PREFIX, cookie))?;
    Ok(response)
}

fn cookie_name(ticket: &str) -> String {
    format!("{COOKIE_PREFIX}{ticket}")
}

/// `GET /oauth/consent`
pub async fn show(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Query>) -> Answer {
    let question = open(&app, &request, &call.input.0)?;
    let (service, session) = parties(&app, &request, &question).await?;
    let provider = session.provider.parse::<ProviderKind>();
    let page = Consent {
        account: session.email.or(session.name).unwrap_or_default(),
        account_provider: provider.map(|kind| kind.display_name().to_owned()).unwrap_or_default(),
        scopes: describe(&question.web.scope, &service.registration.scopes),
        is_third_party: service.registration.is_third_party,
        destination: host(&question.web.destination.redirect_uri),
        service_name: service.name,
        organization_name: service.org_name,
        ticket: question.ticket,
        csrf: question.csrf,
    };
    Ok(respond_with(&page, StatusCode::OK, Policy::Handover))
}

/// `POST /oauth/consent`
pub async fn decide(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Form>) -> Answer {
    check_origin(&app, &request)?;
    let params = call.input.0;
    let question = open(&app, &request, &params)?;
    let csrf = params.get("csrf").unwrap_or_default();
    if !bool::from(csrf.as_bytes().ct_eq(question.csrf.as_bytes())) {
        return Err(Error::new(Code::Forbidden, "This form does not belong to your sign-in. Start again."));
    }
    let allowed = match params.get("decision") {
        Some("allow") => true,
        Some("deny") => false,
        _ => return Err(Error::invalid("decision", "The decision must be allow or deny.")),
    };
    let destination = &question.web.destination;
    let outcome = if allowed { allow(&app, &request, &question).await } else { deny(&app, &question).await };
    let mut response = outcome.unwrap_or_else(|error| answer::error(&app, destination, &error));
    let used = app.cookies.remove(&cookie_name(&question.ticket));
    response.add_cookie(&used).map_err(Error::internal)?;
    Ok(response)
}

/// RFC 6749, section 4.1.2.1. What the provider gave for the service is forgotten.
async fn deny(app: &App, question: &Question) -> Answer {
    let deny = DenyConsent { user_id: question.user_id, service_id: question.service_id };
    app.store.write(deny).await.map_err(|error| Error::from_op(error, |()| Error::internal("refused")))?;
    Err(Error::new(Code::AccessDenied, "The person did not allow it."))
}

async fn allow(app: &App, request: &HttpRequest, question: &Question) -> Answer {
    let token = browser_session::presented(app, request, &question.org_slug);
    let secret: TokenSecret = app.random.bytes();
    let grant = GrantConsent {
        token: token.ok_or_else(|| refused(ContinueRefusal::NotSignedIn))?,
        org_id: question.org_id,
        user_id: question.user_id,
        service_id: question.service_id,
        code: question.web.code(sha256(&secret), seen_from(app, request)),
        now: app.clock.now(),
    };
    let id = app.store.write(grant).await.map_err(|error| Error::from_op(error, refused))?;
    Ok(answer::code(app, &question.web.destination, id, &secret))
}

/// The question of this browser that the ticket names.
fn open(app: &App, request: &HttpRequest, params: &Params) -> Result<Question, Error> {
    let ticket = params.get("ticket").filter(|ticket| ticket.len() <= 32).ok_or_else(stale)?;
    let question: Option<Question> = app.cookies.open(&app.keys.cookies, request, &cookie_name(ticket));
    question.filter(|question| app.clock.now() < question.expires_at).ok_or_else(stale)
}

/// The service that asks and the session of the person who is asked, as they are now.
async fn parties(
    app: &App,
    request: &HttpRequest,
    question: &Question,
) -> Result<(Service, BrowserSession), Error> {
    let service = app.store.read(ServiceById { id: question.service_id }).await?;
    let service = service.filter(|service| service.org_id == question.org_id).ok_or_else(stale)?;
    let session = browser_session::of(app, request, &service).await?;
    let session = session.filter(|session| session.user_id == question.user_id).ok_or_else(stale)?;
    Ok((service, session))
}

/// What each word of a scope means to the person who is asked: in our words, or in those of the organization.
fn describe(scope: &str, defined: &[ServiceScope]) -> Vec<ScopeRow> {
    let own = |word: &str| match word {
        "openid" => Some("Know that it is you, by an identifier of your account"),
        "profile" => Some("See your name and picture"),
        "email" => Some("See your e-mail address"),
        "offline_access" => Some("Stay signed in while you are away"),
        _ => None,
    };
    let theirs =
        |word: &str| defined.iter().find(|scope| scope.name == word).map(|scope| scope.description.as_str());
    let row = |word: &str| ScopeRow {
        name: word.to_owned(),
        description: own(word).or_else(|| theirs(word)).unwrap_or_default().to_owned(),
    };
    scope.split(' ').filter(|word| !word.is_empty()).map(row).collect()
}

fn stale() -> Error {
    Error::bad_request(
        "This sign-in has expired or was made in another browser. Go back to the app and start again.",
    )
}

/// Where the answer goes, as a person reads it: the host, or an app on the device.
fn host(redirect_uri: &str) -> String {
    let url = url::Url::parse(redirect_uri).ok();
    let host = url.as_ref().filter(|url| url.scheme().starts_with("http")).and_then(url::Url::host_str);
    match host {
        None | Some("127.0.0.1" | "[::1]" | "localhost") => "an app on this device".to_owned(),
        Some(host) => host.to_owned(),
    }
}
