//! Browser sessions: one sign-in at a provider for all services of a realm (single sign-on).

use super::{json_list, string_list};
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::StoreError;
use crate::message::ReadOp;
use crate::{statements, values};

/// A browser session that is not used for this long is dead: 24 hours.
pub const BROWSER_SESSION_IDLE: Millis = 24 * 60 * 60 * 1000;
/// After this time the person signs in at the provider again, however often the session was used: 7 days.
pub const BROWSER_SESSION_LIFETIME: Millis = 7 * 24 * 60 * 60 * 1000;

/// Why a session ended whose browser signed in again. Nobody signed out: codes that it led to stay good.
pub(super) const REPLACED: &str = "replaced";

/// How often a browser may sign in anew while a code is on its way.
const MOST_REPLACEMENTS: usize = 16;

/// The columns of [`BrowserSession`], for every statement that reads one.
macro_rules! select_browser_session {
    () => {
        "SELECT b.id, b.secret_hash, b.org_id, b.user_id, u.public_id, u.email, u.name, b.provider, b.amr, \
         b.authenticated_at, b.expires_at, b.ended_at, u.signed_out_at, u.erased_at, o.status \
         FROM browser_sessions b JOIN users u ON u.id = b.user_id JOIN organizations o ON o.id = b.org_id"
    };
}

statements! {
    BROWSER_SESSION = concat!(select_browser_session!(), " WHERE b.id = $1");
    INSERT_BROWSER_SESSION = "INSERT INTO browser_sessions (secret_hash, org_id, user_id, provider, amr, \
        authenticated_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";
    USE_BROWSER_SESSION = "UPDATE browser_sessions SET expires_at = $1 WHERE id = $2";
    END_BROWSER_SESSION = "UPDATE browser_sessions SET ended_at = $1, ended_reason = $2 \
        WHERE id = $3 AND secret_hash = $4 AND ended_at IS NULL";
    REPLACE_BROWSER_SESSION = "UPDATE browser_sessions SET ended_at = $1, ended_reason = $2, \
        replaced_by = CASE WHEN user_id = $3 THEN $4 END \
        WHERE id = $5 AND secret_hash = $6 AND org_id = $7 AND ended_at IS NULL";
    REPLACED_BY = "SELECT b.id, b.ended_reason FROM browser_sessions a JOIN browser_sessions b ON b.id = a.replaced_by \
        WHERE a.id = $1";
    END_BROWSER_SESSION_BY_ID = "UPDATE browser_sessions SET ended_at = $1, ended_reason = $2 \
        WHERE id = $3 AND ended_at IS NULL";
    END_BROWSER_SESSIONS_OF_USER = "UPDATE browser_sessions SET ended_at = $1, ended_reason = $2 \
        WHERE user_id = $3 AND ended_at IS NULL";
    END_BROWSER_SESSIONS_OF_ORGANIZATION = "UPDATE browser_sessions SET ended_at = $1, ended_reason = $2 \
        WHERE org_id = $3 AND ended_at IS NULL";
    END_SESSIONS_OF_BROWSER = "UPDATE sessions SET ended_at = $1, ended_reason = $2 \
        WHERE browser_session_id = $3 AND ended_at IS NULL";
    RELINK_SESSIONS = "UPDATE sessions SET browser_session_id = $1 WHERE browser_session_id = $2 AND user_id = $3";
    LINK_SESSION_TO_BROWSER = "UPDATE sessions SET browser_session_id = $1 WHERE id = $2";
    PURGE_BROWSER_SESSIONS = "DELETE FROM browser_sessions WHERE id IN (SELECT id FROM (SELECT id, authenticated_at \
        FROM browser_sessions ORDER BY id LIMIT 64) oldest WHERE authenticated_at < $1)";
}

/// A browser session as its cookie names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrowserToken {
    /// The row id in front of the secret.
    pub id: i64,
    /// SHA-256 of the secret presented.
    pub secret_hash: [u8; 32],
}

