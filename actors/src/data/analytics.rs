//! What an organization asks about its sign-ins. Trends come from the daily counts and never look at events.

use std::collections::BTreeMap;

use serde_json::json;

use super::audit::{self, AuditContext, Happened};
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{Lane, ReadOp, WriteOp};
use crate::{statements, values};

/// The columns of [`LoginRecord`].
macro_rules! select_login {
    () => {
        "SELECT e.id, e.public_id, u.public_id, u.email, s.public_id, s.name, e.provider, e.method, e.reason, \
         e.ip_address, e.user_agent, e.created_at FROM login_events e LEFT JOIN users u ON u.id = e.user_id \
         LEFT JOIN services s ON s.id = e.service_id WHERE e.org_id = $1 AND e.succeeded = $2"
    };
}

statements! {
    LOGIN_TREND = "SELECT day, successes, failures + dropped, users FROM login_days \
        WHERE org_id = $1 AND day BETWEEN $2 AND $3 ORDER BY day";
    ACTIVE_USERS_BEFORE = "SELECT CAST(COALESCE(SUM(change), 0) AS BIGINT) FROM active_user_changes \
        WHERE org_id = $1 AND day < $2";
    ACTIVE_USER_CHANGES = "SELECT day, change FROM active_user_changes \
        WHERE org_id = $1 AND day BETWEEN $2 AND $3 ORDER BY day";
    LOGINS_BY_SERVICE = "SELECT s.public_id, s.name, CAST(SUM(d.successes) AS BIGINT), \
        CAST(SUM(d.failures + d.dropped) AS BIGINT) FROM login_service_days d JOIN services s ON s.id = d.service_id \
        WHERE d.org_id = $1 AND d.day BETWEEN $2 AND $3 GROUP BY s.id, s.public_id, s.name \
        ORDER BY 3 DESC, 4 DESC, 2, 1 LIMIT $4";
    LOGINS_BY_PROVIDER = "SELECT provider, CAST(SUM(successes) AS BIGINT), \
        CAST(SUM(failures + dropped) AS BIGINT) FROM login_provider_days \
        WHERE org_id = $1 AND day BETWEEN $2 AND $3 GROUP BY provider ORDER BY 2 DESC, 3 DESC, 1";
    RECENT_LOGINS = concat!(select_login!(), " ORDER BY e.id DESC LIMIT $3");
    LOGINS_AFTER = concat!(select_login!(), " AND e.id > $3 AND e.id <= $4 ORDER BY e.id LIMIT $5");
    EVENTS_OF_DAYS = "SELECT MIN(first_event_id), MAX(last_event_id) FROM login_days \
        WHERE org_id = $1 AND day BETWEEN $2 AND $3";
}

/// The most services in a list of counts.
const MOST_SERVICES: i64 = 1000;

/// Whole days of UTC, counted from 1970-01-01, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first one.
    pub first: i64,
    /// The last one.
    pub last: i64,
}

/// A day of an organization.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoginDay {
    /// The day.
    pub day: i64,
    /// Sign-ins that made a session.
    pub count: i64,
    /// Sign-ins that led to nothing.
    pub failed: i64,
    /// Distinct users who signed in.
    pub users: i64,
    /// Distinct users who signed in on this day or on one of the 29 before.
    pub active_users: i64,
}

/// Every day of a range, in order, also those without a sign-in.
#[derive(Debug, Clone, Copy)]
pub struct LoginTrend {
    /// Row id of the organization.
    pub org_id: i64,
    /// Which days.
    pub days: Days,
}

impl ReadOp for LoginTrend {
    type Output = Vec<LoginDay>;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Vec<LoginDay>, StoreError> {
        let Days { first, last } = self.days;
        let range = values![self.org_id, first, last];
        let counted = tx.all(LOGIN_TREND, range, |row| {
            let day = LoginDay {
                day: row.get(0)?,
                count: row.get(1)?,
                failed: row.get(2)?,
                users: row.get(3)?,
                active_users: 0,
            };
            Ok((day.day, day))
        })?;
        let mut counted: BTreeMap<i64, LoginDay> = counted.into_iter().collect();
        let mut active_users =
            tx.one(ACTIVE_USERS_BEFORE, values![self.org_id, first], |row| row.get::<i64>(0))?;
        let changes: BTreeMap<i64, i64> =
            tx.all(ACTIVE_USER_CHANGES, range, |row| Ok((row.get(0)?, row.get(1)?)))?.into_iter().collect();
        let every_day = (first..=last).map(|day| {
            active_users += changes.get(&day).copied().unwrap_or_default();
            LoginDay { day, active_users, ..counted.remove(&day).unwrap_or_default() }
        });
        Ok(every_day.collect())
    }
}

/// Sign-ins of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceLogins {
    /// UUID of the service, which may be deleted by now.
    pub service_public_id: String,
    /// Its name.
    pub service_name: String,
    /// Sign-ins that made a session.
    pub count: i64,
    /// Sign-ins that led to nothing.
    pub failed: i64,
}

/// Sign-ins by service, most first.
#[derive(Debug, Clone, Copy)]
pub struct LoginsByService {
    /// Row id of the organization.
    pub org_id: i64,
    /// Which days.
    pub days: Days,
}

impl ReadOp for LoginsByService {
    type Output = Vec<ServiceLogins>;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let values = values![self.org_id, self.days.first, self.days.last, MOST_SERVICES];
        tx.all(LOGINS_BY_SERVICE, values, |row| {
            Ok(ServiceLogins {
                service_public_id: row.get(0)?,
                service_name: row.get(1)?,
                count: row.get(2)?,
                failed: row.get(3)?,
            })
        })
    }
}

