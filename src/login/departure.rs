//! Sending the browser to a provider.

use actix_web::cookie::Cookie;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::data::services::Service;

use super::state::{COOKIE_PREFIX, LIFETIME_SECONDS, LoginState, OwnClient, Purpose};
use crate::error::{Code, Error};
use crate::http::connection::{Connection, callback_uri, http_client};
use crate::http::redirect::see_other;
use crate::state::App;
use crate::upstream::{AuthorizationRequest, Effort, UpstreamError};

/// Cookies of one kind that one browser may have at a time; older ones are forgotten.
const MAX_UNDER_WAY: usize = 4;
/// Names that one answer forgets at most: who sends thousands must not get thousands back.
const MAX_FORGOTTEN: usize = 8;
/// What browsers keep of one cookie, in bytes, name and attributes included.
const MAX_COOKIE: usize = 4096;

/// A browser that is about to leave.
pub(super) struct Departure<'a> {
    pub(super) connection: Connection,
    pub(super) service: &'a Service,
    pub(super) purpose: Purpose,
    /// Who is expected to sign in, as the app says; passed on.
    pub(super) login_hint: Option<&'a str>,
    /// What the provider is to ask of the person.
    pub(super) effort: Effort,
}

/// Seals the state into a cookie and redirects to the provider.
pub(super) async fn leave(
    app: &App,
    request: &HttpRequest,
    departure: Departure<'_>,
) -> Result<HttpResponse, Error> {
    let Departure { connection, service, purpose, login_hint, effort } = departure;
    let Connection { provider, credential_version } = connection;
    let random = || URL_SAFE_NO_PAD.encode(app.random.bytes::<32>());
    let login = LoginState {
        state: random(),
        nonce: random(),
        code_verifier: random(),
        provider: provider.kind().as_str().to_owned(),
        own: credential_version.map(|version_id| OwnClient { version_id }),
        keeps_tokens: !service.provider_scopes(provider.kind().as_str()).is_empty(),
        is_platform: service.is_platform,
        org_id: service.org_id,
        org_slug: service.org_slug.clone(),
        service_id: service.id,
        started_at: app.clock.now(),
        purpose,
    };
    let url = provider
        .authorization_url(
            http_client(request, &provider)?,
            &*app.clock,
            &AuthorizationRequest {
                redirect_uri: &callback_of(app, &login),
                state: &login.state,
                nonce: &login.nonce,
                code_verifier: &login.code_verifier,
                login_hint,
                effort,
                scopes: service.provider_scopes(&login.provider),
                consent_again: matches!(login.purpose, Purpose::Link { .. }),
            },
        )
        .await
        .map_err(|error| provider_failed(&error))?;
    let name = LoginState::cookie_name(&login.state);
    let cookie = app.cookies.seal(&app.keys.cookies, &app.random, (&name, &login), LIFETIME_SECONDS)?;
    let mut response = see_other(url.as_str());
    add_beside_others(app, request, &mut response, (COOKIE_PREFIX, cookie))?;
    Ok(response)
}

/// Adds a cookie whose name begins with `prefix`, and forgets the oldest of its kind when there are too many.
pub(super) fn add_beside_others(
    app: &App,
    request: &HttpRequest,
    response: &mut HttpResponse,
    (prefix, cookie): (&str, Cookie<'static>),
) -> Result<(), Error> {
    if cookie.to_string().len() > MAX_COOKIE {
        return Err(Error::bad_request("The request is too long: shorten state or nonce."));
    }
    let under_way = app.cookies.names_with(request, prefix);
    let surplus = (under_way.len() + 1).saturating_sub(MAX_UNDER_WAY).min(MAX_FORGOTTEN);
    let forgotten = under_way.iter().take(surplus).map(|old| app.cookies.remove(old));
    for cookie in forgotten.chain([cookie]) {
        response.add_cookie(&cookie).map_err(Error::internal)?;
    }
    Ok(())
}

/// The redirect URI that a sign-in leaves with and comes back to.
pub(super) fn callback_of(app: &App, login: &LoginState) -> String {
    callback_uri(app, login.is_platform, &login.provider, login.own_callback())
}

/// The provider is at fault (502), or it refused this very sign-in (400).
pub(super) fn provider_failed(error: &UpstreamError) -> Error {
    let outward = match error {
        // An answer that was mixed up (RFC 9700, section 4.4) may be an attack on the person: it is told here, to nobody else.
        UpstreamError::WrongIssuer => Error::bad_request(
            "This answer came from another provider than the one that you were sent to. Start again.",
        ),
        UpstreamError::Refused { .. } | UpstreamError::IdToken(_) => {
            Error::new(Code::AccessDenied, "The provider did not confirm this sign-in. Please start again.")
        }
        UpstreamError::Unreachable(_) | UpstreamError::Timeout => {
            Error::new(Code::OAuthError, "The sign-in provider cannot be reached. Try again in a moment.")
                .oauth("temporarily_unavailable")
        }
        _ => Error::new(
            Code::OAuthError,
            "The sign-in provider did not answer as it should. Try again in a moment.",
        ),
    };
    Error { internal: Some(error.to_string()), ..outward }
}