/// A browser that is signed in to a realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserSession {
    /// Row id.
    pub id: i64,
    /// The realm.
    pub org_id: i64,
    /// Row id of the user.
    pub user_id: i64,
    /// The user's `sub`.
    pub user_public_id: String,
    /// The user's verified address.
    pub email: Option<String>,
    /// The user's name.
    pub name: Option<String>,
    /// The provider that vouched.
    pub provider: String,
    /// How the person authenticated there (RFC 8176), when the provider said so.
    pub amr: Vec<String>,
    /// When the person came from the provider: the `auth_time` of every service.
    pub authenticated_at: Millis,
    secret_hash: Vec<u8>,
    expires_at: Millis,
    is_over: bool,
}

impl BrowserSession {
    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        let authenticated_at: Millis = row.get(9)?;
        let ended = row.get::<Option<Millis>>(11)?.is_some();
        // The same second lock as for codes: whatever came before a revocation opens nothing after it.
        let revoked = row.get::<Option<Millis>>(12)?.is_some_and(|at| at >= authenticated_at);
        let erased = row.get::<Option<Millis>>(13)?.is_some();
        let inactive = row.get::<String>(14)? != "active";
        Ok(Self {
            id: row.get(0)?,
            secret_hash: row.get(1)?,
            org_id: row.get(2)?,
            user_id: row.get(3)?,
            user_public_id: row.get(4)?,
            email: row.get(5)?,
            name: row.get(6)?,
            provider: row.get(7)?,
            amr: string_list("browser_sessions", "amr", &row.get::<String>(8)?)?,
            authenticated_at,
            expires_at: row.get(10)?,
            is_over: ended || revoked || erased || inactive,
        })
    }

    fn is_live(&self, now: Millis) -> bool {
        !self.is_over && now < self.expires_at
    }
}

/// The live session that a cookie names, if it belongs to this realm.
pub(crate) fn find(
    tx: &mut ReadTx<'_>,
    token: &BrowserToken,
    org_id: i64,
    now: Millis,
) -> Result<Option<BrowserSession>, StoreError> {
    let session = tx.optional(BROWSER_SESSION, values![token.id], BrowserSession::from_row)?;
    // Hashes of 256-bit secrets: how long the comparison takes tells nothing about the secret.
    let genuine = |session: &BrowserSession| session.secret_hash == token.secret_hash;
    Ok(session.filter(|session| genuine(session) && session.org_id == org_id && session.is_live(now)))
}

/// Is this browser signed in to that realm?
#[derive(Debug, Clone, Copy)]
pub struct BrowserSessionByToken {
    /// What the cookie says.
    pub token: BrowserToken,
    /// The realm: a session of another one is as good as none.
    pub org_id: i64,
    /// The present moment.
    pub now: Millis,
}

impl ReadOp for BrowserSessionByToken {
    type Output = Option<BrowserSession>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        find(tx, &self.token, self.org_id, self.now)
    }
}

/// A browser session to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBrowserSession {
    /// SHA-256 of the cookie's secret. Fresh at every sign-in: a cookie that was there before is never adopted.
    pub secret_hash: [u8; 32],
    /// How the person authenticated at the provider.
    pub amr: Vec<String>,
    /// The session of the same realm that this browser had before. The new one takes its place.
    pub replaces: Option<BrowserToken>,
}

/// Who came from which provider.
pub(crate) struct Visitor<'a> {
    pub(crate) org_id: i64,
    pub(crate) user_id: i64,
    pub(crate) provider: &'a str,
}

/// Opens a browser session and returns its row id.
pub(crate) fn open(
    tx: &mut WriteTx<'_>,
    new: &NewBrowserSession,
    visitor: &Visitor<'_>,
    now: Millis,
) -> Result<i64, StoreError> {
    let amr = json_list(&new.amr);
    let values = values![
        &new.secret_hash,
        visitor.org_id,
        visitor.user_id,
        visitor.provider,
        &amr,
        now,
        now + BROWSER_SESSION_IDLE,
    ];
    let id = tx.one(INSERT_BROWSER_SESSION, values, |row| row.get::<i64>(0))?;
    // After the new row is in, which is never among the old ones: so no id is given out twice.
    tx.execute(PURGE_BROWSER_SESSIONS, values![now - BROWSER_SESSION_LIFETIME])?;
    if let Some(old) = &new.replaces {
        replace(tx, old, (id, visitor), now)?;
    }
    Ok(id)
}

