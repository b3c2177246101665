//! The counts of sign-ins against a recount of what they count, and the recount in their place.
//!
//! Events are swept out after a while and the counts stay, so a recount covers the days from which on every event is
//! still there. Failures that got no event are known from the counts alone.

use super::login_events::day_of;
use crate::clock::Millis;
use crate::engine::{ReadTx, Statement, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{Lane, ReadOp, WriteOp};
use crate::{statements, values};

/// How many rows the two selections do not have in common; each has the day it begins at as $1.
macro_rules! differences {
    ($stored:expr, $counted:expr) => {
        concat!(
            "SELECT (SELECT COUNT(*) FROM (",
            $stored,
            ") known), (SELECT COUNT(*) FROM (",
            $stored,
            " EXCEPT ",
            $counted,
            ") surplus) + (SELECT COUNT(*) FROM (",
            $counted,
            " EXCEPT ",
            $stored,
            ") missing)"
        )
    };
}

macro_rules! count_days {
    () => {
        "SELECT org_id, created_at / 86400000 AS day, SUM(CASE WHEN succeeded THEN 1 ELSE 0 END) AS successes, \
         SUM(CASE WHEN succeeded THEN 0 ELSE 1 END) AS failures, \
         COUNT(DISTINCT CASE WHEN succeeded THEN user_id END) AS users, MIN(id) AS first_event_id, \
         MAX(id) AS last_event_id FROM login_events WHERE created_at >= $1 * 86400000 \
         GROUP BY org_id, created_at / 86400000"
    };
}

macro_rules! count_by {
    ($key:literal) => {
        concat!(
            "SELECT org_id, created_at / 86400000 AS day, ",
            $key,
            ", SUM(CASE WHEN succeeded THEN 1 ELSE 0 END) AS successes, \
             SUM(CASE WHEN succeeded THEN 0 ELSE 1 END) AS failures FROM login_events \
             WHERE created_at >= $1 * 86400000 GROUP BY org_id, created_at / 86400000, ",
            $key
        )
    };
}

/// Where the runs of days begin and end on which a user counts as active: 30 days from each sign-in.
macro_rules! count_changes {
    () => {
        "SELECT org_id, day, SUM(change) AS change FROM ( \
         SELECT org_id, day, 1 AS change FROM ( \
         SELECT org_id, day, LAG(day) OVER (PARTITION BY org_id, user_id ORDER BY day) AS other FROM ( \
         SELECT DISTINCT org_id, user_id, created_at / 86400000 AS day FROM login_events WHERE succeeded) days) begins \
         WHERE other IS NULL OR other + 30 < day UNION ALL \
         SELECT org_id, day + 30 AS day, -1 AS change FROM ( \
         SELECT org_id, day, LEAD(day) OVER (PARTITION BY org_id, user_id ORDER BY day) AS other FROM ( \
         SELECT DISTINCT org_id, user_id, created_at / 86400000 AS day FROM login_events WHERE succeeded) days) ends \
         WHERE other IS NULL OR other > day + 30) changes WHERE day >= $1 GROUP BY org_id, day HAVING SUM(change) <> 0"
    };
}

macro_rules! count_platform {
    () => {
        "SELECT day, SUM(successes) AS successes, SUM(failures + dropped) AS failures FROM login_days \
         WHERE day >= $1 GROUP BY day"
    };
}

macro_rules! count_growth {
    () => {
        "SELECT day, SUM(organizations) AS organizations, SUM(users) AS users, SUM(end_users) AS end_users, \
         SUM(erased) AS erased FROM ( \
         SELECT created_at / 86400000 AS day, 1 AS organizations, 0 AS users, 0 AS end_users, 0 AS erased \
         FROM organizations WHERE NOT is_platform UNION ALL \
         SELECT created_at / 86400000, 0, 1, CASE WHEN org_id = 1 THEN 0 ELSE 1 END, 0 FROM users UNION ALL \
         SELECT erased_at / 86400000, 0, 0, 0, 1 FROM users WHERE erased_at IS NOT NULL) came \
         WHERE day >= $1 GROUP BY day"
    };
}

macro_rules! count_totals {
    () => {
        "SELECT org_id, COUNT(*) AS users FROM users WHERE erased_at IS NULL AND org_id >= $1 GROUP BY org_id"
    };
}

macro_rules! count_last {
    () => {
        "SELECT user_id, MIN(org_id) AS org_id, MAX(created_at / 86400000) AS last_day, MAX(id) AS last_event_id \
         FROM login_events WHERE succeeded AND created_at >= $1 * 86400000 GROUP BY user_id"
    };
}

statements! {
    EVENTS_SINCE = "SELECT value FROM settings WHERE name = 'login_events_since_day'";
    COMPARE_DAYS = differences!(
        "SELECT org_id, day, successes, failures, users, first_event_id, last_event_id FROM login_days \
         WHERE day >= $1 AND successes + failures > 0",
        count_days!()
    );
    COMPARE_SERVICES = differences!(
        "SELECT org_id, day, service_id, successes, failures FROM login_service_days \
         WHERE day >= $1 AND successes + failures > 0",
        count_by!("service_id")
    );
    COMPARE_PROVIDERS = differences!(
        "SELECT org_id, day, provider, successes, failures FROM login_provider_days \
         WHERE day >= $1 AND successes + failures > 0",
        count_by!("provider")
    );
    COMPARE_CHANGES = differences!(
        "SELECT org_id, day, change FROM active_user_changes WHERE day >= $1 AND change <> 0",
        count_changes!()
    );
    COMPARE_PLATFORM = differences!(
        "SELECT day, successes, failures FROM platform_days WHERE day >= $1 AND successes + failures > 0",
        count_platform!()
    );
    COMPARE_GROWTH = differences!(
        "SELECT day, new_organizations, new_users, new_end_users, erased_end_users FROM platform_days \
         WHERE day >= $1 AND new_organizations + new_users + erased_end_users > 0",
        count_growth!()
    );
    COMPARE_TOTALS = differences!(
        "SELECT org_id, users FROM organization_totals WHERE org_id >= $1 AND users > 0",
        count_totals!()
    );
    CLEAR_DAYS = "UPDATE login_days SET successes = 0, failures = 0, users = 0, first_event_id = NULL, \
        last_event_id = NULL WHERE day >= $1";
    RECOUNT_DAYS = concat!(
        "INSERT INTO login_days (org_id, day, successes, failures, users, first_event_id, last_event_id, dropped) \
         SELECT counted.*, 0 FROM (", count_days!(), ") counted WHERE TRUE ON CONFLICT (org_id, day) DO UPDATE SET \
         successes = excluded.successes, failures = excluded.failures, users = excluded.users, \
         first_event_id = excluded.first_event_id, last_event_id = excluded.last_event_id"
    );
    CLEAR_SERVICES = "UPDATE login_service_days SET successes = 0, failures = 0 WHERE day >= $1";
    RECOUNT_SERVICES = concat!(
        "INSERT INTO login_service_days (org_id, day, service_id, successes, failures, dropped) \
         SELECT counted.*, 0 FROM (", count_by!("service_id"), ") counted WHERE TRUE \
         ON CONFLICT (org_id, day, service_id) DO UPDATE SET successes = excluded.successes, \
         failures = excluded.failures"
    );
    CLEAR_PROVIDERS = "UPDATE login_provider_days SET successes = 0, failures = 0 WHERE day >= $1";
    RECOUNT_PROVIDERS = concat!(
        "INSERT INTO login_provider_days (org_id, day, provider, successes, failures, dropped) \
         SELECT counted.*, 0 FROM (", count_by!("provider"), ") counted WHERE TRUE \
         ON CONFLICT (org_id, day, provider) DO UPDATE SET successes = excluded.successes, \
         failures = excluded.failures"
    );
    CLEAR_CHANGES = "DELETE FROM active_user_changes WHERE day >= $1";
    RECOUNT_CHANGES = concat!(
        "INSERT INTO active_user_changes (org_id, day, change) SELECT counted.* FROM (", count_changes!(), ") counted"
    );
    RECOUNT_LAST = concat!(
        "INSERT INTO login_users (user_id, org_id, last_day, last_event_id) SELECT counted.* FROM (", count_last!(),
        ") counted WHERE TRUE ON CONFLICT (user_id) DO UPDATE SET last_day = excluded.last_day"
    );
    CLEAR_PLATFORM = "UPDATE platform_days SET successes = 0, failures = 0 WHERE day >= $1";
    RECOUNT_PLATFORM = concat!(
        "INSERT INTO platform_days (day, successes, failures) SELECT counted.* FROM (", count_platform!(),
        ") counted WHERE TRUE ON CONFLICT (day) DO UPDATE SET successes = excluded.successes, \
         failures = excluded.failures"
    );
    CLEAR_GROWTH = "UPDATE platform_days SET new_organizations = 0, new_users = 0, new_end_users = 0, \
        erased_end_users = 0 WHERE day >= $1";
    RECOUNT_GROWTH = concat!(
        "INSERT INTO platform_days (day, new_organizations, new_users, new_end_users, erased_end_users) \
         SELECT counted.* FROM (", count_growth!(), ") counted WHERE TRUE ON CONFLICT (day) DO UPDATE SET \
         new_organizations = excluded.new_organizations, new_users = excluded.new_users, \
         new_end_users = excluded.new_end_users, erased_end_users = excluded.erased_end_users"
    );
    CLEAR_TOTALS = "DELETE FROM organization_totals WHERE org_id >= $1";
    RECOUNT_TOTALS = concat!(
        "INSERT INTO organization_totals (org_id, users) SELECT counted.* FROM (", count_totals!(), ") counted"
    );
    SET_EVENTS_SINCE = "INSERT INTO settings (name, value) VALUES ('login_events_since_day', $1) \
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
}

/// A table of counts, compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// The table.
    pub table: &'static str,
    /// Rows that were compared.
    pub rows: i64,
    /// Rows that a recount does not have, and rows that only a recount has.
    pub differences: i64,
}

