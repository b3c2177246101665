//! The keys that sign tokens, sealed. A key's life is told by the clock alone, so nothing has to move it along.
//!
//! ```text
//! next --signs_from--> active --its successor's signs_from--> retiring --KEY_OVERLAP--> retired
//!   any of them --withdrawn (retired_at)--> retired at once
//! ```

use serde_json::json;

use super::PLATFORM_ORG_ID;
use super::audit::{AuditContext, Happened, append};
use super::client_registration::SigningAlgorithm;
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

/// A key is published this long before it signs: twice as long as caches may keep the key set.
pub const KEY_LEAD: Millis = 10 * 60 * 1000;
/// A key that no longer signs is published this much longer: the life of a token and a minute for clocks that differ.
pub const KEY_OVERLAP: Millis = 16 * 60 * 1000;
/// The most keys that are ever looked at: decades of rotation.
const MOST_KEYS: i64 = 500;

statements! {
    SIGNING_KEYS = "SELECT key_id, algorithm, private_sealed, created_at, signs_from, retired_at FROM signing_keys \
        ORDER BY id DESC LIMIT $1";
    INSERT_SIGNING_KEY = "INSERT INTO signing_keys (key_id, algorithm, private_sealed, created_at, signs_from) \
        VALUES ($1, $2, $3, $4, $5)";
    INSERT_FIRST_SIGNING_KEY = "INSERT INTO signing_keys (key_id, algorithm, private_sealed, created_at, signs_from) \
        SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT 1 FROM signing_keys WHERE algorithm = $2)";
    WITHDRAW_SIGNING_KEY = "UPDATE signing_keys SET retired_at = $1 WHERE key_id = $2";
    ADVANCE_SIGNING_KEY = "UPDATE signing_keys SET signs_from = $1 WHERE key_id = $2";
}

/// A signing key as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSigningKey {
    /// The `kid` of RFC 7517.
    pub key_id: String,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// PKCS#8, sealed.
    pub private_sealed: Vec<u8>,
    /// When it was made, and published.
    pub created_at: Millis,
    /// When it begins to sign.
    pub signs_from: Millis,
    /// When it was withdrawn, after which it is worth nothing.
    pub retired_at: Option<Millis>,
}

impl SealedSigningKey {
    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        let algorithm: String = row.get(1)?;
        Ok(Self {
            key_id: row.get(0)?,
            algorithm: SigningAlgorithm::parse(&algorithm).ok_or(StoreError::Inconsistent {
                table: "signing_keys",
                column: "algorithm",
                found: algorithm,
            })?,
            private_sealed: row.get(2)?,
            created_at: row.get(3)?,
            signs_from: row.get(4)?,
            retired_at: row.get(5)?,
        })
    }
}

/// What a key is good for at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Published, does not sign yet.
    Next,
    /// Signs.
    Active,
    /// Does not sign any more; what it signed is still good.
    Retiring,
    /// Good for nothing.
    Retired,
}

impl KeyState {
    /// Its name for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
        }
    }
}

/// When the key in place `index` of all `keys` (newest first) stops signing: when the next one of its algorithm begins.
#[must_use]
pub fn succeeded_at(keys: &[SealedSigningKey], index: usize) -> Option<Millis> {
    let (newer, rest) = keys.split_at_checked(index)?;
    let key = rest.first()?;
    let same = |other: &&SealedSigningKey| other.algorithm == key.algorithm && other.retired_at.is_none();
    newer.iter().filter(same).map(|other| other.signs_from).min()
}

/// When the key in place `index` of all `keys` (newest first) begins to sign. The oldest one signs whenever no other does:
/// a clock that was set back must not leave an algorithm without a key.
#[must_use]
pub fn begins_at(keys: &[SealedSigningKey], index: usize) -> Option<Millis> {
    let (key, older) = keys.split_at_checked(index)?.1.split_first()?;
    let same = |other: &SealedSigningKey| other.algorithm == key.algorithm && other.retired_at.is_none();
    Some(if older.iter().any(same) { key.signs_from } else { Millis::MIN })
}

/// The state of the key in place `index` of all `keys` (newest first).
#[must_use]
pub fn state(keys: &[SealedSigningKey], index: usize, now: Millis) -> KeyState {
    if keys.get(index).is_none_or(|key| key.retired_at.is_some()) {
        return KeyState::Retired;
    }
    match succeeded_at(keys, index) {
        Some(succeeded) if succeeded + KEY_OVERLAP <= now => KeyState::Retired,
        Some(succeeded) if succeeded <= now => KeyState::Retiring,
        _ if begins_at(keys, index).is_some_and(|begin| begin > now) => KeyState::Next,
        _ => KeyState::Active,
    }
}

/// Every signing key, newest first.
#[derive(Debug, Clone, Copy)]
pub struct SigningKeys;

