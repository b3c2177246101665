//! Counts of sign-ins per day, kept up in the transaction of every event, so that no trend ever looks at events.

use super::login_events::{Login, day_of, minute_of};
use crate::engine::WriteTx;
use crate::error::StoreError;
use crate::{statements, values};

statements! {
    ADD_TO_LOGIN_DAY = "INSERT INTO login_days (org_id, day, successes, failures, dropped, users, first_event_id, \
        last_event_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (org_id, day) DO UPDATE SET \
        successes = login_days.successes + excluded.successes, failures = login_days.failures + excluded.failures, \
        dropped = login_days.dropped + excluded.dropped, users = login_days.users + excluded.users, \
        first_event_id = COALESCE(login_days.first_event_id, excluded.first_event_id), \
        last_event_id = COALESCE(excluded.last_event_id, login_days.last_event_id)";
    ADD_TO_SERVICE_DAY = "INSERT INTO login_service_days (org_id, day, service_id, successes, failures, dropped) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, day, service_id) DO UPDATE SET \
        successes = login_service_days.successes + excluded.successes, \
        failures = login_service_days.failures + excluded.failures, \
        dropped = login_service_days.dropped + excluded.dropped";
    ADD_TO_PROVIDER_DAY = "INSERT INTO login_provider_days (org_id, day, provider, successes, failures, dropped) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, day, provider) DO UPDATE SET \
        successes = login_provider_days.successes + excluded.successes, \
        failures = login_provider_days.failures + excluded.failures, \
        dropped = login_provider_days.dropped + excluded.dropped";
    ADD_TO_PLATFORM_DAY = "INSERT INTO platform_days (day, successes, failures) VALUES ($1, $2, $3) \
        ON CONFLICT (day) DO UPDATE SET successes = platform_days.successes + excluded.successes, \
        failures = platform_days.failures + excluded.failures";
    ADD_TO_PLATFORM_MINUTE = "INSERT INTO platform_login_minutes (minute, successes) VALUES ($1, 1) \
        ON CONFLICT (minute) DO UPDATE SET successes = platform_login_minutes.successes + 1";
    FAILURES_OF_DAY = "SELECT failures FROM login_days WHERE org_id = $1 AND day = $2";
}

/// What one event adds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) successes: i64,
    /// Failures that have an event.
    pub(crate) failures: i64,
    /// Failures that have none.
    pub(crate) dropped: i64,
    /// One, when it is the user's first success of the day.
    pub(crate) users: i64,
}

/// Adds an event to every count that it belongs to.
pub(crate) fn add(
    tx: &mut WriteTx<'_>,
    login: &Login<'_>,
    counted: Counted,
    event_id: Option<i64>,
) -> Result<(), StoreError> {
    let Counted { successes, failures, dropped, users } = counted;
    let (org_id, day) = (login.org_id, day_of(login.now));
    tx.execute(ADD_TO_LOGIN_DAY, values![org_id, day, successes, failures, dropped, users, event_id])?;
    tx.execute(ADD_TO_SERVICE_DAY, values![org_id, day, login.service_id, successes, failures, dropped])?;
    tx.execute(ADD_TO_PROVIDER_DAY, values![org_id, day, login.provider, successes, failures, dropped])?;
    tx.execute(ADD_TO_PLATFORM_DAY, values![day, successes, failures + dropped])?;
    if successes > 0 {
        tx.execute(ADD_TO_PLATFORM_MINUTE, values![minute_of(login.now)])?;
    }
    Ok(())
}

/// Failures of a day that have an event.
pub(crate) fn failures_of_day(tx: &mut WriteTx<'_>, org_id: i64, day: i64) -> Result<i64, StoreError> {
    Ok(tx.optional(FAILURES_OF_DAY, values![org_id, day], |row| row.get::<i64>(0))?.unwrap_or_default())
}