/// From where on a table can be counted again.
#[derive(Clone, Copy)]
enum Reach {
    /// From the day from which on every event is there.
    Events,
    /// From 30 days later: what changes on a day depends on the 30 days before.
    Activity,
    /// From the beginning.
    Everything,
}

impl Reach {
    fn first_day(self, events_since: Option<i64>) -> i64 {
        match (self, events_since) {
            (Self::Events, Some(day)) => day,
            (Self::Activity, Some(day)) => day + super::login_users::ACTIVITY_DAYS,
            (Self::Everything, _) | (_, None) => 0,
        }
    }
}

const COMPARISONS: &[(&str, &Statement, Reach)] = &[
    ("login_days", COMPARE_DAYS, Reach::Events),
    ("login_service_days", COMPARE_SERVICES, Reach::Events),
    ("login_provider_days", COMPARE_PROVIDERS, Reach::Events),
    ("active_user_changes", COMPARE_CHANGES, Reach::Activity),
    ("platform_days: sign-ins", COMPARE_PLATFORM, Reach::Everything),
    ("platform_days: growth", COMPARE_GROWTH, Reach::Everything),
    ("organization_totals", COMPARE_TOTALS, Reach::Everything),
];

/// In this order: the platform's counts follow from the organizations'.
const RECOUNTS: &[(&[&Statement], Reach)] = &[
    (&[CLEAR_DAYS, RECOUNT_DAYS], Reach::Events),
    (&[CLEAR_SERVICES, RECOUNT_SERVICES], Reach::Events),
    (&[CLEAR_PROVIDERS, RECOUNT_PROVIDERS], Reach::Events),
    (&[RECOUNT_LAST], Reach::Events),
    (&[CLEAR_CHANGES, RECOUNT_CHANGES], Reach::Activity),
    (&[CLEAR_PLATFORM, RECOUNT_PLATFORM], Reach::Everything),
    (&[CLEAR_GROWTH, RECOUNT_GROWTH], Reach::Everything),
    (&[CLEAR_TOTALS, RECOUNT_TOTALS], Reach::Everything),
];

