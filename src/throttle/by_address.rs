//! Misses per client address within a window: who guessed too often must wait.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::device_codes::DEVICE_CODE_LIFETIME;

/// Misses per address within the window: enough for honest mistakes, also behind a shared address.
pub const PER_ADDRESS: u64 = 30;
/// The window begins with an address's first miss. As long as a device code lives, in milliseconds.
const WINDOW: Millis = DEVICE_CODE_LIFETIME;
/// Addresses remembered at most.
const CAPACITY: usize = 100_000;

/// The budget is spent; when it makes sense to try again, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetSpent {
    /// Seconds.
    pub retry_after: u32,
}

/// The counts: how many, and when they are forgotten.
#[derive(Default)]
pub(super) struct SpentByAddress(HashMap<IpAddr, (u64, Millis)>);

impl SpentByAddress {
    /// Whether `address` spent less than `limit`.
    pub(super) fn allow(&self, address: IpAddr, limit: u64, now: Millis) -> Result<(), BudgetSpent> {
        match self.0.get(&address) {
            Some((spent, until)) if *until > now && *spent >= limit => {
                let seconds = (until - now).div_euclid(1000) + 1;
                Err(BudgetSpent { retry_after: u32::try_from(seconds).unwrap_or(u32::MAX) })
            }
            _ => Ok(()),
        }
    }

    /// Spends one of `limit`.
    pub(super) fn spend(&mut self, address: IpAddr, limit: u64, now: Millis) -> Result<(), BudgetSpent> {
        self.allow(address, limit, now)?;
        self.missed(address, now);
        Ok(())
    }

    /// Takes one back.
    pub(super) fn give_back(&mut self, address: IpAddr) {
        if let Some((spent, _)) = self.0.get_mut(&address) {
            *spent = spent.saturating_sub(1);
            if *spent == 0 {
                self.0.remove(&address);
            }
        }
    }

    /// Counts one, whatever the limit.
    pub(super) fn missed(&mut self, address: IpAddr, now: Millis) {
        if self.0.len() >= CAPACITY {
            self.0.retain(|_, (_, until)| *until > now);
            if self.0.len() >= CAPACITY {
                self.0.clear();
            }
        }
        let entry = self.0.entry(address).or_insert((0, now + WINDOW));
        if entry.1 <= now {
            *entry = (0, now + WINDOW);
        }
        entry.0 += 1;
    }
}

/// Guesses at tokens too long to be hit: the limit only keeps the noise down, so it is per address and no more.
#[derive(Default)]
pub struct TokenGuesses(Mutex<SpentByAddress>);

impl TokenGuesses {
    /// Whether `address` may present a token.
    pub fn allow(&self, address: IpAddr, now: Millis) -> Result<(), BudgetSpent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).allow(address, PER_ADDRESS, now)
    }

    /// Notes that `address` presented a token that does not exist.
    pub fn missed(&self, address: IpAddr, now: Millis) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).missed(address, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_missed_too_often_waits_and_no_other() {
        let guesses = TokenGuesses::default();
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..PER_ADDRESS {
            assert_eq!(guesses.allow(one, 0), Ok(()));
            guesses.missed(one, 0);
        }
        assert_eq!(guesses.allow(one, WINDOW - 1000), Err(BudgetSpent { retry_after: 2 }));
        assert_eq!(guesses.allow(other, 0), Ok(()));
        assert_eq!(guesses.allow(one, WINDOW), Ok(()));
    }
}
