//! The end of a sign-in at a provider: one write that knows the person and hands out what was asked for.

use super::authorization_codes::{self, CodeHolder, NewAuthorizationCode};
use super::browser_sessions::{self, BrowserSession, BrowserToken, NewBrowserSession, Visitor};
use super::consents;
use super::device_codes::{self, DeviceCodeRefusal};
use super::oauth_credentials;
use super::provider_grants::{self, Grantee};
use super::services::{Service, select_service};
use super::users::{self, Arrival, EmailInUse};
use super::waiting_grants;
use crate::clock::Millis;
use crate::engine::WriteTx;
use crate::error::{OpError, StoreError};
use crate::message::WriteOp;
use crate::{statements, values};

statements! {
    CLAIM_LOGIN_STATE = "INSERT INTO login_state_claims (state_hash, expires_at) VALUES ($1, $2) \
        ON CONFLICT (state_hash) DO NOTHING";
    PURGE_LOGIN_STATES = "DELETE FROM login_state_claims WHERE id IN (SELECT id FROM (SELECT id, expires_at \
        FROM login_state_claims ORDER BY id LIMIT 64) oldest WHERE expires_at < $1)";
    SUB_OF_USER = "SELECT public_id FROM users WHERE id = $1";
    SERVICE_FOR_SIGN_IN = concat!(select_service!(), " WHERE s.id = $1 AND s.org_id = $2 AND s.deleted_at IS NULL");
}

/// Uses up a login state, so that a callback works once. Before the provider is asked: a replay must not reach it.
#[derive(Debug, Clone)]
pub struct ClaimLoginState {
    /// SHA-256 of the state.
    pub state_hash: [u8; 32],
    /// When the sealed state expires by itself.
    pub expires_at: Millis,
    /// The present moment.
    pub now: Millis,
}

/// The state was used before, or expired: whether it was used is then no longer known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginStateUsed;

impl WriteOp for ClaimLoginState {
    type Output = ();
    type Refused = LoginStateUsed;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<LoginStateUsed>> {
        // The row of an expired state leaves with the purge, so only this keeps the state from working again.
        if self.expires_at <= self.now {
            return Err(OpError::Refused(LoginStateUsed));
        }
        tx.execute(PURGE_LOGIN_STATES, values![self.now])?;
        match tx.execute(CLAIM_LOGIN_STATE, values![&self.state_hash, self.expires_at])? {
            0 => Err(OpError::Refused(LoginStateUsed)),
            _ => Ok(()),
        }
    }
}

/// Why a sign-in at a provider did not lead to anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInRefusal {
    /// The service is gone.
    ServiceGone,
    /// The organization is not active; its status.
    OrganizationNotActive(String),
    /// The client at the provider is not the one that the sign-in was started with.
    CredentialChanged,
    /// Another account has the address.
    EmailInUse(EmailInUse),
    /// Somebody else came than the app named.
    OtherUser,
    /// The device code cannot be claimed.
    DeviceCode(DeviceCodeRefusal),
}

/// What an app asks for, as far as it is decided when the person is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeRequest {
    /// The code to be.
    pub code: NewAuthorizationCode,
    /// Whether to ask for consent also where it was given before, or is not needed (`prompt=consent`).
    pub ask_consent: bool,
    /// The `sub` that it must be, when the app named one (`id_token_hint`).
    pub expected_user: Option<String>,
}

/// What a request for a code led to, once the person is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorized {
    /// Row id of the code.
    Code(i64),
    /// The person must be asked first whether the service may have what it asks for.
    ConsentNeeded,
}

/// Finds or makes the user, signs the browser in and hands out an authorization code.
#[derive(Debug, Clone)]
pub struct CompleteWebSignIn {
    /// Who came.
    pub arrival: Arrival,
    /// To which service.
    pub service_id: i64,
    /// The browser's session to be.
    pub browser: NewBrowserSession,
    /// What the app asks for.
    pub request: CodeRequest,
}

/// A sign-in on the web that is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebSignIn {
    /// Row id of the browser's session.
    pub browser_session_id: i64,
    /// Row id of the user.
    pub user_id: i64,
    /// What the app gets.
    pub authorized: Authorized,
}

