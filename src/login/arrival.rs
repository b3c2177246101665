//! The browser is back from the provider.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::data::browser_sessions::NewBrowserSession;
use gatehouse_actors::data::device_codes::DeviceCodeRefusal;
use gatehouse_actors::data::organizations::{CLAIMS_PER_SIGN_IN, NewClaim};
use gatehouse_actors::data::provider_grants::NewGrant;
use gatehouse_actors::data::services::ServiceById;
use gatehouse_actors::data::sign_in::{
    Authorized, ClaimLoginState, CompleteBareSignIn, CompleteDeviceSignIn, CompleteWebSignIn, SignInRefusal,
};
use gatehouse_actors::data::users::{Arrival, Profile};
use gatehouse_actors::error::OpError;
use subtle::ConstantTimeEq;

use super::consent::{self, Realm};
use super::departure::{callback_of, provider_failed};
use super::state::{LoginState, Purpose, WebRequest};
use super::{answer, failure, linking};
use crate::config::provider::ProviderKind;
use crate::crypto::token::{TokenSecret, sha256};
use crate::error::{Code, Error};
use crate::http::activation::{self, Activation};
use crate::http::address::seen_from;
use crate::http::browser_session;
use crate::http::connection::{self, Connection, http_client};
use crate::http::email;
use crate::http::input::Params;
use crate::http::invitation;
use crate::http::linking::CONFIRM_PATH;
use crate::http::management::audit_context;
use crate::http::redirect::{see_other, with_params};
use crate::pages::{EmailInUse, respond};
use crate::state::App;
use crate::upstream::{CallbackExchange, ExternalIdentity, Provider, SignIn, UpstreamTokens};
use crate::vault::{self, Place};

/// A provider's clock may differ from ours by this many seconds.
const CLOCK_LEEWAY: i64 = 60;

/// Which callback was called: its state must have been made for it.
pub(super) struct Callback<'a> {
    pub(super) is_platform: bool,
    pub(super) provider: &'a str,
    /// The slug of the organization whose own callback this is.
    pub(super) own: Option<&'a str>,
}

/// From the callback's parameters to the answer for the browser.
pub(super) async fn arrive(
    app: &App,
    request: &HttpRequest,
    callback: &Callback<'_>,
    params: &Params,
) -> Result<HttpResponse, Error> {
    let login = open_state(app, request, callback, params)?;
    claim(app, &login).await?;
    let outcome = match params.get("code") {
        // RFC 6749, section 4.1.2.1: the person or the provider said no.
        None => {
            failure::note(app, request, &login, failure::of_provider_error(params.get("error"))).await;
            cancelled(&login, params.get("error"))
        }
        Some(code) => signed_in(app, request, &login, (code, params.get("iss"))).await,
    };
    let mut response = match (outcome, &login.purpose) {
        (Ok(response), _) => response,
        (Err(error), Purpose::Web(web)) if is_for_app(&error) => answer::error(app, &web.destination, &error),
        (Err(error), _) => return Err(error),
    };
    let used = app.cookies.remove(&LoginState::cookie_name(&login.state));
    response.add_cookie(&used).map_err(Error::internal)?;
    Ok(response)
}

/// The state must come from this browser, be fresh, and belong to this provider and realm.
fn open_state(
    app: &App,
    request: &HttpRequest,
    callback: &Callback<'_>,
    params: &Params,
) -> Result<LoginState, Error> {
    let stale =
        || Error::bad_request("This sign-in has expired or was started in another browser. Start again.");
    let state = params.get("state").filter(|state| state.len() <= 128).ok_or_else(stale)?;
    let name = LoginState::cookie_name(state);
    let login: LoginState = app.cookies.open(&app.keys.cookies, request, &name).ok_or_else(stale)?;
    let same = bool::from(login.state.as_bytes().ct_eq(state.as_bytes()));
    // A state that was made for another provider means that its answer is being mixed up (RFC 9700, section 4.4).
    let meant = login.provider == callback.provider
        && login.is_platform == callback.is_platform
        && login.own_callback() == callback.own;
    let fresh = app.clock.now() < login.expires_at();
    if same && meant && fresh { Ok(login) } else { Err(stale()) }
}