/// Ends a session in favour of a newer one of the same browser, which inherits the apps that the same person uses.
fn replace(
    tx: &mut WriteTx<'_>,
    old: &BrowserToken,
    (id, visitor): (i64, &Visitor<'_>),
    now: Millis,
) -> Result<(), StoreError> {
    // Of this realm only: a cookie under the name of another is nobody's here.
    let values = values![now, REPLACED, visitor.user_id, id, old.id, &old.secret_hash, visitor.org_id];
    if tx.execute(REPLACE_BROWSER_SESSION, values)? == 1 {
        tx.execute(RELINK_SESSIONS, values![id, old.id, visitor.user_id])?;
    }
    Ok(())
}

/// The session that stands now where this replaced one stood, and why it ended if it did. More replacements in the
/// life of a code than a person makes count as signed out.
pub(crate) fn successor(tx: &mut ReadTx<'_>, id: i64) -> Result<(i64, Option<String>), StoreError> {
    let (mut id, mut ended) = (id, Some(REPLACED.to_owned()));
    for _ in 0..MOST_REPLACEMENTS {
        let next = tx.optional(REPLACED_BY, values![id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let Some(next) = next else { return Ok((id, ended)) };
        (id, ended) = next;
        if ended.as_deref() != Some(REPLACED) {
            return Ok((id, ended));
        }
    }
    Ok((id, Some("replaced_too_often".to_owned())))
}

/// Notes that a session was used: it lives on, within its bound.
pub(crate) fn touch(tx: &mut WriteTx<'_>, session: &BrowserSession, now: Millis) -> Result<(), StoreError> {
    let expires_at = (now + BROWSER_SESSION_IDLE).min(session.authenticated_at + BROWSER_SESSION_LIFETIME);
    tx.execute(USE_BROWSER_SESSION, values![expires_at, session.id])?;
    Ok(())
}

/// Remembers through which browser's sign-in an app's session came to be.
pub(crate) fn link(
    tx: &mut WriteTx<'_>,
    session_id: i64,
    browser_session_id: Option<i64>,
) -> Result<(), StoreError> {
    if browser_session_id.is_some() {
        tx.execute(LINK_SESSION_TO_BROWSER, values![browser_session_id, session_id])?;
    }
    Ok(())
}

/// Ends every browser session of a user.
pub(crate) fn end_all_of_user(
    tx: &mut WriteTx<'_>,
    user_id: i64,
    reason: &'static str,
    now: Millis,
) -> Result<usize, StoreError> {
    tx.execute(END_BROWSER_SESSIONS_OF_USER, values![now, reason, user_id])
}

/// Ends every browser session of a realm.
pub(crate) fn end_all_of_organization(
    tx: &mut WriteTx<'_>,
    org_id: i64,
    reason: &'static str,
    now: Millis,
) -> Result<usize, StoreError> {
    tx.execute(END_BROWSER_SESSIONS_OF_ORGANIZATION, values![now, reason, org_id])
}

/// Ends a browser session, and every app's session that it led to. Returns how many of these.
pub(crate) fn end(
    tx: &mut WriteTx<'_>,
    id: i64,
    reason: &'static str,
    now: Millis,
) -> Result<usize, StoreError> {
    tx.execute(END_BROWSER_SESSION_BY_ID, values![now, reason, id])?;
    tx.execute(END_SESSIONS_OF_BROWSER, values![now, reason, id])
}

/// The same for the one that a cookie names.
pub(crate) fn end_by_token(
    tx: &mut WriteTx<'_>,
    token: &BrowserToken,
    reason: &'static str,
    now: Millis,
) -> Result<usize, StoreError> {
    match tx.execute(END_BROWSER_SESSION, values![now, reason, token.id, &token.secret_hash])? {
        0 => Ok(0),
        _ => tx.execute(END_SESSIONS_OF_BROWSER, values![now, reason, token.id]),
    }
}
