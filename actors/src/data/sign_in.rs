//! The end of a sign-in at a provider: one write that knows the person and hands out what was asked for.

use super::authorization_codes::{self, NewAuthorizationCode};
use super::device_codes::{self, DeviceCodeRefusal};
use super::oauth_credentials;
use super::provider_grants::{self, Grantee};
use super::services::{Service, select_service};
use super::users::{self, Arrival, EmailInUse};
use crate::clock::Millis;
use crate::engine::WriteTx;
use crate::error::OpError;
use crate::message::WriteOp;
use crate::{statements, values};

statements! {
    CLAIM_LOGIN_STATE = "INSERT INTO login_state_claims (state_hash, expires_at) VALUES ($1, $2) \
        ON CONFLICT (state_hash) DO NOTHING";
    PURGE_LOGIN_STATES = "DELETE FROM login_state_claims WHERE id IN (SELECT id FROM (SELECT id, expires_at \
        FROM login_state_claims ORDER BY id LIMIT 64) oldest WHERE expires_at < $1)";
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
    /// The device code cannot be claimed.
    DeviceCode(DeviceCodeRefusal),
}

/// Finds or makes the user and hands out an authorization code.
#[derive(Debug, Clone)]
pub struct CompleteWebSignIn {
    /// Who came.
    pub arrival: Arrival,
    /// To which service.
    pub service_id: i64,
    /// The code to be.
    pub code: NewAuthorizationCode,
}

impl WriteOp for CompleteWebSignIn {
    /// Row id of the code.
    type Output = i64;
    type Refused = SignInRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<i64, OpError<SignInRefusal>> {
        let (service, user_id) = enter(tx, &self.arrival, self.service_id)?;
        let signed_in = (user_id, self.arrival.profile.provider.as_str());
        Ok(authorization_codes::insert(tx, &self.code, &service, signed_in, self.arrival.now)?)
    }
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
}

impl WriteOp for CompleteDeviceSignIn {
    /// Row id of the user.
    type Output = i64;
    type Refused = SignInRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<i64, OpError<SignInRefusal>> {
        let (service, user_id) = enter(tx, &self.arrival, self.service_id)?;
        let signed_in = (user_id, self.arrival.profile.provider.as_str());
        device_codes::bind(tx, self.device_code_id, &service, signed_in, self.arrival.now)?
            .map_err(|refusal| OpError::Refused(SignInRefusal::DeviceCode(refusal)))?;
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
        Ok(user_id) => {
            keep_grant(tx, arrival, (&service, user_id))?;
            Ok((service, user_id))
        }
        Err(in_use) => Err(OpError::Refused(SignInRefusal::EmailInUse(in_use))),
    }
}

/// Only for a service that still asks for something at the provider: what nobody may use is not kept.
fn keep_grant(
    tx: &mut WriteTx<'_>,
    arrival: &Arrival,
    (service, user_id): (&Service, i64),
) -> Result<(), OpError<SignInRefusal>> {
    let wanted = !service.is_platform && !service.provider_scopes(&arrival.profile.provider).is_empty();
    if let Some(grant) = arrival.grant.as_ref().filter(|_| wanted) {
        let grantee = Grantee {
            org_id: service.org_id,
            user_id,
            service_id: service.id,
            credential_version: arrival.credential_version.as_deref(),
        };
        provider_grants::store(tx, &grantee, &arrival.profile, (grant, arrival.now))?;
    }
    Ok(())
}
