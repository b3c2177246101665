//! Login events: one for every sign-in, written in the transaction that makes the session, and a bounded number of
//! those that failed.

use super::login_counts::{self, Counted};
use super::login_users;
use crate::clock::Millis;
use crate::engine::WriteTx;
use crate::error::{OpError, StoreError};
use crate::message::WriteOp;
use crate::{statements, values};

statements! {
    INSERT_LOGIN_EVENT = "INSERT INTO login_events (public_id, org_id, service_id, user_id, provider, method, \
        succeeded, reason, ip_address, user_agent, previous_id, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id";
    FAILURE_MINUTE = "SELECT minute, kept FROM login_failure_minutes WHERE org_id = $1";
    SET_FAILURE_MINUTE = "INSERT INTO login_failure_minutes (org_id, minute, kept) VALUES ($1, $2, $3) \
        ON CONFLICT (org_id) DO UPDATE SET minute = excluded.minute, kept = excluded.kept";
    CODE_FOR_EVENT = "SELECT secret_hash, org_id, service_id, user_id, provider, ip_address, user_agent \
        FROM authorization_codes WHERE id = $1";
}

/// Failed sign-ins of an organization that get an event, per minute. The others are counted and nothing more: whoever
/// fails on purpose must not fill the disk.
pub const KEPT_PER_MINUTE: i64 = 60;
/// The same, per day.
pub const KEPT_PER_DAY: i64 = 10_000;

const MINUTE: Millis = 60 * 1000;
const DAY: Millis = 24 * 60 * MINUTE;

/// The day of UTC that a moment belongs to, counted from 1970-01-01.
#[must_use]
pub fn day_of(moment: Millis) -> i64 {
    moment.div_euclid(DAY)
}

/// The minute that a moment belongs to.
pub(crate) fn minute_of(moment: Millis) -> i64 {
    moment.div_euclid(MINUTE)
}

/// From where somebody signed in, as far as it can be known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenFrom {
    /// The address of the client.
    pub ip_address: String,
    /// What the client calls itself.
    pub user_agent: String,
}

/// A sign-in, whatever its outcome.
pub(crate) struct Login<'a> {
    pub(crate) public_id: &'a str,
    pub(crate) org_id: i64,
    pub(crate) service_id: i64,
    pub(crate) provider: &'a str,
    pub(crate) method: &'static str,
    pub(crate) seen_from: &'a SeenFrom,
    pub(crate) now: Millis,
}

/// Records a sign-in that made a session. Part of the transaction that makes it.
pub(crate) fn succeeded(tx: &mut WriteTx<'_>, login: &Login<'_>, user_id: i64) -> Result<(), StoreError> {
    let day = day_of(login.now);
    let known = login_users::known(tx, user_id)?;
    let neighbours = login_users::neighbours_if_first_of_day(tx, known.as_ref(), day)?;
    let previous_id = known.as_ref().map(|known| known.last_event_id);
    let event_id = insert(tx, login, (Some(user_id), previous_id), None)?;
    login_users::remember(tx, (user_id, login.org_id), Some(day), event_id)?;
    if let Some(neighbours) = neighbours {
        login_users::extend_activity(tx, login.org_id, day, neighbours)?;
    }
    let first = i64::from(neighbours.is_some());
    login_counts::add(tx, login, Counted { successes: 1, users: first, ..Counted::default() }, Some(event_id))
}

/// Records a sign-in that led to nothing: counted always, with an event as long as there is room for one.
pub(crate) fn failed(
    tx: &mut WriteTx<'_>,
    login: &Login<'_>,
    user_id: Option<i64>,
    reason: &'static str,
) -> Result<(), StoreError> {
    if !has_room(tx, login)? {
        return login_counts::add(tx, login, Counted { dropped: 1, ..Counted::default() }, None);
    }
    let known = user_id.map(|user_id| login_users::known(tx, user_id)).transpose()?.flatten();
    let previous_id = known.map(|known| known.last_event_id);
    let event_id = insert(tx, login, (user_id, previous_id), Some(reason))?;
    if let Some(user_id) = user_id {
        login_users::remember(tx, (user_id, login.org_id), None, event_id)?;
    }
    login_counts::add(tx, login, Counted { failures: 1, ..Counted::default() }, Some(event_id))
}