/// Once only, and before the provider is asked, so that a replay never reaches it.
async fn claim(app: &App, login: &LoginState) -> Result<(), Error> {
    let claim = ClaimLoginState {
        state_hash: sha256(login.state.as_bytes()),
        expires_at: login.expires_at(),
        now: app.clock.now(),
    };
    app.store.write(claim).await.map_err(|error| {
        Error::from_op(error, |_| Error::bad_request("This sign-in was completed already. Start again."))
    })
}

/// What an app can act on goes to the app. A service or an organization that is gone in the meantime has no app, and
/// what only the person can do something about is told to the person.
fn is_for_app(error: &Error) -> bool {
    match error.code {
        Code::OAuthError | Code::AccessDenied | Code::ServiceUnavailable | Code::InternalServerError => true,
        _ => error.oauth_error.is_some(),
    }
}

fn cancelled(login: &LoginState, error: Option<&str>) -> Result<HttpResponse, Error> {
    match &login.purpose {
        Purpose::Web(_) => Err(no_code(error)),
        Purpose::Device { user_code, .. } => {
            Ok(see_other(&with_params("/activate", &[("user_code", user_code)])))
        }
        Purpose::Invitation { token } => Ok(see_other(&invitation::accept_path(token))),
        Purpose::Link { .. } => Ok(linking::cancelled(login)),
        Purpose::LinkProof => Ok(see_other(CONFIRM_PATH)),
    }
}

/// The provider's own words, in the two cases that mean something to somebody else; all others are a no.
fn no_code(error: Option<&str>) -> Error {
    let failed = |message| Error::new(Code::OAuthError, message);
    match error {
        Some("temporarily_unavailable") => {
            failed("The sign-in provider is busy. Try again in a moment.").oauth("temporarily_unavailable")
        }
        Some("server_error") => failed("The sign-in provider failed. Try again in a moment."),
        _ => Error::new(Code::AccessDenied, "The sign-in was cancelled at the provider."),
    }
}

async fn signed_in(
    app: &App,
    request: &HttpRequest,
    login: &LoginState,
    (code, iss): (&str, Option<&str>),
) -> Result<HttpResponse, Error> {
    let Some(provider) = provider_of(app, login).await? else {
        failure::note(app, request, login, "credential_changed").await;
        return Err(credential_changed());
    };
    let exchange = CallbackExchange {
        code,
        redirect_uri: &callback_of(app, login),
        nonce: &login.nonce,
        code_verifier: &login.code_verifier,
        iss,
    };
    let sign_in = match provider.sign_in(http_client(request, &provider)?, &*app.clock, &exchange).await {
        Ok(sign_in) => sign_in,
        Err(error) => {
            failure::note(app, request, login, failure::of_upstream(&error)).await;
            return Err(provider_failed(&error));
        }
    };
    if let Purpose::Web(web) = &login.purpose {
        check_age(login, web, sign_in.identity.auth_time)?;
    }
    let SignIn { identity, tokens } = sign_in;
    let amr = tame(&identity.amr);
    let mut arrival = arrival(app, request, login, identity);
    arrival.grant = grant(app, login, &arrival, tokens).await;
    let completed = match &login.purpose {
        Purpose::Web(web) => complete_web(app, request, login, (arrival, amr), web).await,
        Purpose::Device { device_code_id, user_code } => {
            complete_device(app, login, (arrival, amr), (*device_code_id, user_code)).await
        }
        Purpose::Invitation { token } => complete_invitation(app, login, arrival, token).await,
        Purpose::Link { session } => Ok(linking::arrived(app, login, session, arrival).await?),
        Purpose::LinkProof => Ok(linking::proved(app, request, login, arrival).await?),
    };
    match completed {
        Ok(response) => {
            app.meters.sign_ins.succeeded(&login.provider);
            Ok(response)
        }
        Err(Incomplete::Refused(refusal)) => {
            failure::note(app, request, login, failure::of_refusal(&refusal)).await;
            refused(login, refusal)
        }
        Err(Incomplete::Failed(error)) => {
            app.meters.sign_ins.failed(&login.provider, "failed");
            Err(error)
        }
    }
}

/// Why a sign-in that the provider confirmed leads to nothing.
enum Incomplete {
    /// The person is not let in.
    Refused(SignInRefusal),
    /// Something is wrong on our side.
    Failed(Error),
}

