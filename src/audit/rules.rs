//! Which entries a request asks for.

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::audit_log::AuditFilter;
use time::{Date, Month};

use crate::error::Error;
use crate::http::input::Params;

/// The longest word of a filter, in bytes.
const WORD_LENGTH: usize = 100;
const DAY: Millis = 24 * 60 * 60 * 1000;

/// Reads the filters. Dates are days of UTC, the last one included.
pub(super) fn filter(params: &Params) -> Result<AuditFilter, Error> {
    let from = day(params, "start_date")?;
    let last = day(params, "end_date")?;
    if let (Some(from), Some(last)) = (from, last)
        && from > last
    {
        return Err(Error::invalid("start_date", "start_date must not be after end_date."));
    }
    Ok(AuditFilter {
        action: word(params, "action")?,
        target_type: word(params, "target_type")?,
        target_id: word(params, "target_id")?,
        actor_user_id: word(params, "user_id")?,
        from,
        until: last.map(|last| last + DAY),
    })
}

fn word(params: &Params, name: &'static str) -> Result<Option<String>, Error> {
    match params.get(name) {
        Some(text) if text.len() > WORD_LENGTH || text.chars().any(char::is_control) => Err(Error::invalid(
            name,
            format!("{name} must be plain text of at most {WORD_LENGTH} characters."),
        )),
        text => Ok(text.map(ToOwned::to_owned)),
    }
}

fn day(params: &Params, name: &'static str) -> Result<Option<Millis>, Error> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let wrong = || Error::invalid(name, format!("{name} must be a day, written YYYY-MM-DD."));
    parse_day(text).map(Some).ok_or_else(wrong)
}

/// The first moment of a day of UTC.
fn parse_day(text: &str) -> Option<Millis> {
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
    Some(date.midnight().assume_utc().unix_timestamp() * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_of_utc() {
        assert_eq!(parse_day("1970-01-02"), Some(DAY));
        assert_eq!(parse_day("2024-02-29"), Some(1_709_164_800_000));
    }

    #[test]
    fn nonsense_is_no_day() {
        for text in
            ["2023-02-29", "2024-13-01", "2024-1-1", "20240101", "2024-01-01T00:00:00Z", "-024-01-01", "x"]
        {
            assert_eq!(parse_day(text), None, "{text}");
        }
    }

    #[test]
    fn the_last_day_is_included() {
        let of = |query: &str| filter(&Params::from_query(query).unwrap());
        let found = of("start_date=1970-01-02&end_date=1970-01-02").unwrap();
        assert_eq!((found.from, found.until), (Some(DAY), Some(2 * DAY)));
        assert!(of("start_date=1970-01-03&end_date=1970-01-02").is_err());
    }
}
