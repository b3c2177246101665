//! What nobody needs any more, in pieces so small that no write waits for them. Lifetimes are enforced where a row is
//! used; nothing here makes anything expire.

use super::browser_sessions::BROWSER_SESSION_LIFETIME;
use super::login_events::minute_of;
use super::{authorization_codes, device_codes, login_proof};
use crate::clock::Millis;
use crate::engine::{ReadTx, Statement, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{Lane, ReadOp, WriteOp};
use crate::{statements, values};

/// Of the oldest rows of a table after one of them, those that expired before a moment; rows of one table all live
/// equally long, so the oldest expire first.
macro_rules! sweep {
    ($table:literal, $moment:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE id IN (SELECT id FROM (SELECT id, ",
            $moment,
            " FROM ",
            $table,
            " WHERE id > $1 ORDER BY id LIMIT $2) oldest WHERE ",
            $moment,
            " < $3)"
        )
    };
}

/// The last one of the rows that the same piece of a sweep looks at.
macro_rules! last {
    ($table:literal) => {
        concat!("SELECT MAX(id) FROM (SELECT id FROM ", $table, " WHERE id > $1 ORDER BY id LIMIT $2) piece")
    };
}

macro_rules! old_stripe_event {
    ($before:literal) => {
        concat!(
            "status <> 'waiting' AND finished_at < ",
            $before,
            " - CASE status WHEN 'dead' THEN 31536000000 ELSE 0 END"
        )
    };
}

statements! {
    SWEEP_CODES = sweep!("authorization_codes", "expires_at");
    SWEEP_DEVICE_CODES = sweep!("device_codes", "expires_at");
    SWEEP_LOGIN_STATES = sweep!("login_state_claims", "expires_at");
    SWEEP_REFRESH_TOKENS = sweep!("refresh_tokens", "expires_at");
    SWEEP_WAITING_GRANTS = sweep!("waiting_grants", "expires_at");
    SWEEP_PUSHED_REQUESTS = sweep!("pushed_requests", "expires_at");
    SWEEP_ASSERTIONS = sweep!("used_assertions", "expires_at");
    // The newest one stays, so that no id is given out twice.
    SWEEP_BROWSER_SESSIONS = concat!(
        sweep!("browser_sessions", "authenticated_at"),
        " AND id < (SELECT MAX(id) FROM browser_sessions)"
    );
    SWEEP_LOGIN_EVENTS = sweep!("login_events", "created_at");
    LAST_CODE = last!("authorization_codes");
    LAST_DEVICE_CODE = last!("device_codes");
    LAST_LOGIN_STATE = last!("login_state_claims");
    LAST_REFRESH_TOKEN = last!("refresh_tokens");
    LAST_WAITING_GRANT = last!("waiting_grants");
    LAST_PUSHED_REQUEST = last!("pushed_requests");
    LAST_ASSERTION = last!("used_assertions");
    LAST_BROWSER_SESSION = last!("browser_sessions");
    LAST_LOGIN_EVENT = last!("login_events");
    SWEEP_LOGIN_MINUTES = "DELETE FROM platform_login_minutes WHERE minute IN (SELECT minute \
        FROM platform_login_minutes WHERE minute < $1 ORDER BY minute LIMIT $2)";
    // The key is a UUID of version 7, so the oldest come first.
    SWEEP_REVOKED_TOKENS = "DELETE FROM revoked_access_tokens WHERE jti IN (SELECT jti FROM (SELECT jti, expires_at \
        FROM revoked_access_tokens ORDER BY jti LIMIT $1) oldest WHERE expires_at < $2)";
    SESSIONS_AFTER = "SELECT id, COALESCE(ended_at < $1, FALSE) OR expires_at < $1 FROM sessions WHERE id > $2 \
        ORDER BY id LIMIT $3";
    // Those that wait stay: each is worked off or given up some day. Those that were given up may be wanted again for a
    // year longer.
    STRIPE_EVENTS_AFTER = concat!("SELECT id, COALESCE(", old_stripe_event!("$1"), ", FALSE) \
        FROM stripe_events WHERE id > $2 ORDER BY id LIMIT $3");
    SWEEP_STRIPE_EVENT = concat!("DELETE FROM stripe_events WHERE id = $1 AND ", old_stripe_event!("$2"));
    // The newest session of a user and a service stays: it says that the user was ever there. One with tokens left
    // would take an unbounded number of them along.
    SWEEP_SESSION = "DELETE FROM sessions WHERE id = $1 AND (ended_at < $2 OR expires_at < $2) \
        AND NOT EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.session_id = sessions.id) \
        AND EXISTS (SELECT 1 FROM sessions y WHERE y.user_id = sessions.user_id \
        AND y.service_id = sessions.service_id AND y.id > sessions.id)";
}

const DAY: Millis = 24 * 60 * 60 * 1000;
/// A refresh token that expired is refused whether or not it is known; reuse is looked for only before.
const REFRESH_TOKENS_KEPT: Millis = DAY;
/// A session that is over explains itself (which device, why it ended) for this long: 30 days.
const SESSIONS_KEPT: Millis = 30 * DAY;
/// More than what the last 24 hours are counted from.
const LOGIN_MINUTES_KEPT: Millis = 2 * DAY;

/// A kind of rows that come to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chore {
    /// Authorization codes.
    AuthorizationCodes,
    /// Device codes.
    DeviceCodes,
    /// Login states that were used.
    LoginStates,
    /// Access tokens that were revoked and have expired.
    RevokedTokens,
    /// Authorization requests that were pushed and not used.
    PushedRequests,
    /// Client assertions that could not be used again anyway.
    UsedAssertions,
    /// Sign-ins of browsers.
    BrowserSessions,
    /// Refresh tokens, before the sessions that they belong to.
    RefreshTokens,
    /// Provider tokens of sign-ins whose question nobody answered.
    WaitingGrants,
    /// Login events beyond their retention. What is counted of them stays.
    LoginEvents,
    /// Sign-ins per minute.
    LoginMinutes,
}

impl Chore {
    /// All of them, in the order in which they are done.
    pub const ALL: [Self; 11] = [
        Self::AuthorizationCodes,
        Self::DeviceCodes,
        Self::LoginStates,
        Self::RevokedTokens,
        Self::PushedRequests,
        Self::UsedAssertions,
        Self::BrowserSessions,
        Self::RefreshTokens,
        Self::WaitingGrants,
        Self::LoginEvents,
        Self::LoginMinutes,
    ];

    /// Its name among the figures of the housekeeper.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AuthorizationCodes => "authorization_codes",
            Self::DeviceCodes => "device_codes",
            Self::LoginStates => "login_states",
            Self::RevokedTokens => "revoked_tokens",
            Self::PushedRequests => "pushed_requests",
            Self::UsedAssertions => "used_assertions",
            Self::BrowserSessions => "browser_sessions",
            Self::RefreshTokens => "refresh_tokens",
            Self::WaitingGrants => "waiting_grants",
            Self::LoginEvents => "login_events",
            Self::LoginMinutes => "login_minutes",
        }
    }
}

