//! A user's own sessions: which there are, since when, from where, and ending them.

use serde_json::json;

use super::audit::{self, AuditContext, Happened};
use super::sessions;
use crate::clock::Millis;
use crate::engine::{ReadTx, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

statements! {
    OWN_SESSIONS = "SELECT x.id, x.public_id, s.slug, s.name, s.client_id, x.provider, x.method, x.scope, \
        x.user_agent, x.ip_address, x.created_at, x.last_used_at, x.expires_at FROM sessions x \
        JOIN services s ON s.id = x.service_id WHERE x.user_id = $1 AND x.org_id = $2 AND x.ended_at IS NULL \
        AND x.expires_at > $3 ORDER BY x.id DESC LIMIT $4 OFFSET $5";
    COUNT_OWN_SESSIONS = "SELECT COUNT(*) FROM sessions x WHERE x.user_id = $1 AND x.org_id = $2 \
        AND x.ended_at IS NULL AND x.expires_at > $3";
    OWN_SESSION = "SELECT id FROM sessions WHERE public_id = $1 AND user_id = $2 AND org_id = $3 \
        AND ended_at IS NULL AND expires_at > $4";
    END_OTHER_SESSIONS = "UPDATE sessions SET ended_at = $1, ended_reason = 'signed_out_elsewhere' \
        WHERE user_id = $2 AND org_id = $3 AND id <> $4 AND ended_at IS NULL AND expires_at > $1";
    END_OTHER_BROWSER_SESSIONS = "UPDATE browser_sessions SET ended_at = $1, ended_reason = 'signed_out_elsewhere' \
        WHERE user_id = $2 AND ended_at IS NULL \
        AND id <> COALESCE((SELECT x.browser_session_id FROM sessions x WHERE x.id = $3), 0)";
    VOID_EARLIER_CODES = "UPDATE users SET signed_out_at = $1, updated_at = $1 WHERE id = $2";
    SESSION_USED = "UPDATE sessions SET last_used_at = $1 WHERE id = $2 \
        AND (last_used_at IS NULL OR last_used_at < $1)";
}

/// Whose sessions: a user in its realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOwner {
    /// Row id of the user.
    pub user_id: i64,
    /// Row id of the organization that is the user's realm.
    pub org_id: i64,
}

/// A live session as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnSession {
    /// Row id.
    pub id: i64,
    /// The `sid` claim.
    pub public_id: String,
    /// Slug, name and client identifier of the service that it is with.
    pub service: (String, String, String),
    /// The provider that the user signed in with.
    pub provider: String,
    /// `web` or `device`.
    pub method: String,
    /// Granted scope, space-separated.
    pub scope: String,
    /// What the device calls itself.
    pub user_agent: String,
    /// The address of the device when it signed in.
    pub ip_address: String,
    /// When it began.
    pub created_at: Millis,
    /// When it was last used, as far as that was written down.
    pub last_used_at: Option<Millis>,
    /// When it ends by itself.
    pub expires_at: Millis,
}

/// The live sessions of a user, newest first, and how many there are in all.
#[derive(Debug, Clone, Copy)]
pub struct OwnSessions {
    /// Whose.
    pub owner: SessionOwner,
    /// The most rows to return.
    pub limit: i64,
    /// Rows to skip.
    pub offset: i64,
    /// The present moment.
    pub now: Millis,
}

impl ReadOp for OwnSessions {
    type Output = (Vec<OwnSession>, i64);

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let SessionOwner { user_id, org_id } = self.owner;
        let page = values![user_id, org_id, self.now, self.limit, self.offset];
        let sessions = tx.all(OWN_SESSIONS, page, |row| {
            Ok(OwnSession {
                id: row.get(0)?,
                public_id: row.get(1)?,
                service: (row.get(2)?, row.get(3)?, row.get(4)?),
                provider: row.get(5)?,
                method: row.get(6)?,
                scope: row.get(7)?,
                user_agent: row.get(8)?,
                ip_address: row.get(9)?,
                created_at: row.get(10)?,
                last_used_at: row.get(11)?,
                expires_at: row.get(12)?,
            })
        })?;
        let total = tx.one(COUNT_OWN_SESSIONS, values![user_id, org_id, self.now], |row| row.get(0))?;
        Ok((sessions, total))
    }
}

/// Ends one of a user's own sessions.
#[derive(Debug, Clone)]
pub struct EndOwnSession {
    /// Whose.
    pub owner: SessionOwner,
    /// Which one.
    pub public_id: String,
    /// Who, from where, when.
    pub audit: AuditContext,
}

/// The user has no such live session. It makes no difference whether somebody else has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchSession;

impl WriteOp for EndOwnSession {
    type Output = ();
    type Refused = NoSuchSession;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<NoSuchSession>> {
        let SessionOwner { user_id, org_id } = self.owner;
        let now = self.audit.now;
        let found =
            tx.optional(OWN_SESSION, values![&self.public_id, user_id, org_id, now], |row| row.get(0))?;
        let Some(id) = found else { return Err(OpError::Refused(NoSuchSession)) };
        sessions::end(tx, id, "signed_out_elsewhere", now)?;
        let happened = Happened {
            org_id,
            action: "session.ended",
            target: ("session", &self.public_id),
            metadata: json!({}),
        };
        audit::append(tx, &self.audit, &happened)?;
        Ok(())
    }
}

/// Ends all of a user's own sessions but one, with the sign-ins of all other browsers, and sees to it that codes handed
/// out before open none.
#[derive(Debug, Clone)]
pub struct EndOtherSessions {
    /// Whose.
    pub owner: SessionOwner,
    /// The user's public id, for the audit log.
    pub user_public_id: String,
    /// Row id of the session that stays.
    pub kept: i64,
    /// Who, from where, when.
    pub audit: AuditContext,
}

impl WriteOp for EndOtherSessions {
    /// How many ended.
    type Output = usize;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<usize, OpError<()>> {
        let SessionOwner { user_id, org_id } = self.owner;
        let now = self.audit.now;
        // Strictly before: whoever signs in at this very moment is let in.
        tx.execute(VOID_EARLIER_CODES, values![now - 1, user_id])?;
        // Or the next app would get a new session in another browser without anybody signing in.
        tx.execute(END_OTHER_BROWSER_SESSIONS, values![now, user_id, self.kept])?;
        let ended = tx.execute(END_OTHER_SESSIONS, values![now, user_id, org_id, self.kept])?;
        // No entry without a change.
        if ended > 0 {
            let happened = Happened {
                org_id,
                action: "user.other_sessions_ended",
                target: ("user", &self.user_public_id),
                metadata: json!({ "ended_sessions": ended }),
            };
            audit::append(tx, &self.audit, &happened)?;
        }
        Ok(ended)
    }
}

/// Writes down when sessions were last used. A time that is older than what is there changes nothing.
#[derive(Debug, Clone)]
pub struct SessionsUsed {
    /// Row id and moment.
    pub used: Vec<(i64, Millis)>,
}

impl WriteOp for SessionsUsed {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        for (id, used_at) in &self.used {
            tx.execute(SESSION_USED, values![*used_at, *id])?;
        }
        Ok(())
    }
}
