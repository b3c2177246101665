//! What platform owners ask about the platform as a whole. Every number comes from counts that are kept up with the
//! changes themselves.

use std::collections::BTreeMap;

use super::PLATFORM_ORG_ID;
use super::analytics::Days;
use super::login_events::{day_of, minute_of};
use crate::clock::Millis;
use crate::engine::ReadTx;
use crate::error::StoreError;
use crate::message::{Lane, ReadOp};
use crate::{statements, values};

statements! {
    ORGANIZATIONS_BY_STATUS = "SELECT status, COUNT(*) FROM organizations \
        WHERE status IN ('pending', 'active', 'suspended', 'rejected') AND id <> $1 GROUP BY status";
    // The range keeps the walk on the primary key: one row a day.
    USERS_UP_TO = "SELECT CAST(COALESCE(SUM(new_users - erased_end_users), 0) AS BIGINT), \
        CAST(COALESCE(SUM(new_end_users - erased_end_users), 0) AS BIGINT) FROM platform_days WHERE day <= $1";
    COUNT_SERVICES = "SELECT COUNT(*) FROM services WHERE org_id > $1 AND deleted_at IS NULL";
    LOGINS_OF_MINUTES = "SELECT CAST(COALESCE(SUM(successes), 0) AS BIGINT) FROM platform_login_minutes \
        WHERE minute > $1 AND minute <= $2";
    LOGINS_OF_DAYS = "SELECT CAST(COALESCE(SUM(successes), 0) AS BIGINT) FROM platform_days \
        WHERE day BETWEEN $1 AND $2";
    PLATFORM_TREND = "SELECT day, successes, failures, new_organizations, new_users, new_end_users \
        FROM platform_days WHERE day BETWEEN $1 AND $2 ORDER BY day";
    // The platform's own row is the first one, and every other comes after it.
    TOP_ORGANIZATIONS = "SELECT o.public_id, o.name, o.slug, COALESCE(t.users, 0), \
        (SELECT COUNT(*) FROM services s WHERE s.org_id = o.id AND s.deleted_at IS NULL), \
        (SELECT CAST(COALESCE(SUM(d.successes), 0) AS BIGINT) FROM login_days d WHERE d.org_id = o.id \
        AND d.day BETWEEN $1 AND $2) FROM organizations o LEFT JOIN organization_totals t ON t.org_id = o.id \
        WHERE o.id > $3 ORDER BY 6 DESC, 4 DESC, o.id LIMIT $4";
    RECENT_ORGANIZATIONS = "SELECT public_id, name, slug, status, created_at FROM organizations \
        WHERE id > $1 ORDER BY id DESC LIMIT $2";
}

/// How far back the counts of sign-ins in an overview go, in days.
const RECENT_DAYS: i64 = 30;
const MINUTES_OF_A_DAY: i64 = 24 * 60;

/// Organizations by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OrganizationStatuses {
    /// Waiting for a decision.
    pub pending: i64,
    /// Let in.
    pub active: i64,
    /// Locked out for now.
    pub suspended: i64,
    /// Turned away.
    pub rejected: i64,
}

/// How many organizations there are, by status.
#[derive(Debug, Clone, Copy)]
pub struct CountOrganizations;

impl ReadOp for CountOrganizations {
    type Output = OrganizationStatuses;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<OrganizationStatuses, StoreError> {
        let rows = tx.all(ORGANIZATIONS_BY_STATUS, values![PLATFORM_ORG_ID], |row| {
            Ok((row.get::<String>(0)?, row.get::<i64>(1)?))
        })?;
        let counts: BTreeMap<String, i64> = rows.into_iter().collect();
        let of = |status: &str| counts.get(status).copied().unwrap_or_default();
        Ok(OrganizationStatuses {
            pending: of("pending"),
            active: of("active"),
            suspended: of("suspended"),
            rejected: of("rejected"),
        })
    }
}

/// The platform in six numbers. Erased users and deleted services do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overview {
    /// Organizations in any state.
    pub organizations: i64,
    /// Users of every realm.
    pub users: i64,
    /// Those of organizations.
    pub end_users: i64,
    /// Services of organizations.
    pub services: i64,
    /// Sign-ins within the last 24 hours, to the minute.
    pub logins_24h: i64,
    /// Sign-ins of today and the 29 days before.
    pub logins_30d: i64,
}

/// Asks for the [`Overview`].
#[derive(Debug, Clone, Copy)]
pub struct PlatformOverview {
    /// The present moment.
    pub now: Millis,
}

