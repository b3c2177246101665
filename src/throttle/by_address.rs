//! Misses per client address within a window: who guessed too often must wait.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// The counts: how many, and when they are forgotten. The key is an address, alone or with what it tries to open.
pub(super) struct Spent<K>(HashMap<K, (u64, Millis)>);

/// The counts of addresses.
pub(super) type SpentByAddress = Spent<IpAddr>;

impl<K> Default for Spent<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Copy> Spent<K> {
    /// Whether `address` spent less than `limit`.
    pub(super) fn allow(&self, address: K, limit: u64, now: Millis) -> Result<(), BudgetSpent> {
        match self.0.get(&address) {
            Some((spent, until)) if *until > now && *spent >= limit => {
                let seconds = (until - now).div_euclid(1000) + 1;
                Err(BudgetSpent { retry_after: u32::try_from(seconds).unwrap_or(u32::MAX) })
            }
            _ => Ok(()),
        }
    }

    /// Spends one of `limit`.
    pub(super) fn spend(&mut self, address: K, limit: u64, now: Millis) -> Result<(), BudgetSpent> {
        self.allow(address, limit, now)?;
        self.missed(address, now);
        Ok(())
    }

    /// Takes one back.
    pub(super) fn give_back(&mut self, address: K) {
        if let Some((spent, _)) = self.0.get_mut(&address) {
            *spent = spent.saturating_sub(1);
            if *spent == 0 {
                self.0.remove(&address);
            }
        }
    }

    /// Counts one, whatever the limit.
    pub(super) fn missed(&mut self, address: K, now: Millis) {
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

/// Guesses at the secret of a client: per client and address, so that whoever guesses locks out nobody but themselves.
#[derive(Default)]
pub struct SecretGuesses(Mutex<Spent<(i64, IpAddr)>>);

impl SecretGuesses {
    /// Whether `address` may try a secret of the service in row `service_id`. Right secrets cost nothing, however many
    /// come at once.
    pub fn allow(&self, service_id: i64, address: IpAddr, now: Millis) -> Result<(), BudgetSpent> {
        self.lock().allow((service_id, address), PER_ADDRESS, now)
    }

    /// Notes that the secret was wrong.
    pub fn missed(&self, service_id: i64, address: IpAddr, now: Millis) {
        self.lock().missed((service_id, address), now);
    }

    fn lock(&self) -> MutexGuard<'_, Spent<(i64, IpAddr)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Organizations that anybody registers without signing in, within the window: each takes a slug and waits for a
/// platform owner, so there is a bound per address and one for everybody.
#[derive(Default)]
pub struct Registrations(Mutex<(SpentByAddress, Spent<()>)>);

/// Registrations of all addresses together within the window.
const REGISTRATIONS_IN_ALL: u64 = 300;

impl Registrations {
    /// Pays for one.
    pub fn pay(&self, address: IpAddr, now: Millis) -> Result<(), BudgetSpent> {
        let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The address first: who is over their own bound takes nothing from everybody's.
        spent.0.allow(address, PER_ADDRESS, now)?;
        spent.1.spend((), REGISTRATIONS_IN_ALL, now)?;
        spent.0.missed(address, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_a_secret_locks_out_nobody_else() {
        let guesses = SecretGuesses::default();
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..PER_ADDRESS {
            assert_eq!(guesses.allow(7, one, 0), Ok(()));
            guesses.missed(7, one, 0);
        }
        assert_eq!(guesses.allow(7, one, 0), Err(BudgetSpent { retry_after: 901 }));
        assert_eq!((guesses.allow(7, other, 0), guesses.allow(8, one, 0)), (Ok(()), Ok(())));
        assert_eq!(guesses.allow(7, one, WINDOW), Ok(()));
    }

    #[test]
    fn registrations_are_bounded_per_address_and_in_all() {
        let registrations = Registrations::default();
        let address = |last: u64| IpAddr::from([192, 0, 2, u8::try_from(last).unwrap()]);
        for number in 0..REGISTRATIONS_IN_ALL {
            assert_eq!(registrations.pay(address(number / PER_ADDRESS), 0), Ok(()));
        }
        assert!(registrations.pay(address(0), 0).is_err());
        assert!(registrations.pay(address(200), 0).is_err());
        assert_eq!(registrations.pay(address(200), WINDOW), Ok(()));
        let greedy = Registrations::default();
        for _ in 0..REGISTRATIONS_IN_ALL * 2 {
            let _ = greedy.pay(address(1), 0);
        }
        assert_eq!(greedy.pay(address(2), 0), Ok(()), "one address cannot use up what is everybody's");
    }

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
