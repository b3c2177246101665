//! From when until when a certificate is good: the two dates of X.509, and nothing else of it. rustls reads the rest and
//! does not tell these.

use gatehouse_actors::clock::Millis;
use time::{Date, Month, PrimitiveDateTime, Time};

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// `notBefore` and `notAfter` of a certificate in DER (RFC 5280, section 4.1).
pub(super) fn validity(certificate: &[u8]) -> Option<(Millis, Millis)> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (fields, _) = element(certificate, SEQUENCE)?;
    // The version is left out when it is the first.
    let fields = element(fields, VERSION).map_or(fields, |(_, rest)| rest);
    let (_serial_number, rest) = element(fields, INTEGER)?;
    let (_signature, rest) = element(rest, SEQUENCE)?;
    let (_issuer, rest) = element(rest, SEQUENCE)?;
    let (validity, _) = element(rest, SEQUENCE)?;
    let (not_before, rest) = moment(validity)?;
    let (not_after, _) = moment(rest)?;
    Some((not_before, not_after))
}

/// The content of the element at the beginning, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(*first & 0x7f))?;
        if digits.len() > 3 {
            return None; // 16 MB: no certificate
        }
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    rest.split_at_checked(length)
}

/// A time in one of the two forms of RFC 5280, section 4.1.2.5, both in UTC and to the second.
fn moment(bytes: &[u8]) -> Option<(Millis, &[u8])> {
    let (text, rest) = if let Some((text, rest)) = element(bytes, UTC_TIME) {
        let text = str::from_utf8(text).ok()?;
        let century = if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" };
        (format!("{century}{text}"), rest)
    } else {
        let (text, rest) = element(bytes, GENERALIZED_TIME)?;
        (str::from_utf8(text).ok()?.to_owned(), rest)
    };
    let digits = text.strip_suffix('Z').filter(|digits| digits.len() == 14)?;
    let number = |from: usize| digits.get(from..from + 2)?.parse::<u8>().ok();
    let year = digits.get(..4)?.parse().ok()?;
    let month = Month::try_from(number(4)?).ok()?;
    let date = Date::from_calendar_date(year, month, number(6)?).ok()?;
    let time = Time::from_hms(number(8)?, number(10)?, number(12)?).ok()?;
    Some((PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp() * 1000, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::rfc3339;

    /// A certificate as far as it is looked at.
    fn certificate(version: &[u8], not_before: (u8, &str), not_after: (u8, &str)) -> Vec<u8> {
        let wrap = |tag: u8, content: &[u8]| {
            let mut bytes = vec![tag];
            match content.len() {
                length @ ..0x80 => bytes.push(u8::try_from(length).unwrap()),
                length => {
                    bytes.push(0x82);
                    bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
                }
            }
            bytes.extend(content);
            bytes
        };
        let dates = [wrap(not_before.0, not_before.1.as_bytes()), wrap(not_after.0, not_after.1.as_bytes())];
        let issuer = wrap(SEQUENCE, &[7; 300]);
        let fields = [version.to_vec(), wrap(INTEGER, &[1]), wrap(SEQUENCE, &[]), issuer];
        let fields = [fields.concat(), wrap(SEQUENCE, &dates.concat()), wrap(SEQUENCE, &[])].concat();
        wrap(SEQUENCE, &[wrap(SEQUENCE, &fields), wrap(SEQUENCE, &[])].concat())
    }

    #[test]
    fn both_forms_of_time_with_and_without_a_version() {
        let third = [VERSION, 3, INTEGER, 1, 2];
        for version in [&third[..], &[]] {
            let der =
                certificate(version, (UTC_TIME, "500101000000Z"), (GENERALIZED_TIME, "20501231235959Z"));
            let (not_before, not_after) = validity(&der).unwrap();
            assert_eq!(rfc3339(not_before), "1950-01-01T00:00:00.000Z");
            assert_eq!(rfc3339(not_after), "2050-12-31T23:59:59.000Z");
        }
        let der = certificate(&third, (UTC_TIME, "490101000000Z"), (GENERALIZED_TIME, "99991231235959Z"));
        assert!(rfc3339(validity(&der).unwrap().0).starts_with("2049-01-01"));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for bad in
            ["", "Z", "261301000000Z", "260230000000Z", "2601010000Z", "26010100000000Z", "26é1010000Z"]
        {
            let der = certificate(&[], (UTC_TIME, bad), (UTC_TIME, "300101000000Z"));
            assert_eq!(validity(&der), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_read_makes_it_panic(noise: Vec<u8>, at in 0_usize..400, byte: u8) {
            let _ = validity(&noise);
            let mut der = certificate(&[], (UTC_TIME, "260101000000Z"), (UTC_TIME, "300101000000Z"));
            if let Some(place) = der.get_mut(at) {
                *place = byte;
            }
            let _ = validity(&der);
            let _ = validity(&der[..at.min(der.len())]);
        }
    }
}
