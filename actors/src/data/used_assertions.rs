//! Assertions that clients authenticated with (RFC 7523, section 3): each counts once, also after a restart.

use crate::clock::Millis;
use crate::engine::WriteTx;
use crate::error::OpError;
use crate::message::WriteOp;
use crate::{statements, values};

statements! {
    INSERT_USED = "INSERT INTO used_assertions (jti_hash, expires_at) VALUES ($1, $2) \
        ON CONFLICT (jti_hash) DO NOTHING RETURNING id";
    PURGE_USED = "DELETE FROM used_assertions WHERE id IN (SELECT id FROM (SELECT id, expires_at \
        FROM used_assertions ORDER BY id LIMIT 64) oldest WHERE expires_at < $1)";
}

/// Notes that an assertion was used.
#[derive(Debug, Clone)]
pub struct UseAssertion {
    /// SHA-256 of the client and the `jti`.
    pub jti_hash: [u8; 32],
    /// When nobody would accept it any more.
    pub expires_at: Millis,
    /// The present moment.
    pub now: Millis,
}

/// It was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedBefore;

impl WriteOp for UseAssertion {
    type Output = ();
    type Refused = UsedBefore;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<UsedBefore>> {
        // Old rows leave by the same door through which new ones come in: a bounded look at the oldest.
        tx.execute(PURGE_USED, values![self.now])?;
        let inserted = tx.optional(INSERT_USED, values![&self.jti_hash, self.expires_at], |_| Ok(()))?;
        inserted.ok_or(OpError::Refused(UsedBefore))
    }
}
