//! Which entries a request asks for.

use gatehouse_actors::data::audit_log::AuditFilter;

use crate::error::Error;
use crate::http::days::{DAY, day};
use crate::http::input::Params;

/// The longest word of a filter, in bytes.
const WORD_LENGTH: usize = 100;

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
        from: from.map(|from| from * DAY),
        until: last.map(|last| (last + 1) * DAY),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_day_is_included() {
        let of = |query: &str| filter(&Params::from_query(query).unwrap());
        let found = of("start_date=1970-01-02&end_date=1970-01-02").unwrap();
        assert_eq!((found.from, found.until), (Some(DAY), Some(2 * DAY)));
        assert!(of("start_date=1970-01-03&end_date=1970-01-02").is_err());
    }
}