impl WriteOp for CompleteWebSignIn {
    type Output = WebSignIn;
    type Refused = SignInRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<WebSignIn, OpError<SignInRefusal>> {
        let (service, user_id) = enter(tx, &self.arrival, self.service_id)?;
        if !is_expected(tx, user_id, self.request.expected_user.as_deref())? {
            return Err(OpError::Refused(SignInRefusal::OtherUser));
        }
        let now = self.arrival.now;
        let provider = self.arrival.profile.provider.as_str();
        let visitor = Visitor { org_id: service.org_id, user_id, provider };
        let browser_session_id = browser_sessions::open(tx, &self.browser, &visitor, now)?;
        let holder = CodeHolder {
            user_id,
            provider,
            authenticated_at: now,
            browser_session_id: Some(browser_session_id),
        };
        let authorized = authorize(tx, &service, &self.request, &holder, now)?;
        keep_grant(tx, &self.arrival, (&service, user_id), authorized != Authorized::ConsentNeeded)?;
        Ok(WebSignIn { browser_session_id, user_id, authorized })
    }
}

/// Whether this is the user that the app named, if it named one.
fn is_expected(tx: &mut WriteTx<'_>, user_id: i64, expected: Option<&str>) -> Result<bool, StoreError> {
    let Some(expected) = expected else { return Ok(true) };
    let sub = tx.optional(SUB_OF_USER, values![user_id], |row| row.get::<String>(0))?;
    Ok(sub.as_deref() == Some(expected))
}

/// Hands out the code, unless the person must be asked first.
fn authorize(
    tx: &mut WriteTx<'_>,
    service: &Service,
    request: &CodeRequest,
    holder: &CodeHolder<'_>,
    now: Millis,
) -> Result<Authorized, StoreError> {
    let who = (holder.user_id, service.id);
    // The organization answers for its own services; for others the person does.
    let must_ask = service.registration.is_third_party && !consents::covers(tx, who, &request.code.scope)?;
    if request.ask_consent || must_ask {
        return Ok(Authorized::ConsentNeeded);
    }
    authorization_codes::insert(tx, &request.code, service, holder, now).map(Authorized::Code)
}

/// Why a browser session opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContinueRefusal {
    /// It ended or expired, or is of another realm.
    NotSignedIn,
    /// The browser is signed in as somebody else than the app named.
    OtherUser,
    /// The service is gone.
    ServiceGone,
}

