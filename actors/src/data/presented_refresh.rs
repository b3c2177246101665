//! Refresh tokens as their holder shows them without using them: to ask how one stands (RFC 7662), or to give one up
//! (RFC 7009).

use super::sessions::{self, Subject};
use crate::clock::Millis;
use crate::engine::{ReadTx, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

statements! {
    PRESENTED_REFRESH_TOKEN = "SELECT session_id, secret_hash, created_at, expires_at, used_at FROM refresh_tokens \
        WHERE id = $1";
}

/// A refresh token as a client holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresentedRefreshToken {
    /// The row id in front of the secret.
    pub id: i64,
    /// SHA-256 of the secret presented.
    pub secret_hash: [u8; 32],
}

/// What the database knows about a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshTokenStanding {
    /// The session that it keeps alive, ended or not.
    pub subject: Subject,
    /// When it was issued.
    pub created_at: Millis,
    /// When it expires by itself.
    pub expires_at: Millis,
    /// Whether it was used. Its successor may live; it is over.
    pub is_used: bool,
}

impl PresentedRefreshToken {
    fn standing(&self, tx: &mut ReadTx<'_>) -> Result<Option<RefreshTokenStanding>, StoreError> {
        let token = tx.optional(PRESENTED_REFRESH_TOKEN, values![self.id], |row| {
            Ok((
                (row.get::<i64>(0)?, row.get::<Vec<u8>>(1)?),
                (row.get::<Millis>(2)?, row.get::<Millis>(3)?, row.get::<Option<Millis>>(4)?),
            ))
        })?;
        // Hashes of 256-bit secrets: how long the comparison takes tells nothing about the secret.
        let Some(((session_id, _), (created_at, expires_at, used_at))) =
            token.filter(|((_, secret_hash), _)| *secret_hash == self.secret_hash)
        else {
            return Ok(None);
        };
        let subject = sessions::subject(tx, session_id)?;
        Ok(Some(RefreshTokenStanding { subject, created_at, expires_at, is_used: used_at.is_some() }))
    }
}

/// How does this refresh token stand? None when it was never issued.
impl ReadOp for PresentedRefreshToken {
    type Output = Option<RefreshTokenStanding>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        self.standing(tx)
    }
}

/// Gives a refresh token up: its session ends, and with it every token of the session (RFC 7009, section 2.1). One that
/// was used or expired gives the session up as well: its holder wants it over.
#[derive(Debug, Clone)]
pub struct RevokeRefreshToken {
    /// What is given up.
    pub token: PresentedRefreshToken,
    /// The client that gives it up; authenticated when it is confidential.
    pub client_id: String,
    /// The present moment.
    pub now: Millis,
}

/// The token belongs to another client. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherClient;

impl WriteOp for RevokeRefreshToken {
    type Output = ();
    type Refused = OtherClient;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<OtherClient>> {
        let Some(standing) = self.token.standing(tx)? else { return Ok(()) };
        if standing.subject.client_id != self.client_id {
            return Err(OpError::Refused(OtherClient));
        }
        sessions::end(tx, standing.subject.session_id, "token_revoked", self.now)?;
        Ok(())
    }
}
