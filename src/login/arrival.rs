//! The browser is back from the provider.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::data::authorization_codes::NewAuthorizationCode;
use gatehouse_actors::data::device_codes::DeviceCodeRefusal;
use gatehouse_actors::data::organizations::{CLAIMS_PER_SIGN_IN, NewClaim};
use gatehouse_actors::data::provider_grants::NewGrant;
use gatehouse_actors::data::services::ServiceById;
use gatehouse_actors::data::sign_in::{
    ClaimLoginState, CompleteBareSignIn, CompleteDeviceSignIn, CompleteWebSignIn, SignInRefusal,
};
use gatehouse_actors::data::users::{Arrival, Profile};
use gatehouse_actors::error::OpError;
use subtle::ConstantTimeEq;

use super::departure::{callback_of, error_redirect, provider_failed};
use super::state::{LoginState, Purpose, WebRequest};
use super::{failure, linking};
use crate::config::provider::ProviderKind;
use crate::crypto::token::{TokenKind, TokenSecret, compose, sha256};
use crate::error::{Code, Error};
use crate::http::activation::{self, Activation};
use crate::http::address::seen_from;
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
    let mut response = match params.get("code") {
        // RFC 6749, section 4.1.2.1: the person or the provider said no.
        None => {
            failure::note(app, request, &login, failure::of_provider_error(params.get("error"))).await;
            cancelled(app, &login)
        }
        Some(code) => signed_in(app, request, &login, (code, params.get("iss"))).await?,
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

fn cancelled(app: &App, login: &LoginState) -> HttpResponse {
    let denied = Error::new(Code::AccessDenied, "The sign-in was cancelled at the provider.");
    match &login.purpose {
        Purpose::Web(web) => error_redirect(app, &web.destination, &denied),
        Purpose::Device { user_code, .. } => {
            see_other(&with_params("/activate", &[("user_code", user_code)]))
        }
        Purpose::Invitation { token } => see_other(&invitation::accept_path(token)),
        Purpose::Link { .. } => linking::cancelled(login),
        Purpose::LinkProof => see_other(CONFIRM_PATH),
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
    let SignIn { identity, tokens } = sign_in;
    let mut arrival = arrival(app, request, login, identity);
    arrival.grant = grant(app, login, &arrival, tokens).await;
    let completed = match &login.purpose {
        Purpose::Web(web) => complete_web(app, request, login, arrival, web).await,
        Purpose::Device { device_code_id, user_code } => {
            complete_device(app, login, arrival, (*device_code_id, user_code)).await
        }
        Purpose::Invitation { token } => complete_invitation(app, login, arrival, token).await,
        Purpose::Link { session } => Ok(linking::arrived(app, login, session, arrival).await?),
        Purpose::LinkProof => Ok(linking::proved(app, request, login, arrival).await?),
    };
    match completed {
        Ok(response) => Ok(response),
        Err(Incomplete::Refused(refusal)) => {
            failure::note(app, request, login, failure::of_refusal(&refusal)).await;
            refused(login, refusal)
        }
        Err(Incomplete::Failed(error)) => Err(error),
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

async fn complete_web(
    app: &App,
    request: &HttpRequest,
    login: &LoginState,
    arrival: Arrival,
    web: &WebRequest,
) -> Result<HttpResponse, Incomplete> {
    let secret: TokenSecret = app.random.bytes();
    let code = NewAuthorizationCode {
        secret_hash: sha256(&secret),
        redirect_uri: web.destination.redirect_uri.clone(),
        registered_uri: web.destination.registered_uri.clone(),
        code_challenge: web.code_challenge.clone(),
        scope: web.scope.clone(),
        nonce: web.nonce.clone(),
        seen_from: seen_from(app, request),
    };
    let complete = CompleteWebSignIn { arrival, service_id: login.service_id, code };
    let id = app.store.write(complete).await?;
    let code = compose(TokenKind::AuthorizationCode, id, &secret);
    let mut params = vec![("code", code.as_str())];
    if let Some(state) = &web.destination.state {
        params.push(("state", state));
    }
    params.push(("iss", &app.base_url));
    Ok(see_other(&with_params(&web.destination.redirect_uri, &params)))
}

async fn complete_device(
    app: &App,
    login: &LoginState,
    arrival: Arrival,
    (device_code_id, user_code): (i64, &str),
) -> Result<HttpResponse, Incomplete> {
    let complete = CompleteDeviceSignIn { arrival, service_id: login.service_id, device_code_id };
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