/// Hands out an authorization code to a browser that is signed in to the service's realm (single sign-on).
#[derive(Debug, Clone)]
pub struct ContinueBrowserSession {
    /// What the cookie says.
    pub token: BrowserToken,
    /// The realm.
    pub org_id: i64,
    /// For which service.
    pub service_id: i64,
    /// What the app asks for.
    pub request: CodeRequest,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for ContinueBrowserSession {
    type Output = Authorized;
    type Refused = ContinueRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Authorized, OpError<ContinueRefusal>> {
        let (session, service) = reenter(tx, &self.token, (self.org_id, self.service_id), self.now)?;
        let expected = self.request.expected_user.as_ref();
        if expected.is_some_and(|expected| *expected != session.user_public_id) {
            return Err(OpError::Refused(ContinueRefusal::OtherUser));
        }
        browser_sessions::touch(tx, &session, self.now)?;
        Ok(authorize(tx, &service, &self.request, &holder_of(&session), self.now)?)
    }
}

/// A person allows what a service asks for: remembers it and hands out the code.
#[derive(Debug, Clone)]
pub struct GrantConsent {
    /// What the cookie says.
    pub token: BrowserToken,
    /// The realm.
    pub org_id: i64,
    /// The user who was asked.
    pub user_id: i64,
    /// For which service.
    pub service_id: i64,
    /// The code to be. Its scope is what was allowed.
    pub code: NewAuthorizationCode,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for GrantConsent {
    /// Row id of the code.
    type Output = i64;
    type Refused = ContinueRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<i64, OpError<ContinueRefusal>> {
        let (session, service) = reenter(tx, &self.token, (self.org_id, self.service_id), self.now)?;
        if session.user_id != self.user_id {
            return Err(OpError::Refused(ContinueRefusal::OtherUser));
        }
        browser_sessions::touch(tx, &session, self.now)?;
        let who = (self.user_id, self.service_id);
        consents::remember(tx, self.org_id, who, &self.code.scope, self.now)?;
        waiting_grants::keep(tx, (self.org_id, self.user_id, self.service_id), self.now)?;
        Ok(authorization_codes::insert(tx, &self.code, &service, &holder_of(&session), self.now)?)
    }
}

fn holder_of(session: &BrowserSession) -> CodeHolder<'_> {
    CodeHolder {
        user_id: session.user_id,
        provider: &session.provider,
        // The original moment: single sign-on is no new authentication (OpenID Connect Core, section 2).
        authenticated_at: session.authenticated_at,
        browser_session_id: Some(session.id),
    }
}

/// The live session of a browser and a service of its realm, as they are now.
fn reenter(
    tx: &mut WriteTx<'_>,
    token: &BrowserToken,
    (org_id, service_id): (i64, i64),
    now: Millis,
) -> Result<(BrowserSession, Service), OpError<ContinueRefusal>> {
    let session = browser_sessions::find(tx, token, org_id, now)?;
    let session = session.ok_or(OpError::Refused(ContinueRefusal::NotSignedIn))?;
    let service = tx.optional(SERVICE_FOR_SIGN_IN, values![service_id, org_id], Service::from_row)?;
    let service = service.ok_or(OpError::Refused(ContinueRefusal::ServiceGone))?;
    Ok((session, service))
}

/// Finds or makes the user and binds a device code to it. Approving is a step of its own.
#[derive(Debug, Clone)]
pub struct CompleteDeviceSignIn {
    /// Who came.
    pub arrival: Arrival,
    /// To which service.
    pub service_id: i64,
    /// Row id of the device code.
    pub device_code_id: i64,
    /// How the person authenticated at the provider.
    pub amr: Vec<String>,
}

impl WriteOp for CompleteDeviceSignIn {
    /// Row id of the user.
    type Output = i64;
    type Refused = SignInRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<i64, OpError<SignInRefusal>> {
        let (service, user_id) = enter(tx, &self.arrival, self.service_id)?;
        let signed_in = (user_id, self.arrival.profile.provider.as_str(), self.amr.as_slice());
        device_codes::bind(tx, self.device_code_id, &service, signed_in, self.arrival.now)?
            .map_err(|refusal| OpError::Refused(SignInRefusal::DeviceCode(refusal)))?;
        keep_grant(tx, &self.arrival, (&service, user_id), false)?;
        Ok(user_id)
    }
}

/// Finds or makes the user and hands out nothing: what follows is a page of ours that asks for a decision.
#[derive(Debug, Clone)]
pub struct CompleteBareSignIn {
    /// Who came.
    pub arrival: Arrival,
    /// To which service.
    pub service_id: i64,
}

impl WriteOp for CompleteBareSignIn {
    /// Row id of the user.
    type Output = i64;
    type Refused = SignInRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<i64, OpError<SignInRefusal>> {
        Ok(enter(tx, &self.arrival, self.service_id)?.1)
    }
}

/// The service as it is now, and the user behind the arrival.
fn enter(
    tx: &mut WriteTx<'_>,
    arrival: &Arrival,
    service_id: i64,
) -> Result<(Service, i64), OpError<SignInRefusal>> {
    let service = tx.optional(SERVICE_FOR_SIGN_IN, values![service_id, arrival.org_id], Service::from_row)?;
    let Some(service) = service else { return Err(OpError::Refused(SignInRefusal::ServiceGone)) };
    if !service.is_active() {
        return Err(OpError::Refused(SignInRefusal::OrganizationNotActive(service.org_status)));
    }
    let Arrival { org_id, profile, credential_version, .. } = arrival;
    if !oauth_credentials::is_current(tx, *org_id, &profile.provider, credential_version.as_deref())? {
        return Err(OpError::Refused(SignInRefusal::CredentialChanged));
    }
    match users::resolve(tx, arrival).map_err(OpError::<SignInRefusal>::from)? {
        Ok(user_id) => Ok((service, user_id)),
        Err(in_use) => Err(OpError::Refused(SignInRefusal::EmailInUse(in_use))),
    }
}

/// Only for a service that still asks for something at the provider: what nobody may use is not kept. While the person
/// has a question to answer, the tokens wait outside the vault.
fn keep_grant(
    tx: &mut WriteTx<'_>,
    arrival: &Arrival,
    (service, user_id): (&Service, i64),
    is_complete: bool,
) -> Result<(), StoreError> {
    let wanted = !service.is_platform && !service.provider_scopes(&arrival.profile.provider).is_empty();
    if let Some(grant) = arrival.grant.as_ref().filter(|_| wanted) {
        let grantee = Grantee {
            org_id: service.org_id,
            user_id,
            service_id: service.id,
            credential_version: arrival.credential_version.as_deref(),
        };
        let put = if is_complete { provider_grants::store } else { waiting_grants::wait };
        put(tx, &grantee, &arrival.profile, (grant, arrival.now))?;
    }
    Ok(())
}