/// The day from which on every event is there; none while nothing was ever swept out.
fn events_since(tx: &mut ReadTx<'_>) -> Result<Option<i64>, StoreError> {
    let stored = tx.optional(EVENTS_SINCE, values![], |row| row.get::<String>(0))?;
    let inconsistent = |found: String| StoreError::Inconsistent { table: "settings", column: "value", found };
    stored.map(|text| text.parse().map_err(|_| inconsistent(text))).transpose()
}

/// Notes that events before `moment` are being swept out.
pub(crate) fn events_leave_before(tx: &mut WriteTx<'_>, moment: Millis) -> Result<(), StoreError> {
    let day = day_of(moment);
    if events_since(tx)?.is_none_or(|since| since < day) {
        tx.execute(SET_EVENTS_SINCE, values![&day.to_string()])?;
    }
    Ok(())
}

/// Compares every count with a recount. Looks at every event: for a command, not for a request.
#[derive(Debug, Clone, Copy)]
pub struct CompareLoginCounts;

impl ReadOp for CompareLoginCounts {
    type Output = Vec<Comparison>;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let since = events_since(tx)?;
        COMPARISONS
            .iter()
            .map(|(table, statement, reach)| {
                let (rows, differences) =
                    tx.one(statement, values![reach.first_day(since)], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(Comparison { table, rows, differences })
            })
            .collect()
    }
}

/// Puts a recount in the place of every count. Takes the writer for as long as it lasts: for a command, with the
/// service stopped.
#[derive(Debug, Clone, Copy)]
pub struct RebuildLoginCounts;

impl WriteOp for RebuildLoginCounts {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        let since = events_since(tx)?;
        for (statements, reach) in RECOUNTS {
            for statement in *statements {
                tx.execute(statement, values![reach.first_day(since)])?;
            }
        }
        Ok(())
    }
}
