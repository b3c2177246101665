//! Consents: what people allowed third-party services.

use crate::clock::Millis;
use crate::engine::{ReadTx, WriteTx};
use crate::error::StoreError;
use crate::{statements, values};

statements! {
    CONSENT = "SELECT scope FROM consents WHERE user_id = $1 AND service_id = $2";
    REMEMBER_CONSENT = "INSERT INTO consents (org_id, user_id, service_id, scope, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $5) \
        ON CONFLICT (user_id, service_id) DO UPDATE SET scope = excluded.scope, updated_at = excluded.updated_at";
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
