//! Authorization requests that a client pushed beforehand (RFC 9126).

use crate::clock::Millis;
use crate::engine::WriteTx;
use crate::error::{OpError, StoreError};
use crate::message::WriteOp;
use crate::{statements, values};

/// A pushed request lives this long: 90 seconds.
pub const PUSHED_LIFETIME: Millis = 90 * 1000;

statements! {
    INSERT_PUSHED = "INSERT INTO pushed_requests (secret_hash, service_id, parameters, expires_at) \
        VALUES ($1, $2, $3, $4) RETURNING id";
    PUSHED = "SELECT secret_hash, parameters, shown_at IS NOT NULL, chosen_at IS NOT NULL FROM pushed_requests \
        WHERE id = $1 AND service_id = $2 AND expires_at > $3";
    SHOW_PUSHED = "UPDATE pushed_requests SET shown_at = $1 WHERE id = $2";
    CHOOSE_PUSHED = "UPDATE pushed_requests SET shown_at = COALESCE(shown_at, $1), chosen_at = $1 WHERE id = $2";
    PURGE_PUSHED = "DELETE FROM pushed_requests WHERE id IN (SELECT id FROM (SELECT id, expires_at \
        FROM pushed_requests ORDER BY id LIMIT 64) oldest WHERE expires_at < $1)";
}

/// Keeps what a client pushed.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// SHA-256 of the secret half of the `request_uri`.
    pub secret_hash: [u8; 32],
    /// The client.
    pub service_id: i64,
    /// The parameters, as a JSON array of pairs.
    pub parameters: String,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for PushRequest {
    type Output = i64;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<i64, OpError<()>> {
        // Old rows leave by the same door through which new ones come in: a bounded look at the oldest.
        tx.execute(PURGE_PUSHED, values![self.now])?;
        let expires_at = self.now + PUSHED_LIFETIME;
        let values = values![&self.secret_hash, self.service_id, &self.parameters, expires_at];
        Ok(tx.one(INSERT_PUSHED, values, |row| row.get::<i64>(0))?)
    }
}

/// Takes a pushed request up: once to show what there is to choose, once with the provider chosen (RFC 9126, section 4).
#[derive(Debug, Clone)]
pub struct TakeUpPushedRequest {
    /// The row id in front of the secret.
    pub id: i64,
    /// SHA-256 of the secret presented.
    pub secret_hash: [u8; 32],
    /// The client that the browser names. What another pushed is as good as nothing.
    pub service_id: i64,
    /// Whether the provider is chosen.
    pub chosen: bool,
    /// The present moment.
    pub now: Millis,
}

/// No such request of this client, or it expired or was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchRequest;

struct Pushed {
    secret_hash: Vec<u8>,
    parameters: String,
    is_shown: bool,
    is_chosen: bool,
}

impl WriteOp for TakeUpPushedRequest {
    type Output = String;
    type Refused = NoSuchRequest;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<String, OpError<NoSuchRequest>> {
        let found =
            self.find(tx)?.filter(|found| if self.chosen { !found.is_chosen } else { !found.is_shown });
        let Some(found) = found else { return Err(OpError::Refused(NoSuchRequest)) };
        tx.execute(if self.chosen { CHOOSE_PUSHED } else { SHOW_PUSHED }, values![self.now, self.id])?;
        Ok(found.parameters)
    }
}

impl TakeUpPushedRequest {
    fn find(&self, tx: &mut WriteTx<'_>) -> Result<Option<Pushed>, StoreError> {
        let found = tx.optional(PUSHED, values![self.id, self.service_id, self.now], |row| {
            Ok(Pushed {
                secret_hash: row.get(0)?,
                parameters: row.get(1)?,
                is_shown: row.get(2)?,
                is_chosen: row.get(3)?,
            })
        })?;
        // Hashes of 256-bit secrets: how long the comparison takes tells nothing about the secret.
        Ok(found.filter(|found| found.secret_hash == self.secret_hash))
    }
}
