//! How often user codes may be guessed (RFC 8628, section 5.1): a budget per address, and one for everybody that
//! shrinks as live codes grow, so that the chance to hit any of them stays at 2^-20 within a code's life.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::device_codes::DEVICE_CODE_LIFETIME;

use super::by_address::{BudgetSpent, MissesByAddress};
use crate::crypto::token::{USER_CODE_ALPHABET, USER_CODE_LENGTH};

/// The life of a code is cut into this many slices, and the oldest falls off.
const SLICES: usize = 15;
const SLICE: Millis = DEVICE_CODE_LIFETIME / 15;

/// Counts within the life of a code, to the slice.
#[derive(Default, Clone, Copy)]
struct Sliding {
    slices: [u64; SLICES],
    newest: i64,
}

impl Sliding {
    fn turn_to(&mut self, now: Millis) {
        let slice = now.div_euclid(SLICE);
        for passed in (self.newest + 1..=slice).rev().take(SLICES) {
            if let Some(count) = self.slot(passed) {
                *count = 0;
            }
        }
        self.newest = self.newest.max(slice);
    }

    fn add(&mut self, now: Millis, count: u64) {
        self.turn_to(now);
        if let Some(slot) = self.slot(self.newest) {
            *slot += count;
        }
    }

    fn total(&mut self, now: Millis) -> u64 {
        self.turn_to(now);
        self.slices.iter().sum()
    }

    fn slot(&mut self, slice: i64) -> Option<&mut u64> {
        let index = usize::try_from(slice.rem_euclid(15)).unwrap_or_default();
        self.slices.get_mut(index)
    }
}

#[derive(Default)]
struct Counts {
    live_codes: Sliding,
    misses: Sliding,
    by_address: MissesByAddress,
}

/// The counts of the process.
#[derive(Default)]
pub struct Guesses(Mutex<Counts>);

impl Guesses {
    /// Starts with the number of codes that live already.
    #[must_use]
    pub fn with_live_codes(count: u64, now: Millis) -> Self {
        let guesses = Self::default();
        guesses.lock().live_codes.add(now, count);
        guesses
    }

    /// Notes that a code was issued.
    pub fn issued(&self, now: Millis) {
        self.lock().live_codes.add(now, 1);
    }

    /// Whether `address` may try a code.
    pub fn allow(&self, address: IpAddr, now: Millis) -> Result<(), BudgetSpent> {
        let mut counts = self.lock();
        let live = counts.live_codes.total(now);
        if counts.misses.total(now) >= global_budget(live) {
            return Err(BudgetSpent { retry_after: 60 });
        }
        counts.by_address.allow(address, now)
    }

    /// Notes that `address` tried a code that does not exist.
    pub fn missed(&self, address: IpAddr, now: Millis) {
        let mut counts = self.lock();
        counts.misses.add(now, 1);
        counts.by_address.missed(address, now);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// guesses x live / space <= 2^-20.
fn global_budget(live_codes: u64) -> u64 {
    let mut space: u64 = 1;
    for _ in 0..USER_CODE_LENGTH {
        space *= USER_CODE_ALPHABET.len() as u64;
    }
    (space >> 20) / live_codes.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn the_global_budget_shrinks_with_live_codes() {
        assert_eq!(global_budget(0), 24_414);
        assert_eq!(global_budget(1), 24_414);
        assert_eq!(global_budget(10_000), 2);
        let guesses = Guesses::with_live_codes(10_000, 0);
        guesses.missed(address(1), 0);
        assert_eq!(guesses.allow(address(2), 0), Ok(()));
        guesses.missed(address(3), 0);
        assert!(guesses.allow(address(2), 0).is_err());
        // Codes and misses age alike.
        assert_eq!(guesses.allow(address(2), DEVICE_CODE_LIFETIME), Ok(()));
    }

    #[test]
    fn one_address_spends_only_its_own() {
        let guesses = Guesses::default();
        for _ in 0..super::super::by_address::PER_ADDRESS {
            assert_eq!(guesses.allow(address(1), 0), Ok(()));
            guesses.missed(address(1), 0);
        }
        assert!(guesses.allow(address(1), 1).is_err());
        assert_eq!(guesses.allow(address(2), 1), Ok(()));
        assert_eq!(guesses.allow(address(1), DEVICE_CODE_LIFETIME), Ok(()));
    }
}
