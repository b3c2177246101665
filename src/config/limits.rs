//! How much is let in: rates by name, connections by number.

use super::Mode;
use super::keys;
use super::number::number;
use super::problems::Wrong;
use super::reader::Reader;
use crate::throttle::limits::Quotas;
use crate::throttle::rate::Quota;

/// Connections at once, unless `MAX_CONNECTIONS` says otherwise.
const CONNECTIONS: usize = 10_000;
/// Connections of one address, unless `MAX_CONNECTIONS_PER_ADDRESS` says otherwise: a hundred browsers behind one.
const CONNECTIONS_OF_ADDRESS: usize = 1_000;

/// How much is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSettings {
    /// What `RATE_LIMITS` sets.
    pub quotas: Quotas,
    /// Connections at once.
    pub connections: usize,
    /// Connections of one address; none: as many as there may be at all.
    pub connections_of_address: Option<usize>,
}

/// In dev mode everybody is on this machine, and has one address.
pub(super) fn read(reader: &mut Reader<'_>, mode: Mode) -> LimitSettings {
    let quotas = match mode {
        Mode::Production => Quotas::default(),
        Mode::Dev => Quotas::OFF,
    };
    let connections_of_address = match mode {
        Mode::Production => Some(CONNECTIONS_OF_ADDRESS),
        Mode::Dev => None,
    };
    let number_of = |text: &str| number(text, 1..=1_000_000, "connections");
    LimitSettings {
        quotas: reader.parsed(keys::RATE_LIMITS, |text| rates(text, quotas)).unwrap_or(quotas),
        connections: reader.parsed(keys::MAX_CONNECTIONS, number_of).unwrap_or(CONNECTIONS),
        connections_of_address: reader
            .parsed(keys::MAX_CONNECTIONS_PER_ADDRESS, number_of)
            .or(connections_of_address),
    }
}

/// `on`, `off`, or single limits that differ from what holds without the setting.
pub(super) fn rates(text: &str, quotas: Quotas) -> Result<Quotas, Wrong> {
    match text {
        "on" => return Ok(Quotas::default()),
        "off" => return Ok(Quotas::OFF),
        _ => {}
    }
    let mut quotas = quotas;
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, value) = item.split_once('=').ok_or_else(|| {
            Wrong::new("holds what sets nothing", "set on, off, or limits such as sign_ins=600/m")
        })?;
        let limit = quotas.named(name.trim()).ok_or_else(|| {
            let names = Quotas::ABOUT.iter().map(|(name, _, _)| *name).collect::<Vec<_>>().join(", ");
            Wrong::new("names a limit that there is not", format!("name one of {names}"))
        })?;
        *limit = match value.trim() {
            "off" => None,
            value => Some(rate(value).ok_or_else(|| {
                Wrong::new(
                    "sets a limit to what is no rate",
                    "write a number per second, minute or hour, such as 600/m, or off",
                )
            })?),
        };
    }
    Ok(quotas)
}

/// `600/m`, `30/15m`. None: not understood.
fn rate(text: &str) -> Option<Quota> {
    let (count, period) = text.split_once('/')?;
    let count = count.parse().ok().filter(|count| (1..=1_000_000_000).contains(count))?;
    let unit = period.chars().last()?;
    let millis = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        _ => return None,
    };
    let times = match period.strip_suffix(unit)? {
        "" => 1,
        times => times.parse().ok().filter(|times| (1..=1000).contains(times))?,
    };
    Some(Quota { count, per: times * millis })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_number_per_period() {
        assert_eq!(rate("600/m"), Some(Quota { count: 600, per: 60_000 }));
        assert_eq!(rate("30/15m"), Some(Quota { count: 30, per: 900_000 }));
        assert_eq!(rate("5/s"), Some(Quota { count: 5, per: 1_000 }));
        for bad in
            ["", "off", "5", "5/", "/m", "0/m", "-1/m", "5/d", "5/0m", "5/m/m", "5/µ", "x/m", "99999999999/m"]
        {
            assert_eq!(rate(bad), None, "{bad}");
        }
    }

    #[test]
    fn single_limits_differ_from_what_holds_anyway() {
        let changed = rates("sign_ins=5/s, device_codes=off", Quotas::default()).unwrap();
        let expected = Quotas {
            sign_ins: Some(Quota { count: 5, per: 1_000 }),
            device_codes: None,
            ..Quotas::default()
        };
        assert_eq!(changed, expected);
        assert_eq!(rates("on", Quotas::OFF).unwrap(), Quotas::default());
        assert_eq!(rates("off", Quotas::default()).unwrap(), Quotas::OFF);
        assert_eq!(rates("refreshes=1/h", Quotas::OFF).unwrap().requests, None);
        for bad in ["yes", "sign_in=5/s", "sign_ins=many", "sign_ins"] {
            assert!(rates(bad, Quotas::default()).is_err(), "{bad}");
        }
    }
}
