//! Access tokens: they are not stored, but what makes one void is.

use std::sync::Arc;

use super::sessions::{Subject, select_subject};
use crate::clock::Millis;
use crate::engine::{ReadTx, WriteTx};
use crate::error::{OpError, StoreError};
use crate::memory::{Fact, Memory, Recall, Shelf};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

statements! {
    SUBJECT_OF_TOKEN = concat!(select_subject!(), " WHERE x.public_id = $1");
    IS_REVOKED = "SELECT 1 FROM revoked_access_tokens WHERE jti = $1";
    REVOKE_TOKEN = "INSERT INTO revoked_access_tokens (jti, expires_at) VALUES ($1, $2) ON CONFLICT (jti) DO NOTHING";
    PURGE_REVOKED = "DELETE FROM revoked_access_tokens WHERE jti IN (SELECT jti FROM (SELECT jti, expires_at \
        FROM revoked_access_tokens ORDER BY jti LIMIT 64) oldest WHERE expires_at < $1)";
}

/// How long after its token a row is kept: clocks of our own machines may differ by a minute.
const KEPT_AFTER_EXPIRY: Millis = 2 * 60 * 1000;

/// What the database knows about an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenStanding {
    /// The session behind it, ended or not.
    pub subject: Arc<Subject>,
    /// Whether this one token was revoked.
    pub is_revoked: bool,
}

/// How does a token stand that names this session and this id? None when there is no such session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccessTokenStanding {
    /// The `sid` claim.
    pub session_public_id: String,
    /// The `jti` claim.
    pub jti: String,
}

impl ReadOp for AccessTokenStanding {
    type Output = Option<TokenStanding>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let subject = tx.optional(SUBJECT_OF_TOKEN, values![&self.session_public_id], Subject::from_row)?;
        let Some(subject) = subject else { return Ok(None) };
        let is_revoked = tx.optional(IS_REVOKED, values![&self.jti], |_| Ok(()))?.is_some();
        Ok(Some(TokenStanding { subject: Arc::new(subject), is_revoked }))
    }
}

impl Recall for AccessTokenStanding {
    type Answer = TokenStanding;

    fn facts(TokenStanding { subject, .. }: &TokenStanding) -> Vec<Fact> {
        vec![
            Fact::Session(subject.session_id),
            Fact::User(subject.user_id),
            Fact::Organization(subject.org_id),
            Fact::Service(subject.service_id),
            Fact::Plans,
            Fact::Subscriptions,
            Fact::RevokedTokens,
        ]
    }

    fn shelf(memory: &Memory) -> &Shelf<Self> {
        &memory.tokens
    }
}

/// Was the token of this id revoked?
#[derive(Debug, Clone)]
pub struct JtiRevoked {
    /// The `jti` claim.
    pub jti: String,
}

impl ReadOp for JtiRevoked {
    type Output = bool;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<bool, StoreError> {
        Ok(tx.optional(IS_REVOKED, values![&self.jti], |_| Ok(()))?.is_some())
    }
}

/// Revokes one access token (RFC 7009). Its session and the tokens beside it live on.
#[derive(Debug, Clone)]
pub struct RevokeAccessToken {
    /// The `jti` claim of a token that was issued here.
    pub jti: String,
    /// When the token expires by itself.
    pub expires_at: Millis,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for RevokeAccessToken {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        tx.execute(PURGE_REVOKED, values![self.now - KEPT_AFTER_EXPIRY])?;
        tx.execute(REVOKE_TOKEN, values![&self.jti, self.expires_at])?;
        tx.changed(Fact::RevokedTokens);
        Ok(())
    }
}
