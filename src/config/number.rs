//! Whole numbers within bounds.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::problems::Wrong;

/// A number of `what` from the range.
pub(super) fn number<N>(text: &str, range: RangeInclusive<N>, what: &str) -> Result<N, Wrong>
where
    N: FromStr + PartialOrd + Display,
{
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let (least, most) = (range.start(), range.end());
        Wrong::new(format!("is not a number of {what}"), format!("set a number from {least} to {most}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_bounds() {
        assert_eq!(number("720", 1..=720_u64, "hours").unwrap(), 720);
        for bad in ["0", "721", "-1", "1.5", "", "many"] {
            assert!(number(bad, 1..=720_u64, "hours").is_err(), "{bad}");
        }
    }
}