/// Sign-ins through one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderLogins {
    /// `github`, `google`, ...
    pub provider: String,
    /// Sign-ins that made a session.
    pub count: i64,
    /// Sign-ins that led to nothing.
    pub failed: i64,
}

/// Sign-ins by provider, most first.
#[derive(Debug, Clone, Copy)]
pub struct LoginsByProvider {
    /// Row id of the organization.
    pub org_id: i64,
    /// Which days.
    pub days: Days,
}

impl ReadOp for LoginsByProvider {
    type Output = Vec<ProviderLogins>;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.all(LOGINS_BY_PROVIDER, values![self.org_id, self.days.first, self.days.last], |row| {
            Ok(ProviderLogins { provider: row.get(0)?, count: row.get(1)?, failed: row.get(2)? })
        })
    }
}

/// A login event with the names that people know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRecord {
    /// Row id.
    pub id: i64,
    /// UUID for the outside.
    pub public_id: String,
    /// UUID of the user, if one is known.
    pub user_public_id: Option<String>,
    /// Their address as it is now: none once they were erased.
    pub email: Option<String>,
    /// UUID of the service.
    pub service_public_id: Option<String>,
    /// Its name.
    pub service_name: Option<String>,
    /// The provider.
    pub provider: String,
    /// `web` or `device`.
    pub method: String,
    /// Why it led to nothing; none for a success.
    pub reason: Option<String>,
    /// The address of the client.
    pub ip_address: String,
    /// What the client called itself.
    pub user_agent: String,
    /// When.
    pub created_at: Millis,
}

impl LoginRecord {
    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            public_id: row.get(1)?,
            user_public_id: row.get(2)?,
            email: row.get(3)?,
            service_public_id: row.get(4)?,
            service_name: row.get(5)?,
            provider: row.get(6)?,
            method: row.get(7)?,
            reason: row.get(8)?,
            ip_address: row.get(9)?,
            user_agent: row.get(10)?,
            created_at: row.get(11)?,
        })
    }
}

/// Which outcomes a list is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcomes {
    /// Sign-ins that made a session.
    Success,
    /// Sign-ins that led to nothing.
    Failure,
    /// Both.
    Both,
}

impl Outcomes {
    fn flags(self) -> &'static [bool] {
        match self {
            Self::Success => &[true],
            Self::Failure => &[false],
            Self::Both => &[true, false],
        }
    }
}

/// The latest sign-ins, newest first.
#[derive(Debug, Clone, Copy)]
pub struct RecentLogins {
    /// Row id of the organization.
    pub org_id: i64,
    /// Which ones.
    pub outcomes: Outcomes,
    /// The most to return.
    pub limit: i64,
}

impl ReadOp for RecentLogins {
    type Output = Vec<LoginRecord>;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let mut found = Vec::new();
        for succeeded in self.outcomes.flags() {
            let values = values![self.org_id, *succeeded, self.limit];
            found.extend(tx.all(RECENT_LOGINS, values, LoginRecord::from_row)?);
        }
        found.sort_unstable_by_key(|login| std::cmp::Reverse(login.id));
        found.truncate(usize::try_from(self.limit).unwrap_or_default());
        Ok(found)
    }
}

/// Events after a row id up to another, in their order: a piece of an export.
#[derive(Debug, Clone, Copy)]
pub struct LoginsAfter {
    /// Row id of the organization.
    pub org_id: i64,
    /// The row id after which to go on.
    pub after: i64,
    /// The last row id that may be returned.
    pub until: i64,
    /// The most to return.
    pub limit: i64,
}

impl ReadOp for LoginsAfter {
    type Output = Vec<LoginRecord>;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let mut found = Vec::new();
        for succeeded in Outcomes::Both.flags() {
            let values = values![self.org_id, *succeeded, self.after, self.until, self.limit];
            found.extend(tx.all(LOGINS_AFTER, values, LoginRecord::from_row)?);
        }
        // What is cut off here comes again: the next piece begins after the last one that is returned.
        found.sort_unstable_by_key(|login| login.id);
        found.truncate(usize::try_from(self.limit).unwrap_or_default());
        Ok(found)
    }
}

/// Notes in the audit log that an organization's login events are exported, and tells where they are.
#[derive(Debug, Clone)]
pub struct BeginExport {
    /// Row id of the organization.
    pub org_id: i64,
    /// Its public id.
    pub org_public_id: String,
    /// Which days.
    pub days: Days,
    /// The days as people write them, for the audit.
    pub written_days: (String, String),
    /// `csv` or `ndjson`, for the audit.
    pub format: &'static str,
    /// Who, from where.
    pub audit: AuditContext,
}

impl WriteOp for BeginExport {
    /// Row ids of the first and the last event of these days; none when there are no events.
    type Output = Option<(i64, i64)>;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Self::Output, OpError<()>> {
        let (start_date, end_date) = &self.written_days;
        let happened = Happened {
            org_id: self.org_id,
            action: "analytics.exported",
            target: ("organization", &self.org_public_id),
            metadata: json!({ "format": self.format, "start_date": start_date, "end_date": end_date }),
        };
        audit::append(tx, &self.audit, &happened)?;
        let (first, last) =
            tx.one(EVENTS_OF_DAYS, values![self.org_id, self.days.first, self.days.last], |row| {
                Ok((row.get::<Option<i64>>(0)?, row.get::<Option<i64>>(1)?))
            })?;
        Ok(first.zip(last))
    }
}
