//! Paging of lists: `page` from 1 and `limit`, or `limit` and `offset`. A bad value is an error, never ignored.

use super::input::Params;
use crate::error::Error;

const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 100;
/// Beyond it a list is not paged through by anybody honest, and skipping rows costs time.
const MAX_OFFSET: i64 = 1_000_000;

/// A piece of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The page, from 1.
    pub number: i64,
    /// The most rows to return.
    pub limit: i64,
    /// Rows to skip.
    pub offset: i64,
}

impl Page {
    /// Reads `limit` alone, of a list that is paged by a cursor.
    pub fn limit(params: &Params) -> Result<i64, Error> {
        Ok(number(params, "limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT))
    }

    /// Reads `page`, `limit` and `offset`.
    pub fn parse(params: &Params) -> Result<Self, Error> {
        let limit = Self::limit(params)?;
        let page = number(params, "page", 1..=MAX_OFFSET)?;
        let offset = number(params, "offset", 0..=MAX_OFFSET)?;
        match (page, offset) {
            (Some(_), Some(_)) => Err(Error::invalid("offset", "Send page or offset, not both.")),
            (_, Some(offset)) => Ok(Self { number: offset / limit + 1, limit, offset }),
            (page, None) => {
                let number = page.unwrap_or(1);
                let offset = (number - 1) * limit;
                if offset > MAX_OFFSET {
                    return Err(Error::invalid("page", "The page is too far into the list."));
                }
                Ok(Self { number, limit, offset })
            }
        }
    }
}

/// A whole number among the parameters.
pub fn number(
    params: &Params,
    name: &'static str,
    range: std::ops::RangeInclusive<i64>,
) -> Result<Option<i64>, Error> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse::<i64>().ok().filter(|value| plain && range.contains(value));
    value.map(Some).ok_or_else(|| {
        Error::invalid(
            name,
            format!("{name} must be a whole number from {} to {}.", range.start(), range.end()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Page, Error> {
        Page::parse(&Params::from_query(query).unwrap())
    }

    #[test]
    fn pages_and_offsets_name_the_same_rows() {
        assert_eq!(parse("").unwrap(), Page { number: 1, limit: 50, offset: 0 });
        assert_eq!(parse("page=3&limit=20").unwrap(), parse("offset=40&limit=20").unwrap());
    }

    #[test]
    fn nonsense_is_refused() {
        for query in [
            "page=0",
            "page=-1",
            "limit=0",
            "limit=101",
            "page=x",
            "page=1&offset=2",
            "limit=+5",
            "page=99999999",
        ] {
            assert!(parse(query).is_err(), "{query}");
        }
    }
}
