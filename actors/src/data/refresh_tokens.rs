//! Refresh tokens: each is used once, and its use yields the next one.

use serde_json::json;

use super::audit::{self, AuditContext, Happened};
use super::sessions::{self, Grant, Subject};
use super::token_binding::TokenBinding;
use crate::clock::Millis;
use crate::engine::WriteTx;
use crate::error::{OpError, StoreError};
use crate::message::WriteOp;
use crate::{statements, values};

/// A refresh token that is not used for this long is dead: 30 days.
pub const REFRESH_LIFETIME: Millis = 30 * 24 * 60 * 60 * 1000;
/// Within this time after its use a refresh token may be used again and yields the same successor: 10 seconds.
pub const REFRESH_GRACE: Millis = 10 * 1000;

statements! {
    INSERT_REFRESH_TOKEN = "INSERT INTO refresh_tokens (session_id, secret_hash, created_at, expires_at) \
        VALUES ($1, $2, $3, $4) RETURNING id";
    REFRESH_TOKEN = "SELECT session_id, secret_hash, expires_at, used_at, successor_id \
        FROM refresh_tokens WHERE id = $1";
    CLIENT_OF_SESSION = "SELECT COALESCE(s.token_endpoint_auth_method <> 'none', EXISTS (SELECT 1 \
        FROM client_secrets c WHERE c.service_id = s.id AND c.expires_at IS NULL)), s.dpop_bound_access_tokens \
        FROM sessions x JOIN services s ON s.id = x.service_id WHERE x.id = $1";
    SUCCESSOR_UNUSED = "SELECT 1 FROM refresh_tokens WHERE id = $1 AND used_at IS NULL";
    USE_REFRESH_TOKEN = "UPDATE refresh_tokens SET used_at = $1, successor_id = $2 WHERE id = $3";
}

/// Issues a refresh token of a session; when it is issued, and when it expires. Returns its row id.
pub(super) fn issue(
    tx: &mut WriteTx<'_>,
    session_id: i64,
    secret_hash: &[u8; 32],
    (now, expires_at): (Millis, Millis),
) -> Result<i64, StoreError> {
    tx.one(INSERT_REFRESH_TOKEN, values![session_id, secret_hash, now, expires_at], |row| row.get(0))
}

/// Uses a refresh token (RFC 6749, section 6) and issues its successor (RFC 9700, section 4.14.2).
#[derive(Debug, Clone)]
pub struct RotateRefreshToken {
    /// The row id in front of the secret.
    pub id: i64,
    /// SHA-256 of the secret presented.
    pub secret_hash: [u8; 32],
    /// SHA-256 of the successor's secret, which follows from the one presented.
    pub successor_hash: [u8; 32],
    /// The client that presents it, where the endpoint knows it; authenticated when it is confidential.
    pub client_id: Option<String>,
    /// The key that the client proved to hold (RFC 9449) and what the access token is to be for (RFC 8707).
    pub asked: TokenBinding,
    /// The scope asked for, when it is named: within what was granted (RFC 6749, section 6).
    pub requested_scope: Option<String>,
    /// The present moment.
    pub now: Millis,
    /// From where, for the entry that a reuse leaves in the audit log.
    pub audit: AuditContext,
}

/// What the use of a refresh token led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// A fresh successor, or within the grace the same one again.
    Granted(Box<Grant>),
    /// The token was used before: somebody else has it. The session is over.
    Reused,
}

/// Why a refresh token was refused without any change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshRefusal {
    /// No such token, or the secret is wrong.
    Unknown,
    /// It belongs to another client.
    OtherClient,
    /// It belongs to a confidential client, and none authenticated (RFC 6749, section 6).
    ClientNotAuthenticated,
    /// It expired, or its session ended.
    Over,
    /// More scope is asked for than was granted.
    ScopeTooWide,
    /// The client asks for tokens that are bound to a key, and none was proved.
    ProofNeeded,
    /// It is bound to a key that the client did not prove to hold.
    OtherKey,
    /// It is asked for a resource that the sign-in was not for.
    OtherResource,
    /// The organization is not active.
    OrganizationNotActive,
}

struct StoredToken {
    session_id: i64,
    secret_hash: Vec<u8>,
    expires_at: Millis,
    used_at: Option<Millis>,
    successor_id: Option<i64>,
}

