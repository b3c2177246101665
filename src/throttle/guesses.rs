//! How often user codes may be guessed (RFC 8628, section 5.1): a budget per address, and one for everybody that
//! shrinks as live codes grow, so that the chance to hit any of them stays at 2^-20 within a code's life.
//!
//! A guess is paid for before it is looked up and given back when it was right: of many guesses at once, no more are
//! looked up than the budget has.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::device_codes::DEVICE_CODE_LIFETIME;

use super::limits::GUESSES;
use super::rate::{BudgetSpent, Rate};
use crate::crypto::token::{USER_CODE_ALPHABET, USER_CODE_LENGTH};

/// The budget is made for this many live codes at most. Were it to go on shrinking, it would reach zero, and whoever
/// asks for enough codes could keep everybody from entering theirs.
pub const LIVE_CODES: u64 = 10_000;
/// The life of a code is cut into this many slices, and the oldest falls off.
const SLICES: usize = 15;
const SLICES_SIGNED: i64 = 15;
const SLICE: Millis = DEVICE_CODE_LIFETIME / SLICES_SIGNED;

/// Counts within the life of a code, to the slice.
#[derive(Default, Clone, Copy)]
struct Sliding {
    slices: [u64; SLICES],
    newest: i64,
}

impl Sliding {
    fn turn_to(&mut self, now: Millis) {
        let slice = now.div_euclid(SLICE);
        // The clock was set back, and not just read by two threads at once: what was counted ages from here on.
        if slice < self.newest - 1 {
            self.newest = slice;
        }
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

    /// Takes one back that was added at `then`, unless it has aged away.
    fn take_back(&mut self, then: Millis) {
        let slice = then.div_euclid(SLICE);
        if slice > self.newest - SLICES_SIGNED
            && let Some(slot) = self.slot(slice)
        {
            *slot = slot.saturating_sub(1);
        }
    }

    fn total(&mut self, now: Millis) -> u64 {
        self.turn_to(now);
        self.slices.iter().sum()
    }

    fn slot(&mut self, slice: i64) -> Option<&mut u64> {
        let index = usize::try_from(slice.rem_euclid(SLICES_SIGNED)).unwrap_or_default();
        self.slices.get_mut(index)
    }
}

#[derive(Default)]
struct Counts {
    live_codes: Sliding,
    spent: Sliding,
}

/// The counts of the process.
pub struct Guesses {
    counts: Mutex<Counts>,
    by_address: Rate<IpAddr>,
}

impl Default for Guesses {
    fn default() -> Self {
        Self { counts: Mutex::default(), by_address: Rate::new(Some(GUESSES)) }
    }
}

/// A guess that was paid for.
#[must_use = "it is given back unless it was wrong"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paid {
    address: IpAddr,
    weight: u32,
    at: Millis,
}

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

    /// Pays for one guess of `address`. Call [`Guesses::give_back`] unless it was wrong.
    pub fn spend(&self, address: IpAddr, now: Millis) -> Result<Paid, BudgetSpent> {
        let mut counts = self.lock();
        let live = counts.live_codes.total(now);
        let everybodys = global_budget(live);
        if counts.spent.total(now) >= everybodys {
            return Err(BudgetSpent { retry_after: 60 });
        }
        // Never more than half of everybody's, so that one address cannot lock all others out: then each guess weighs
        // more.
        let most = u32::try_from(everybodys / 2).unwrap_or(u32::MAX).clamp(1, GUESSES.count);
        let weight = GUESSES.count.div_ceil(most);
        self.by_address.spend_heavy(address, weight, now)?;
        counts.spent.add(now, 1);
        Ok(Paid { address, weight, at: now })
    }

    /// The guess was not wrong.
    pub fn give_back(&self, paid: Paid) {
        self.lock().spent.take_back(paid.at);
        self.by_address.give_back(paid.address, paid.weight);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// guesses x live / space <= 2^-20.
fn global_budget(live_codes: u64) -> u64 {
    let mut space: u64 = 1;
    for _ in 0..USER_CODE_LENGTH {
        space *= USER_CODE_ALPHABET.len() as u64;
    }
    (space >> 20) / live_codes.clamp(1, LIVE_CODES)
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
        assert!(guesses.spend(address(1), 0).is_ok());
        assert!(guesses.spend(address(2), 0).is_ok());
        assert!(guesses.spend(address(3), 0).is_err());
        // Codes and guesses age alike.
        assert!(guesses.spend(address(3), DEVICE_CODE_LIFETIME).is_ok());
    }

    #[test]
    fn what_was_spent_ages_also_after_the_clock_was_set_back() {
        let later = 365 * 24 * 3_600_000;
        let guesses = Guesses::with_live_codes(10_000, later);
        assert!(guesses.spend(address(1), later).is_ok());
        assert!(guesses.spend(address(2), later).is_ok());
        assert!(guesses.spend(address(3), 0).is_err());
        assert!(guesses.spend(address(3), DEVICE_CODE_LIFETIME).is_ok());
    }

    #[test]
    fn any_number_of_codes_leaves_room_for_honest_people() {
        let guesses = Guesses::with_live_codes(1_000_000, 0);
        for round in 0..100 {
            let paid = guesses.spend(address(1), round).unwrap();
            guesses.give_back(paid);
        }
    }

    #[test]
    fn one_address_spends_only_its_own() {
        let guesses = Guesses::default();
        for _ in 0..GUESSES.count {
            assert!(guesses.spend(address(1), 0).is_ok());
        }
        assert!(guesses.spend(address(1), 1).is_err());
        assert!(guesses.spend(address(2), 1).is_ok());
        assert!(guesses.spend(address(1), DEVICE_CODE_LIFETIME).is_ok());
        // With many codes the budget is small, and still nobody has all of it.
        let guesses = Guesses::with_live_codes(10_000, 0);
        assert!(guesses.spend(address(1), 0).is_ok());
        assert!(guesses.spend(address(1), 0).is_err());
        assert!(guesses.spend(address(2), 0).is_ok());
    }

    #[test]
    fn what_is_given_back_late_leaves_newer_guesses_alone() {
        let guesses = Guesses::default();
        let paid = guesses.spend(address(1), 0).unwrap();
        assert!(guesses.spend(address(2), DEVICE_CODE_LIFETIME).is_ok());
        guesses.give_back(paid);
        assert_eq!(guesses.lock().spent.total(DEVICE_CODE_LIFETIME), 1);
    }
}