impl ReadOp for PlatformOverview {
    type Output = Overview;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Overview, StoreError> {
        let statuses = CountOrganizations.run(tx)?;
        let (users, end_users) =
            tx.one(USERS_UP_TO, values![i64::MAX], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let services = tx.one(COUNT_SERVICES, values![PLATFORM_ORG_ID], |row| row.get(0))?;
        let (minute, today) = (minute_of(self.now), day_of(self.now));
        let last_day = values![minute - MINUTES_OF_A_DAY, minute];
        let last_days = values![today - RECENT_DAYS + 1, today];
        Ok(Overview {
            organizations: statuses.pending + statuses.active + statuses.suspended + statuses.rejected,
            users,
            end_users,
            services,
            logins_24h: tx.one(LOGINS_OF_MINUTES, last_day, |row| row.get(0))?,
            logins_30d: tx.one(LOGINS_OF_DAYS, last_days, |row| row.get(0))?,
        })
    }
}

/// A day of the platform.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlatformDay {
    /// The day.
    pub day: i64,
    /// Sign-ins that made a session, in every realm.
    pub logins: i64,
    /// Sign-ins that led to nothing.
    pub failed: i64,
    /// Organizations that were registered.
    pub new_organizations: i64,
    /// Accounts that were made, in every realm.
    pub new_users: i64,
    /// Those of organizations.
    pub new_end_users: i64,
}

/// Every day of a range, in order, also those on which nothing happened.
#[derive(Debug, Clone, Copy)]
pub struct PlatformTrend {
    /// Which days.
    pub days: Days,
}

impl ReadOp for PlatformTrend {
    type Output = Vec<PlatformDay>;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Vec<PlatformDay>, StoreError> {
        let Days { first, last } = self.days;
        let counted = tx.all(PLATFORM_TREND, values![first, last], |row| {
            let day = PlatformDay {
                day: row.get(0)?,
                logins: row.get(1)?,
                failed: row.get(2)?,
                new_organizations: row.get(3)?,
                new_users: row.get(4)?,
                new_end_users: row.get(5)?,
            };
            Ok((day.day, day))
        })?;
        let mut counted: BTreeMap<i64, PlatformDay> = counted.into_iter().collect();
        Ok((first..=last)
            .map(|day| PlatformDay { day, ..counted.remove(&day).unwrap_or_default() })
            .collect())
    }
}

/// An organization among those with the most sign-ins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopOrganization {
    /// UUID for the outside.
    pub public_id: String,
    /// Name on pages.
    pub name: String,
    /// Name in URLs.
    pub slug: String,
    /// Users who are not erased.
    pub user_count: i64,
    /// Services that are not deleted.
    pub service_count: i64,
    /// Sign-ins of today and the 29 days before.
    pub login_count: i64,
}

/// The organizations with the most sign-ins of today and the 29 days before; then with the most users; then the oldest.
#[derive(Debug, Clone, Copy)]
pub struct TopOrganizations {
    /// The present moment.
    pub now: Millis,
    /// The most to return.
    pub limit: i64,
}

impl ReadOp for TopOrganizations {
    type Output = Vec<TopOrganization>;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let today = day_of(self.now);
        let values = values![today - RECENT_DAYS + 1, today, PLATFORM_ORG_ID, self.limit];
        tx.all(TOP_ORGANIZATIONS, values, |row| {
            Ok(TopOrganization {
                public_id: row.get(0)?,
                name: row.get(1)?,
                slug: row.get(2)?,
                user_count: row.get(3)?,
                service_count: row.get(4)?,
                login_count: row.get(5)?,
            })
        })
    }
}

/// An organization among the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentOrganization {
    /// UUID for the outside.
    pub public_id: String,
    /// Name on pages.
    pub name: String,
    /// Name in URLs.
    pub slug: String,
    /// `pending`, `active`, `suspended` or `rejected`.
    pub status: String,
    /// When it was registered.
    pub created_at: Millis,
}

/// The newest organizations, newest first.
#[derive(Debug, Clone, Copy)]
pub struct RecentOrganizations {
    /// The most to return.
    pub limit: i64,
}

impl ReadOp for RecentOrganizations {
    type Output = Vec<RecentOrganization>;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.all(RECENT_ORGANIZATIONS, values![PLATFORM_ORG_ID, self.limit], |row| {
            Ok(RecentOrganization {
                public_id: row.get(0)?,
                name: row.get(1)?,
                slug: row.get(2)?,
                status: row.get(3)?,
                created_at: row.get(4)?,
            })
        })
    }
}
