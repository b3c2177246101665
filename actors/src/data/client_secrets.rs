//! Secrets of confidential clients (RFC 6749, section 2.3.1). While one is replaced, the old one works for a grace.
//!
//! A secret that is taken away at once, without a grace, is one that somebody else may know. So what it opened closes
//! with it: every session of the client ends. Replaced with a grace, the sessions live on.

use serde_json::json;

use super::audit::{AuditContext, Happened, append};
use super::client_registration::AuthMethod;
use super::service_admin::{ServiceReference, UnknownService};
use super::sessions;
use crate::clock::Millis;
use crate::engine::{ReadTx, WriteTx};
use crate::error::{OpError, StoreError};
use crate::memory::{Fact, Memory, Recall, Shelf};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

/// How long a replaced secret still works: 24 hours.
pub const SECRET_GRACE: Millis = 24 * 60 * 60 * 1000;
/// Secrets that may work at once. Somebody who rotates more often in a day than this has to remove them first.
const MAX_SECRETS: i64 = 5;

statements! {
    SECRET = "SELECT secret_hash, expires_at FROM client_secrets WHERE id = $1 AND service_id = $2";
    PURGE_SECRETS = "DELETE FROM client_secrets WHERE service_id = $1 AND expires_at <= $2";
    COUNT_SECRETS = "SELECT COUNT(*) FROM client_secrets WHERE service_id = $1";
    REPLACE_SECRET = "UPDATE client_secrets SET expires_at = $1 WHERE service_id = $2 AND expires_at IS NULL";
    INSERT_SECRET = "INSERT INTO client_secrets (service_id, secret_hash, created_at) VALUES ($1, $2, $3) RETURNING id";
    REMOVE_SECRETS = "DELETE FROM client_secrets WHERE service_id = $1";
}

/// A secret, as far as it can be compared with one that is presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSecret {
    /// SHA-256 of the secret half.
    pub hash: [u8; 32],
    /// When it stops to work; none while it is the newest.
    pub expires_at: Option<Millis>,
}

impl ClientSecret {
    /// Whether it works at `now`.
    #[must_use]
    pub fn works(&self, now: Millis) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// Which secret is this one of that service? It may have stopped to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientSecretById {
    /// The row id in front of the secret.
    pub id: i64,
    /// The service that presents it. The secret of another is as good as none.
    pub service_id: i64,
}

impl ReadOp for ClientSecretById {
    type Output = Option<ClientSecret>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.optional(SECRET, values![self.id, self.service_id], |row| {
            Ok(ClientSecret { hash: row.get(0)?, expires_at: row.get(1)? })
        })
    }
}

impl Recall for ClientSecretById {
    type Answer = ClientSecret;

    fn facts(_: &ClientSecret) -> Vec<Fact> {
        vec![Fact::ClientSecrets]
    }

    fn shelf(memory: &Memory) -> &Shelf<Self> {
        &memory.client_secrets
    }
}

/// Gives a service a secret, or a new one. With the first it becomes a confidential client.
#[derive(Debug, Clone)]
pub struct RotateClientSecret {
    /// Which service.
    pub service: ServiceReference,
    /// SHA-256 of the secret half.
    pub secret_hash: [u8; 32],
    /// How long those before it still work: at most [`SECRET_GRACE`], and 0 when they are to stop at once.
    pub grace: Millis,
    /// Who, from where, when.
    pub audit: AuditContext,
}

/// A secret was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotatedSecret {
    /// Row id of the secret, which goes in front of it.
    pub id: i64,
    /// The client it belongs to.
    pub client_id: String,
    /// Until when the one that it replaces works; none for the first, and none when there is no grace.
    pub previous_expires_at: Option<Millis>,
    /// How many sessions ended with the secrets before it.
    pub ended_sessions: usize,
}

/// Why no secret was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotateRefusal {
    /// There is no such service in the organization.
    Unknown,
    /// Too many replaced secrets still work.
    TooMany,
    /// It registers a way to authenticate that takes no secret.
    OtherMethod(AuthMethod),
}

impl WriteOp for RotateClientSecret {
    type Output = RotatedSecret;
    type Refused = RotateRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<RotatedSecret, OpError<RotateRefusal>> {
        let Some(service) = self.service.find(tx)? else {
            return Err(OpError::Refused(RotateRefusal::Unknown));
        };
        let method = service.settings.registration.token_endpoint_auth_method;
        if let Some(method) = method.filter(|method| !method.uses_secret()) {
            return Err(OpError::Refused(RotateRefusal::OtherMethod(method)));
        }
        let now = self.audit.now;
        tx.execute(PURGE_SECRETS, values![service.id, now])?;
        let (replaced, ended_sessions) = if self.grace == 0 {
            take_away(tx, service.id, now)?
        } else {
            if tx.one(COUNT_SECRETS, values![service.id], |row| row.get::<i64>(0))? >= MAX_SECRETS {
                return Err(OpError::Refused(RotateRefusal::TooMany));
            }
            let expires_at = now + self.grace.min(SECRET_GRACE);
            (tx.execute(REPLACE_SECRET, values![expires_at, service.id])?, 0)
        };
        let values = values![service.id, &self.secret_hash, now];
        let id = tx.one(INSERT_SECRET, values, |row| row.get::<i64>(0))?;
        let happened = Happened {
            org_id: self.service.org_id,
            action: "client_secret.rotated",
            target: ("service", &service.public_id),
            metadata: json!({
                "client_id": service.client_id,
                "replaced": replaced > 0,
                "grace_seconds": self.grace / 1000,
                "ended_sessions": ended_sessions,
            }),
        };
        append(tx, &self.audit, &happened)?;
        let has_grace = replaced > 0 && self.grace > 0;
        let previous_expires_at = has_grace.then(|| now + self.grace.min(SECRET_GRACE));
        Ok(RotatedSecret { id, client_id: service.client_id, previous_expires_at, ended_sessions })
    }
}

/// Removes every secret of a service and ends its sessions. Returns how many there were of each.
fn take_away(tx: &mut WriteTx<'_>, service_id: i64, now: Millis) -> Result<(usize, usize), StoreError> {
    let removed = tx.execute(REMOVE_SECRETS, values![service_id])?;
    if removed == 0 {
        return Ok((0, 0));
    }
    let ended = sessions::end_all_of_service(tx, service_id, "client_secret_removed", now)?;
    Ok((removed, ended))
}

/// Takes all secrets away, at once and without a grace: the service is a public client again, and its sessions end.
#[derive(Debug, Clone)]
pub struct RemoveClientSecrets {
    /// Which service.
    pub service: ServiceReference,
    /// Who, from where, when.
    pub audit: AuditContext,
}

impl WriteOp for RemoveClientSecrets {
    type Output = ();
    type Refused = UnknownService;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<UnknownService>> {
        let Some(service) = self.service.find(tx)? else { return Err(OpError::Refused(UnknownService)) };
        let (removed, ended_sessions) = take_away(tx, service.id, self.audit.now)?;
        if removed > 0 {
            let happened = Happened {
                org_id: self.service.org_id,
                action: "client_secret.removed",
                target: ("service", &service.public_id),
                metadata: json!({
                    "client_id": service.client_id,
                    "removed": removed,
                    "ended_sessions": ended_sessions,
                }),
            };
            append(tx, &self.audit, &happened)?;
        }
        Ok(())
    }
}