impl WriteOp for RotateRefreshToken {
    type Output = Rotation;
    type Refused = RefreshRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Rotation, OpError<RefreshRefusal>> {
        let refused = |reason| Err(OpError::Refused(reason));
        let Some(token) = self.stored(tx)? else { return refused(RefreshRefusal::Unknown) };
        let subject = sessions::subject(tx, token.session_id)?;
        if self.client_id.as_ref().is_some_and(|client_id| *client_id != subject.client_id) {
            return refused(RefreshRefusal::OtherClient);
        }
        if self.client_id.is_none() {
            self.check_unnamed_client(tx, token.session_id)?;
        }
        let mut binding = TokenBinding::of_session(tx, token.session_id)?;
        // RFC 9449, section 5: the refresh token of a public client is bound to its key.
        if !binding.admits_key(self.asked.dpop_jkt.as_deref()) {
            return refused(RefreshRefusal::OtherKey);
        }
        if !subject.is_org_active() {
            return refused(RefreshRefusal::OrganizationNotActive);
        }
        if !subject.is_live(self.now) || token.expires_at <= self.now {
            return refused(RefreshRefusal::Over);
        }
        if let Some(requested) = &self.requested_scope
            && !requested.split(' ').all(|word| subject.scope.split(' ').any(|granted| granted == word))
        {
            return refused(RefreshRefusal::ScopeTooWide);
        }
        let any_left = binding.keep_registered(tx, token.session_id)?;
        if !any_left || !binding.admits_resources(&self.asked.resources) {
            return refused(RefreshRefusal::OtherResource);
        }
        let refresh_token_id = match (token.used_at, token.successor_id) {
            (None, _) => self.issue_successor(tx, &token, &subject)?,
            (Some(used_at), Some(successor_id)) if self.may_repeat(tx, used_at, successor_id)? => {
                successor_id
            }
            _ => {
                self.end_family(tx, &subject)?;
                return Ok(Rotation::Reused);
            }
        };
        Ok(Rotation::Granted(Box::new(Grant { subject, refresh_token_id, binding })))
    }
}

impl RotateRefreshToken {
    /// Where the endpoint knows no client, the token says whose it is, and that client's rules hold.
    fn check_unnamed_client(
        &self,
        tx: &mut WriteTx<'_>,
        session_id: i64,
    ) -> Result<(), OpError<RefreshRefusal>> {
        let (is_confidential, wants_proof) = tx.one(CLIENT_OF_SESSION, values![session_id], |row| {
            Ok((row.get::<bool>(0)?, row.get::<bool>(1)?))
        })?;
        if is_confidential {
            return Err(OpError::Refused(RefreshRefusal::ClientNotAuthenticated));
        }
        // RFC 9449, section 5.2.
        if wants_proof && self.asked.dpop_jkt.is_none() {
            return Err(OpError::Refused(RefreshRefusal::ProofNeeded));
        }
        Ok(())
    }

    fn stored(&self, tx: &mut WriteTx<'_>) -> Result<Option<StoredToken>, StoreError> {
        let token = tx.optional(REFRESH_TOKEN, values![self.id], |row| {
            Ok(StoredToken {
                session_id: row.get(0)?,
                secret_hash: row.get(1)?,
                expires_at: row.get(2)?,
                used_at: row.get(3)?,
                successor_id: row.get(4)?,
            })
        })?;
        // Hashes of 256-bit secrets: how long the comparison takes tells nothing about the secret.
        Ok(token.filter(|token| token.secret_hash == self.secret_hash))
    }

    fn issue_successor(
        &self,
        tx: &mut WriteTx<'_>,
        token: &StoredToken,
        subject: &Subject,
    ) -> Result<i64, StoreError> {
        let expires_at = (self.now + REFRESH_LIFETIME).min(subject.expires_at);
        let successor_id = issue(tx, token.session_id, &self.successor_hash, (self.now, expires_at))?;
        tx.execute(USE_REFRESH_TOKEN, values![self.now, successor_id, self.id])?;
        Ok(successor_id)
    }

    /// RFC 9700, section 4.14.2: one of two holders is a thief, and which one is not known.
    fn end_family(&self, tx: &mut WriteTx<'_>, subject: &Subject) -> Result<(), StoreError> {
        sessions::end(tx, subject.session_id, "refresh_token_reused", self.now)?;
        let happened = Happened {
            org_id: subject.org_id,
            action: "session.refresh_token_reused",
            target: ("session", &subject.session_public_id),
            metadata: json!({ "user_id": subject.user_public_id, "client_id": subject.client_id }),
        };
        audit::append(tx, &self.audit, &happened)
    }

    /// A client that lost our answer asks again: inside the grace, and as long as nobody used the successor.
    fn may_repeat(
        &self,
        tx: &mut WriteTx<'_>,
        used_at: Millis,
        successor_id: i64,
    ) -> Result<bool, StoreError> {
        if self.now - used_at > REFRESH_GRACE {
            return Ok(false);
        }
        Ok(tx.optional(SUCCESSOR_UNUSED, values![successor_id], |_| Ok(()))?.is_some())
    }
}