impl ReadOp for SigningKeys {
    type Output = Vec<SealedSigningKey>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.all(SIGNING_KEYS, values![MOST_KEYS], SealedSigningKey::from_row)
    }
}

/// Stores the first key of an algorithm; does nothing when there is one already.
#[derive(Debug, Clone)]
pub struct StoreFirstSigningKey {
    /// The key.
    pub key: SealedSigningKey,
}

impl WriteOp for StoreFirstSigningKey {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        insert(tx, INSERT_FIRST_SIGNING_KEY, &self.key)?;
        Ok(())
    }
}

fn insert(
    tx: &mut WriteTx<'_>,
    statement: &crate::engine::Statement,
    key: &SealedSigningKey,
) -> Result<usize, StoreError> {
    let algorithm = key.algorithm.as_str();
    let sealed = key.private_sealed.as_slice();
    tx.execute(statement, values![&key.key_id, algorithm, sealed, key.created_at, key.signs_from])
}

/// Publishes the next key of an algorithm. From its `signs_from` on it signs instead of the present one.
#[derive(Debug, Clone)]
pub struct RotateSigningKey {
    /// The next key.
    pub key: SealedSigningKey,
    /// Who, from where, when.
    pub audit: AuditContext,
}

/// Why no key was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotateKeyRefusal {
    /// The next key is published already and will sign from then on.
    NextIsWaiting(Millis),
}

impl WriteOp for RotateSigningKey {
    type Output = ();
    type Refused = RotateKeyRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<RotateKeyRefusal>> {
        let keys = SigningKeys.run(tx)?;
        let now = self.audit.now;
        let waiting = keys.iter().enumerate().find(|(index, key)| {
            key.algorithm == self.key.algorithm && state(&keys, *index, now) == KeyState::Next
        });
        if let Some((_, next)) = waiting {
            return Err(OpError::Refused(RotateKeyRefusal::NextIsWaiting(next.signs_from)));
        }
        insert(tx, INSERT_SIGNING_KEY, &self.key)?;
        note(tx, &self.audit, ("signing_key.rotated", &self.key.key_id), self.key.algorithm)?;
        Ok(())
    }
}

/// Withdraws a key at once: what it signed is void. If it is the one that signs, another takes its place at once.
#[derive(Debug, Clone)]
pub struct WithdrawSigningKey {
    /// Its `kid`.
    pub key_id: String,
    /// Signs instead if the key is the active one and no next one waits.
    pub replacement: SealedSigningKey,
    /// Who, from where, when.
    pub audit: AuditContext,
}

/// Why no key was withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithdrawKeyRefusal {
    /// There is no such key.
    Unknown,
    /// It is good for nothing as it is.
    RetiredAlready,
}

impl WriteOp for WithdrawSigningKey {
    type Output = KeyState;
    type Refused = WithdrawKeyRefusal;

    /// The state that it was in.
    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<KeyState, OpError<WithdrawKeyRefusal>> {
        let keys = SigningKeys.run(tx)?;
        let now = self.audit.now;
        let found = keys.iter().enumerate().find(|(_, key)| key.key_id == self.key_id);
        let Some((index, key)) = found else { return Err(OpError::Refused(WithdrawKeyRefusal::Unknown)) };
        let was = state(&keys, index, now);
        match was {
            KeyState::Retired => return Err(OpError::Refused(WithdrawKeyRefusal::RetiredAlready)),
            KeyState::Active => self.replace(tx, &keys, key.algorithm)?,
            KeyState::Next | KeyState::Retiring => {}
        }
        tx.execute(WITHDRAW_SIGNING_KEY, values![now, &self.key_id])?;
        note(tx, &self.audit, ("signing_key.withdrawn", &self.key_id), key.algorithm)?;
        Ok(was)
    }
}

impl WithdrawSigningKey {
    fn replace(
        &self,
        tx: &mut WriteTx<'_>,
        keys: &[SealedSigningKey],
        algorithm: SigningAlgorithm,
    ) -> Result<(), StoreError> {
        let now = self.audit.now;
        let next = keys
            .iter()
            .enumerate()
            .find(|(index, key)| key.algorithm == algorithm && state(keys, *index, now) == KeyState::Next);
        match next {
            Some((_, next)) => tx.execute(ADVANCE_SIGNING_KEY, values![now, &next.key_id])?,
            None => insert(tx, INSERT_SIGNING_KEY, &self.replacement)?,
        };
        Ok(())
    }
}

fn note(
    tx: &mut WriteTx<'_>,
    audit: &AuditContext,
    (action, key_id): (&'static str, &str),
    algorithm: SigningAlgorithm,
) -> Result<(), StoreError> {
    let metadata = json!({ "algorithm": algorithm.as_str() });
    append(
        tx,
        audit,
        &Happened { org_id: PLATFORM_ORG_ID, action, target: ("signing_key", key_id), metadata },
    )
}