/// Takes one of the organization's places of this minute and this day.
fn has_room(tx: &mut WriteTx<'_>, login: &Login<'_>) -> Result<bool, StoreError> {
    let minute = minute_of(login.now);
    let window = tx.optional(FAILURE_MINUTE, values![login.org_id], |row| {
        Ok((row.get::<i64>(0)?, row.get::<i64>(1)?))
    })?;
    let kept = window.filter(|(of, _)| *of == minute).map_or(0, |(_, kept)| kept);
    let kept_today = login_counts::failures_of_day(tx, login.org_id, day_of(login.now))?;
    if kept >= KEPT_PER_MINUTE || kept_today >= KEPT_PER_DAY {
        return Ok(false);
    }
    tx.execute(SET_FAILURE_MINUTE, values![login.org_id, minute, kept + 1])?;
    Ok(true)
}

fn insert(
    tx: &mut WriteTx<'_>,
    login: &Login<'_>,
    (user_id, previous_id): (Option<i64>, Option<i64>),
    reason: Option<&'static str>,
) -> Result<i64, StoreError> {
    let values = values![
        login.public_id,
        login.org_id,
        login.service_id,
        user_id,
        login.provider,
        login.method,
        reason.is_none(),
        reason,
        &login.seen_from.ip_address,
        &login.seen_from.user_agent,
        previous_id,
        login.now,
    ];
    tx.one(INSERT_LOGIN_EVENT, values, |row| row.get(0))
}

/// Notes a sign-in that failed before anybody was known to have signed in.
#[derive(Debug, Clone)]
pub struct NoteFailedSignIn {
    /// UUID of the event.
    pub public_id: String,
    /// Row id of the organization.
    pub org_id: i64,
    /// Row id of the service.
    pub service_id: i64,
    /// The provider.
    pub provider: String,
    /// `web` or `device`.
    pub method: &'static str,
    /// From where.
    pub seen_from: SeenFrom,
    /// One word: `cancelled`, `email_in_use`, ...
    pub reason: &'static str,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for NoteFailedSignIn {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        let login = Login {
            public_id: &self.public_id,
            org_id: self.org_id,
            service_id: self.service_id,
            provider: &self.provider,
            method: self.method,
            seen_from: &self.seen_from,
            now: self.now,
        };
        failed(tx, &login, None, self.reason)?;
        Ok(())
    }
}

/// Notes that a genuine authorization code was presented and refused: the person signed in, the app got nothing.
#[derive(Debug, Clone)]
pub struct NoteRefusedCode {
    /// UUID of the event.
    pub public_id: String,
    /// The row id in front of the code's secret.
    pub code_id: i64,
    /// SHA-256 of the secret presented. Another secret notes nothing.
    pub secret_hash: [u8; 32],
    /// One word: `code_expired`, `code_verifier`, ...
    pub reason: &'static str,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for NoteRefusedCode {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        let code = tx.optional(CODE_FOR_EVENT, values![self.code_id], |row| {
            let seen_from = SeenFrom { ip_address: row.get(5)?, user_agent: row.get(6)? };
            let (org_id, service_id, user_id): (i64, i64, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
            Ok((row.get::<Vec<u8>>(0)?, (org_id, service_id, user_id), row.get::<String>(4)?, seen_from))
        })?;
        let Some((secret_hash, (org_id, service_id, user_id), provider, seen_from)) = code else {
            return Ok(());
        };
        if secret_hash != self.secret_hash {
            return Ok(());
        }
        let login = Login {
            public_id: &self.public_id,
            org_id,
            service_id,
            provider: &provider,
            method: "web",
            seen_from: &seen_from,
            now: self.now,
        };
        failed(tx, &login, Some(user_id), self.reason)?;
        Ok(())
    }
}