impl From<Error> for Incomplete {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<OpError<SignInRefusal>> for Incomplete {
    fn from(error: OpError<SignInRefusal>) -> Self {
        match error {
            OpError::Refused(refusal) => Self::Refused(refusal),
            OpError::Store(error) => Self::Failed(error.into()),
        }
    }
}

/// The client that the sign-in was started with, or nothing: a code must never be shown to another one, and least of
/// all to another authorization server (RFC 9700, section 4.4).
async fn provider_of(app: &App, login: &LoginState) -> Result<Option<Arc<Provider>>, Error> {
    let Connection { provider, credential_version } =
        match connection::find(app, login.org_id, &login.provider).await {
            Err(error) if error.code == Code::NotFound => return Ok(None),
            found => found?,
        };
    let started_with = login.own.as_ref().map(|own| &own.version_id);
    Ok((credential_version.as_ref() == started_with).then_some(provider))
}

fn credential_changed() -> Error {
    Error::bad_request("The organization changed its sign-in settings meanwhile. Start again.")
}

fn arrival(app: &App, request: &HttpRequest, login: &LoginState, identity: ExternalIdentity) -> Arrival {
    let now = app.clock.now();
    let address = identity.email.as_deref().and_then(email::normalize);
    Arrival {
        org_id: login.org_id,
        profile: Profile {
            provider: login.provider.clone(),
            issuer: identity.issuer,
            subject: identity.subject,
            email_verified: identity.email_verified && address.is_some(),
            email: address,
            name: identity.name,
            avatar_url: identity.avatar_url,
        },
        credential_version: login.own.as_ref().map(|own| own.version_id.clone()),
        grant: None,
        new_user_public_id: app.random.uuid(now),
        bootstrap_owner_email: app.config.platform_owner_email.as_deref().and_then(email::normalize),
        claims: if login.is_platform { claims(app, request) } else { Vec::new() },
        now,
    }
}

/// The provider's tokens for the vault, if the service wants them. That they cannot be kept does not keep anybody out.
async fn grant(app: &App, login: &LoginState, arrival: &Arrival, tokens: UpstreamTokens) -> Option<NewGrant> {
    if !login.keeps_tokens {
        return None;
    }
    let Profile { provider, issuer, subject, .. } = &arrival.profile;
    let place = Place {
        org_id: login.org_id,
        service_id: login.service_id,
        provider,
        issuer,
        subject,
        credential_version: arrival.credential_version.as_deref(),
    };
    let service = app.store.read(ServiceById { id: login.service_id }).await.ok().flatten()?;
    match vault::new_grant(app, &place, tokens, service.provider_scopes(provider)).await {
        Ok(grant) => Some(grant),
        Err(error) => {
            let reason = error.internal.as_deref().unwrap_or_default();
            log::error!(provider = provider.as_str(), reason = reason; "provider tokens were not kept");
            None
        }
    }
}

/// Ids for the organizations that may be waiting for this person.
fn claims(app: &App, request: &HttpRequest) -> Vec<NewClaim> {
    let claim = || {
        let audit = audit_context(app, request, None);
        NewClaim { membership_public_id: app.random.uuid(audit.now), audit }
    };
    std::iter::repeat_with(claim).take(CLAIMS_PER_SIGN_IN).collect()
}

/// A provider that says when it authenticated the person must have done so recently enough. The person's time at the
/// provider does not count, and the two clocks may differ.
fn check_age(login: &LoginState, web: &WebRequest, auth_time: Option<i64>) -> Result<(), Error> {
    let oldest = web.max_age.map(|max_age| login.started_at.div_euclid(1000) - max_age - CLOCK_LEEWAY);
    match (auth_time, oldest) {
        (Some(auth_time), Some(oldest)) if auth_time < oldest => {
            let error = Error::bad_request("The provider did not ask the person to sign in again.");
            Err(error.oauth("login_required"))
        }
        _ => Ok(()),
    }
}

/// What a provider says of how a person authenticated (RFC 8176): a few short words.
fn tame(amr: &[String]) -> Vec<String> {
    let short = |word: &&String| word.len() <= 32 && word.bytes().all(|byte| byte.is_ascii_graphic());
    amr.iter().filter(short).take(8).cloned().collect()
}

/// Hands the app its code, or asks for consent first, and signs the browser in.
async fn complete_web(
    app: &App,
    request: &HttpRequest,
    login: &LoginState,
    (arrival, amr): (Arrival, Vec<String>),
    web: &WebRequest,
) -> Result<HttpResponse, Incomplete> {
    let (code_secret, browser_secret): (TokenSecret, TokenSecret) = (app.random.bytes(), app.random.bytes());
    let complete = CompleteWebSignIn {
        arrival,
        service_id: login.service_id,
        browser: NewBrowserSession {
            secret_hash: sha256(&browser_secret),
            amr,
            replaces: browser_session::presented(app, request, &login.org_slug),
        },
        request: web.code_request(sha256(&code_secret), seen_from(app, request)),
    };
    let done = app.store.write(complete).await?;
    let mut response = match done.authorized {
        Authorized::Code(id) => answer::code(app, &web.destination, id, &code_secret),
        Authorized::ConsentNeeded => {
            let realm =
                Realm { org_id: login.org_id, org_slug: &login.org_slug, service_id: login.service_id };
            consent::ask(app, request, realm, (done.user_id, web))?
        }
    };
    let cookie = browser_session::cookie(app, &login.org_slug, done.browser_session_id, &browser_secret);
    response.add_cookie(&cookie).map_err(Error::internal)?;
    Ok(response)
}

async fn complete_device(
    app: &App,
    login: &LoginState,
    (arrival, amr): (Arrival, Vec<String>),
    (device_code_id, user_code): (i64, &str),
) -> Result<HttpResponse, Incomplete> {
    let complete = CompleteDeviceSignIn { arrival, service_id: login.service_id, device_code_id, amr };
    let user_id = app.store.write(complete).await?;
    let activation = Activation {
        device_code_id,
        user_id,
        user_code: user_code.to_owned(),
        csrf: URL_SAFE_NO_PAD.encode(app.random.bytes::<32>()),
        expires_at: app.clock.now() + activation::COOKIE_SECONDS * 1000,
    };
    let value = (activation::COOKIE, &activation);
    let cookie = app.cookies.seal(&app.keys.cookies, &app.random, value, activation::COOKIE_SECONDS)?;
    let mut response = see_other("/activate/confirm");
    response.add_cookie(&cookie).map_err(Error::internal)?;
    Ok(response)
}

async fn complete_invitation(
    app: &App,
    login: &LoginState,
    arrival: Arrival,
    token: &str,
) -> Result<HttpResponse, Incomplete> {
    let complete = CompleteBareSignIn { arrival, service_id: login.service_id };
    let user_id = app.store.write(complete).await?;
    let mut response = see_other(invitation::CONFIRM_PATH);
    let cookie = invitation::claim(app, token, user_id)?;
    response.add_cookie(&cookie).map_err(Error::internal)?;
    Ok(response)
}

fn refused(login: &LoginState, refusal: SignInRefusal) -> Result<HttpResponse, Error> {
    let display = |name: &str| {
        name.parse::<ProviderKind>().map_or_else(|_| name.to_owned(), |kind| kind.display_name().to_owned())
    };
    match refusal {
        SignInRefusal::ServiceGone => {
            Err(Error::new(Code::NotFound, "This service does not exist any more."))
        }
        SignInRefusal::OrganizationNotActive(status) => Err(Error::not_active(&status)),
        SignInRefusal::OtherUser => {
            let error = Error::bad_request("Another person signed in than the id_token_hint names.");
            Err(error.oauth("login_required"))
        }
        SignInRefusal::CredentialChanged => Err(credential_changed()),
        SignInRefusal::DeviceCode(refusal) => Err(device_code_refused(refusal)),
        SignInRefusal::EmailInUse(in_use) => {
            let page = EmailInUse {
                email: in_use.email,
                existing_provider: display(&in_use.existing_provider),
                attempted_provider: display(&login.provider),
            };
            Ok(respond(&page, Code::Conflict.row().1))
        }
    }
}

fn device_code_refused(refusal: DeviceCodeRefusal) -> Error {
    match refusal {
        DeviceCodeRefusal::Expired => {
            Error::new(Code::DeviceCodeExpired, "This code expired. Start again on your device.")
        }
        DeviceCodeRefusal::Decided => {
            Error::new(Code::Conflict, "This code was used already. Start again on your device.")
        }
        DeviceCodeRefusal::ClaimedByOther => {
            Error::new(Code::Forbidden, "Somebody else signed in with this code. Start again on your device.")
        }
        DeviceCodeRefusal::OrganizationNotActive => Error::not_active("not open"),
    }
}
