//! Amounts of money: minor units inside, decimal numbers for people. No floating point touches an amount.

/// The largest amount, in minor units. Far above any price, far below where anything overflows.
pub const MAX_AMOUNT: i64 = 9_999_999_999;

/// Currencies without minor units (ISO 4217).
const WHOLE: [&str; 16] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF",
    "XPF",
];
/// Currencies with three decimals (ISO 4217).
const THREE: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

fn decimals(currency: &str) -> usize {
    if WHOLE.contains(&currency) {
        0
    } else if THREE.contains(&currency) {
        3
    } else {
        2
    }
}

/// `19.99` of a currency in its minor units; none when it has more decimals than the currency or is out of range.
#[must_use]
pub fn to_minor_units(decimal: &str, currency: &str) -> Option<i64> {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, "0"));
    let plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) {
        return None;
    }
    let places = decimals(currency);
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > places {
        return None;
    }
    let amount = format!("{whole}{fraction:0<places$}").parse::<i64>().ok()?;
    (amount <= MAX_AMOUNT).then_some(amount)
}

/// Minor units as a decimal number: `1999` of USD as `19.99`.
#[must_use]
pub fn to_decimal(minor_units: i64, currency: &str) -> String {
    let places = decimals(currency);
    let digits = format!("{minor_units:0>width$}", width = places + 1);
    match digits.split_at_checked(digits.len() - places) {
        Some((whole, fraction)) if !fraction.is_empty() => format!("{whole}.{fraction}"),
        _ => digits,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_are_converted_exactly_or_not_at_all() {
        for (decimal, currency, amount) in [
            ("19.99", "USD", Some(1999)),
            ("0.07", "USD", Some(7)),
            ("4.35", "EUR", Some(435)),
            ("10", "USD", Some(1000)),
            ("10.5", "USD", Some(1050)),
            ("10.500", "USD", Some(1050)),
            ("10.501", "USD", None),
            ("500", "JPY", Some(500)),
            ("500.0", "JPY", Some(500)),
            ("500.5", "JPY", None),
            ("1.234", "KWD", Some(1234)),
            ("-1", "USD", None),
            ("1e3", "USD", None),
            ("", "USD", None),
            (".5", "USD", None),
            ("5.", "USD", None),
            ("99999999999", "USD", None),
            ("99999999999999999999999", "USD", None),
        ] {
            assert_eq!(to_minor_units(decimal, currency), amount, "{decimal} {currency}");
        }
    }

    proptest! {
        #[test]
        fn every_amount_comes_back(amount in 0..=MAX_AMOUNT, currency in "USD|JPY|KWD") {
            prop_assert_eq!(to_minor_units(&to_decimal(amount, &currency), &currency), Some(amount));
        }

        #[test]
        fn arbitrary_text_is_no_panic(text in ".{0,30}") {
            let _ = to_minor_units(&text, "USD");
        }
    }
}
