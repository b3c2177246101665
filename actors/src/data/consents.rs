//! Consents: what people allowed third-party services.

use serde_json::json;

use super::audit::{AuditContext, Happened, append};
use crate::clock::Millis;
use crate::engine::{ReadTx, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

statements! {
    CONSENT = "SELECT scope FROM consents WHERE user_id = $1 AND service_id = $2";
    REMEMBER_CONSENT = "INSERT INTO consents (org_id, user_id, service_id, scope, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $5) \
        ON CONFLICT (user_id, service_id) DO UPDATE SET scope = excluded.scope, updated_at = excluded.updated_at";
    CONSENTS_OF_USER = "SELECT s.public_id, s.slug, s.name, s.client_id, c.scope, c.created_at, c.updated_at \
        FROM consents c JOIN services s ON s.id = c.service_id WHERE c.user_id = $1 AND s.deleted_at IS NULL \
        ORDER BY c.service_id LIMIT 200";
    SERVICE_OF_CONSENT = "SELECT s.id FROM services s JOIN consents c ON c.service_id = s.id AND c.user_id = $1 \
        WHERE s.public_id = $2";
    WITHDRAW_CONSENT = "DELETE FROM consents WHERE user_id = $1 AND service_id = $2";
    END_SESSIONS_WITH_SERVICE = "UPDATE sessions SET ended_at = $1, ended_reason = 'consent_withdrawn' \
        WHERE user_id = $2 AND service_id = $3 AND ended_at IS NULL";
    FORGET_CONSENTS_OF_USER = "DELETE FROM consents WHERE user_id = $1";
    FORGET_CONSENTS_OF_SERVICE = "DELETE FROM consents WHERE service_id = $1";
}

fn words(scope: &str) -> impl Iterator<Item = &str> {
    scope.split(' ').filter(|word| !word.is_empty())
}

/// Whether everything in `scope` was allowed before.
pub(crate) fn covers(
    tx: &mut ReadTx<'_>,
    (user_id, service_id): (i64, i64),
    scope: &str,
) -> Result<bool, StoreError> {
    let allowed = tx.optional(CONSENT, values![user_id, service_id], |row| row.get::<String>(0))?;
    Ok(allowed.is_some_and(|allowed| words(scope).all(|word| words(&allowed).any(|known| known == word))))
}

/// Remembers that a person allowed `scope`, beside what they allowed before.
pub(crate) fn remember(
    tx: &mut WriteTx<'_>,
    org_id: i64,
    (user_id, service_id): (i64, i64),
    scope: &str,
    now: Millis,
) -> Result<(), StoreError> {
    let before = tx.optional(CONSENT, values![user_id, service_id], |row| row.get::<String>(0))?;
    let before = before.unwrap_or_default();
    let mut union: Vec<&str> = words(&before).chain(words(scope)).collect();
    union.sort_unstable();
    union.dedup();
    let union = union.join(" ");
    tx.execute(REMEMBER_CONSENT, values![org_id, user_id, service_id, &union, now])?;
    Ok(())
}

/// Forgets everything that a user allowed.
pub(crate) fn forget_user(tx: &mut WriteTx<'_>, user_id: i64) -> Result<(), StoreError> {
    tx.execute(FORGET_CONSENTS_OF_USER, values![user_id])?;
    Ok(())
}

/// Forgets everything that a service was allowed.
pub(crate) fn forget_service(tx: &mut WriteTx<'_>, service_id: i64) -> Result<(), StoreError> {
    tx.execute(FORGET_CONSENTS_OF_SERVICE, values![service_id])?;
    Ok(())
}

/// What a person allowed a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Public id of the service.
    pub service_public_id: String,
    /// Its slug.
    pub service_slug: String,
    /// Its name.
    pub service_name: String,
    /// Its client identifier.
    pub client_id: String,
    /// What was allowed, space-separated.
    pub scope: String,
    /// When something was allowed first.
    pub created_at: Millis,
    /// When something was allowed last.
    pub updated_at: Millis,
}

/// What a user allowed, by service.
#[derive(Debug, Clone, Copy)]
pub struct ConsentsOf {
    /// Row id of the user.
    pub user_id: i64,
}

impl ReadOp for ConsentsOf {
    type Output = Vec<Consent>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.all(CONSENTS_OF_USER, values![self.user_id], |row| {
            Ok(Consent {
                service_public_id: row.get(0)?,
                service_slug: row.get(1)?,
                service_name: row.get(2)?,
                client_id: row.get(3)?,
                scope: row.get(4)?,
                created_at: row.get(5)?,
                updated_at: row.get(6)?,
            })
        })
    }
}

/// Takes back what a user allowed a service: it has to ask again, and its sessions of that user end.
#[derive(Debug, Clone)]
pub struct WithdrawConsent {
    /// The realm.
    pub org_id: i64,
    /// Row id of the user.
    pub user_id: i64,
    /// Public id of the service.
    pub service_public_id: String,
    /// From where, when. The user is the actor.
    pub audit: AuditContext,
}

/// The user allowed this service nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchConsent;

impl WriteOp for WithdrawConsent {
    type Output = ();
    type Refused = NoSuchConsent;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<NoSuchConsent>> {
        let (user_id, now) = (self.user_id, self.audit.now);
        let found = tx.optional(SERVICE_OF_CONSENT, values![user_id, &self.service_public_id], |row| {
            row.get::<i64>(0)
        })?;
        let Some(service_id) = found else { return Err(OpError::Refused(NoSuchConsent)) };
        tx.execute(WITHDRAW_CONSENT, values![user_id, service_id])?;
        let ended = tx.execute(END_SESSIONS_WITH_SERVICE, values![now, user_id, service_id])?;
        let happened = Happened {
            org_id: self.org_id,
            action: "consent.withdrawn",
            target: ("service", &self.service_public_id),
            metadata: json!({ "ended_sessions": ended }),
        };
        append(tx, &self.audit, &happened)?;
        Ok(())
    }
}
