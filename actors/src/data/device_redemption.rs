//! The terminal's side of a device code (RFC 8628, section 3.4): it polls, and redeems the code once.

use super::device_codes::{DeviceCode, DeviceCodeStatus};
use super::sessions::{self, Grant, NewSession};
use crate::clock::Millis;
use crate::engine::{ReadTx, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

statements! {
    POLLED_DEVICE_CODE = "SELECT secret_hash, service_id, status, expires_at FROM device_codes WHERE id = $1";
    REDEEM_DEVICE_CODE = "UPDATE device_codes SET status = 'redeemed', session_id = $1 WHERE id = $2";
}

/// What a poll has to know of a code: fleets of terminals ask all the time, and hardly ever is there news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolledDeviceCode {
    /// The service's row id.
    pub service_id: i64,
    /// Where it stands.
    pub status: DeviceCodeStatus,
    /// When it expires.
    pub expires_at: Millis,
}

impl PolledDeviceCode {
    /// Whether it can no longer be decided or redeemed.
    #[must_use]
    pub fn is_expired(&self, now: Millis) -> bool {
        self.expires_at <= now
    }
}

/// The code that a terminal polls with.
#[derive(Debug, Clone)]
pub struct PollDeviceCode {
    /// The row id in front of the secret.
    pub id: i64,
    /// SHA-256 of the secret presented.
    pub secret_hash: [u8; 32],
}

impl ReadOp for PollDeviceCode {
    type Output = Option<PolledDeviceCode>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let code = tx.optional(POLLED_DEVICE_CODE, values![self.id], |row| {
            let polled = PolledDeviceCode {
                service_id: row.get(1)?,
                status: DeviceCodeStatus::parse(&row.get::<String>(2)?)?,
                expires_at: row.get(3)?,
            };
            Ok((row.get::<[u8; 32]>(0)?, polled))
        })?;
        Ok(code.filter(|(secret_hash, _)| *secret_hash == self.secret_hash).map(|(_, polled)| polled))
    }
}

/// Exchanges an approved code for a session.
#[derive(Debug, Clone)]
pub struct RedeemDeviceCode {
    /// The row id in front of the secret.
    pub id: i64,
    /// SHA-256 of the secret presented.
    pub secret_hash: [u8; 32],
    /// The client that presents it.
    pub client_id: String,
    /// The session to open.
    pub session: NewSession,
    /// The present moment.
    pub now: Millis,
}

/// What presenting a code led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceRedemption {
    /// A session.
    Granted(Box<Grant>),
    /// The code was used before. What the first use produced is revoked.
    Replayed,
}

/// Why a code was not redeemed; nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedeemRefusal {
    /// No such code, the secret is wrong, or it was made for another client.
    Unknown,
    /// RFC 8628, section 3.5: `authorization_pending`.
    Pending,
    /// `access_denied`.
    Denied,
    /// `expired_token`.
    Expired,
}

impl WriteOp for RedeemDeviceCode {
    type Output = DeviceRedemption;
    type Refused = RedeemRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<DeviceRedemption, OpError<RedeemRefusal>> {
        let refused = |refusal| Err(OpError::Refused(refusal));
        let code = DeviceCode::by_id(tx, self.id)?;
        let genuine =
            |code: &DeviceCode| code.secret_hash == self.secret_hash && code.client_id == self.client_id;
        let Some(code) = code.filter(genuine) else { return refused(RedeemRefusal::Unknown) };
        match code.status {
            DeviceCodeStatus::Redeemed => {
                if let Some(session_id) = code.session_id {
                    sessions::end(tx, session_id, "device_code_replayed", self.now)?;
                }
                if let Some(user_id) = code.user_id {
                    let event = (self.session.public_id.as_str(), "code_replayed");
                    code.record_failure(tx, event, user_id, self.now)?;
                }
                return Ok(DeviceRedemption::Replayed);
            }
            DeviceCodeStatus::Denied => return refused(RedeemRefusal::Denied),
            DeviceCodeStatus::Pending | DeviceCodeStatus::Approved if code.is_expired(self.now) => {
                return refused(RedeemRefusal::Expired);
            }
            DeviceCodeStatus::Pending => return refused(RedeemRefusal::Pending),
            DeviceCodeStatus::Approved => {}
        }
        // The organization was suspended, or the account removed, between the approval and this poll.
        let (Some(user_id), true) = (code.user_id, code.is_org_active()) else {
            return refused(RedeemRefusal::Denied);
        };
        let seen_from = code.seen_from();
        let signed_in = code.signed_in(user_id, &seen_from, self.now);
        let grant = sessions::open(tx, &self.session, &signed_in, self.now)?;
        tx.execute(REDEEM_DEVICE_CODE, values![grant.subject.session_id, self.id])?;
        Ok(DeviceRedemption::Granted(Box::new(grant)))
    }
}