/// Removes a piece of what is over.
#[derive(Debug, Clone, Copy)]
pub struct Sweep {
    /// Of which kind.
    pub chore: Chore,
    /// The row after which to begin; 0 for the oldest one.
    pub after: i64,
    /// How many of the oldest rows to look at.
    pub limit: i64,
    /// How many whole days login events are kept, beside today.
    pub login_event_days: i64,
    /// The present moment.
    pub now: Millis,
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// How many rows are gone.
    pub rows: usize,
    /// When none is: the last one that was looked at, if there was any. Kinds whose order is that of their moments
    /// have none.
    pub last: Option<i64>,
}

impl WriteOp for Sweep {
    type Output = Swept;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Swept, OpError<()>> {
        let Self { limit, now, .. } = *self;
        let swept = match self.chore {
            Chore::AuthorizationCodes => {
                let before = now - authorization_codes::KEPT_AFTER_EXPIRY;
                self.piece(tx, (SWEEP_CODES, LAST_CODE), before)
            }
            Chore::DeviceCodes => {
                let before = now - device_codes::KEPT_AFTER_EXPIRY;
                self.piece(tx, (SWEEP_DEVICE_CODES, LAST_DEVICE_CODE), before)
            }
            Chore::LoginStates => self.piece(tx, (SWEEP_LOGIN_STATES, LAST_LOGIN_STATE), now),
            Chore::RevokedTokens => tx.execute(SWEEP_REVOKED_TOKENS, values![limit, now]).map(Swept::ordered),
            Chore::PushedRequests => self.piece(tx, (SWEEP_PUSHED_REQUESTS, LAST_PUSHED_REQUEST), now),
            Chore::UsedAssertions => self.piece(tx, (SWEEP_ASSERTIONS, LAST_ASSERTION), now),
            Chore::BrowserSessions => {
                let before = now - BROWSER_SESSION_LIFETIME;
                self.piece(tx, (SWEEP_BROWSER_SESSIONS, LAST_BROWSER_SESSION), before)
            }
            Chore::RefreshTokens => {
                let before = now - REFRESH_TOKENS_KEPT;
                self.piece(tx, (SWEEP_REFRESH_TOKENS, LAST_REFRESH_TOKEN), before)
            }
            Chore::WaitingGrants => self.piece(tx, (SWEEP_WAITING_GRANTS, LAST_WAITING_GRANT), now),
            Chore::LoginEvents => self.sweep_login_events(tx),
            Chore::LoginMinutes => {
                let before = minute_of(now - LOGIN_MINUTES_KEPT);
                tx.execute(SWEEP_LOGIN_MINUTES, values![before, limit]).map(Swept::ordered)
            }
        };
        Ok(swept?)
    }
}

