//! Days of UTC in requests and answers, written YYYY-MM-DD.

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::analytics::Days;
use gatehouse_actors::data::login_events::day_of;
use time::{Date, Month, OffsetDateTime};

use super::input::Params;
use crate::error::Error;

const SECONDS_OF_A_DAY: i64 = 24 * 60 * 60;
/// A day, in milliseconds.
pub const DAY: Millis = SECONDS_OF_A_DAY * 1000;
/// What is meant when no day is named: today and the 29 days before.
const DEFAULT_DAYS: i64 = 30;
/// The most days that one answer covers.
const MOST_DAYS: i64 = 366;

/// The day that a parameter names, counted from 1970-01-01.
pub fn day(params: &Params, name: &'static str) -> Result<Option<i64>, Error> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let wrong = || Error::invalid(name, format!("{name} must be a day, written YYYY-MM-DD."));
    parse(text).map(Some).ok_or_else(wrong)
}

/// The days from `start_date` to `end_date`, both included. Without an end it is today; without a start the range is
/// 30 days long.
pub fn range(params: &Params, now: Millis) -> Result<Days, Error> {
    let (first, last) = (day(params, "start_date")?, day(params, "end_date")?);
    let last = last.unwrap_or_else(|| day_of(now).max(first.unwrap_or(i64::MIN)));
    let first = first.unwrap_or(last - DEFAULT_DAYS + 1);
    if first > last {
        return Err(Error::invalid("start_date", "start_date must not be after end_date."));
    }
    if last - first >= MOST_DAYS {
        let message = format!("From start_date to end_date there must be at most {MOST_DAYS} days.");
        return Err(Error {
            fields: vec!["start_date", "end_date"],
            ..Error::invalid("start_date", message)
        });
    }
    Ok(Days { first, last })
}

/// A day as it is written.
#[must_use]
pub fn written(day: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(day.saturating_mul(SECONDS_OF_A_DAY));
    moment.map(|moment| moment.date().to_string()).unwrap_or_default()
}

fn parse(text: &str) -> Option<i64> {
    let number = |digits: &str, length: usize| {
        let plain = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<u16>().ok()).flatten()
    };
    let mut parts = text.split('-');
    let (Some(year), Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let month = Month::try_from(u8::try_from(number(month, 2)?).ok()?).ok()?;
    let day = u8::try_from(number(day, 2)?).ok()?;
    let date = Date::from_calendar_date(i32::from(number(year, 4)?), month, day).ok()?;
    Some(date.midnight().assume_utc().unix_timestamp().div_euclid(SECONDS_OF_A_DAY))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-02-10, a little before midnight.
    const NOW: Millis = 20_494 * DAY + DAY - 1;

    fn of(query: &str) -> Result<(String, String), Error> {
        let days = range(&Params::from_query(query).unwrap(), NOW)?;
        Ok((written(days.first), written(days.last)))
    }

    fn days(first: &str, last: &str) -> (String, String) {
        (first.to_owned(), last.to_owned())
    }

    #[test]
    fn days_begin_at_midnight_of_utc() {
        assert_eq!(parse("1970-01-02"), Some(1));
        assert_eq!(parse("2024-02-29"), Some(1_709_164_800_000 / DAY));
        assert_eq!(written(day_of(NOW)), "2026-02-10");
    }

    #[test]
    fn nonsense_is_no_day() {
        for text in
            ["2023-02-29", "2024-13-01", "2024-1-1", "20240101", "2024-01-01T00:00:00Z", "-024-01-01", "x"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_named_is_filled_in() {
        assert_eq!(of("").unwrap(), days("2026-01-12", "2026-02-10"));
        assert_eq!(of("start_date=2026-02-01").unwrap(), days("2026-02-01", "2026-02-10"));
        assert_eq!(of("end_date=2025-12-31").unwrap(), days("2025-12-02", "2025-12-31"));
        assert_eq!(of("start_date=2026-03-01").unwrap(), days("2026-03-01", "2026-03-01"));
    }

    #[test]
    fn a_range_has_an_order_and_an_end() {
        assert!(of("start_date=2025-02-10&end_date=2026-02-10").is_ok());
        assert_eq!(
            of("start_date=2025-02-09&end_date=2026-02-10").unwrap_err().fields,
            ["start_date", "end_date"]
        );
        assert_eq!(of("start_date=2026-02-02&end_date=2026-02-01").unwrap_err().fields, ["start_date"]);
        assert_eq!(of("start_date=yesterday").unwrap_err().fields, ["start_date"]);
        assert_eq!(of("end_date=2026-02-30").unwrap_err().fields, ["end_date"]);
    }

    proptest! {
        #[test]
        fn a_day_is_read_as_it_is_written(day in -719_528i64..2_932_897) {
            prop_assert_eq!(parse(&written(day)), Some(day));
        }
    }
}