impl Swept {
    fn ordered(rows: usize) -> Self {
        Self { rows, last: None }
    }
}

impl Sweep {
    fn piece(
        &self,
        tx: &mut WriteTx<'_>,
        (sweep, last): (&Statement, &Statement),
        before: Millis,
    ) -> Result<Swept, StoreError> {
        let rows = tx.execute(sweep, values![self.after, self.limit, before])?;
        let last =
            if rows == 0 { tx.one(last, values![self.after, self.limit], |row| row.get(0))? } else { None };
        Ok(Swept { rows, last })
    }

    /// Whole days only, so that a day's events are all there or none is counted on.
    fn sweep_login_events(&self, tx: &mut WriteTx<'_>) -> Result<Swept, StoreError> {
        let midnight = self.now - self.now.rem_euclid(DAY);
        let before = midnight - self.login_event_days * DAY;
        let swept = self.piece(tx, (SWEEP_LOGIN_EVENTS, LAST_LOGIN_EVENT), before)?;
        if swept.rows > 0 {
            login_proof::events_leave_before(tx, before)?;
        }
        Ok(swept)
    }
}

/// A kind of rows whose old ones stand between others that stay, so that they are looked for beside the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scattered {
    /// Sessions that have long been over.
    Sessions,
    /// Events of Stripe that were worked off long ago, with what they say about people.
    StripeEvents,
}

impl Scattered {
    /// All of them, in the order in which they are done.
    pub const ALL: [Self; 2] = [Self::Sessions, Self::StripeEvents];

    /// Its name among the figures of the housekeeper.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::StripeEvents => "stripe_events",
        }
    }

    /// What has been over since before then is old.
    #[must_use]
    pub fn old_before(self, stripe_event_days: i64, now: Millis) -> Millis {
        match self {
            Self::Sessions => now - SESSIONS_KEPT,
            Self::StripeEvents => now - stripe_event_days * DAY,
        }
    }
}

/// Looks at rows in the order of their ids, for old ones.
#[derive(Debug, Clone, Copy)]
pub struct FindOld {
    /// Which rows.
    pub kind: Scattered,
    /// The id after which to go on.
    pub after: i64,
    /// How many to look at.
    pub limit: i64,
    /// What has been over since before then is old.
    pub before: Millis,
}

/// Rows that were looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Old {
    /// The old ones.
    pub ids: Vec<i64>,
    /// The last one that was looked at; none at the end of the table.
    pub last: Option<i64>,
}

impl ReadOp for FindOld {
    type Output = Old;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Old, StoreError> {
        let statement = match self.kind {
            Scattered::Sessions => SESSIONS_AFTER,
            Scattered::StripeEvents => STRIPE_EVENTS_AFTER,
        };
        let looked_at = tx.all(statement, values![self.before, self.after, self.limit], |row| {
            Ok((row.get::<i64>(0)?, row.get::<bool>(1)?))
        })?;
        Ok(Old {
            last: looked_at.last().map(|(id, _)| *id),
            ids: looked_at.into_iter().filter(|(_, is_old)| *is_old).map(|(id, _)| id).collect(),
        })
    }
}

/// Removes old rows, unless something still needs them.
#[derive(Debug, Clone)]
pub struct SweepOld {
    /// Which rows.
    pub kind: Scattered,
    /// Their ids; each is looked at again.
    pub ids: Vec<i64>,
    /// What has been over since before then is old.
    pub before: Millis,
}

impl WriteOp for SweepOld {
    /// How many are gone.
    type Output = usize;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<usize, OpError<()>> {
        let statement = match self.kind {
            Scattered::Sessions => SWEEP_SESSION,
            Scattered::StripeEvents => SWEEP_STRIPE_EVENT,
        };
        let mut swept = 0;
        for id in &self.ids {
            swept += tx.execute(statement, values![*id, self.before])?;
        }
        Ok(swept)
    }
}
