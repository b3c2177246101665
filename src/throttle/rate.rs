//! How often something may happen per key: so many at once, and as many again within a period, evenly (the generic cell
//! rate algorithm). One number per key, in shards with a lock each, so that requests do not wait for one another.
//!
//! Memory is bounded: before a shard grows, keys that are at rest are forgotten, and a shard that is full of restless
//! ones forgets them all. Whoever has that many addresses is not held up by a limit per address anyway.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gatehouse_actors::clock::Millis;

const SHARDS: usize = 64;
/// Keys that one limit remembers at most: 2,048 in each shard.
const CAPACITY: usize = SHARDS * 2_048;

/// So many at once, and as many again within the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many; at least one.
    pub count: u32,
    /// Within how many milliseconds.
    pub per: Millis,
}

/// The budget is spent; when it makes sense to try again, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetSpent {
    /// Seconds, at least one.
    pub retry_after: u32,
}

/// A quota in microseconds.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// From one to the next.
    cell: i64,
    /// What may happen at once.
    count: u32,
}

impl Pace {
    fn of(quota: Quota) -> Self {
        let count = quota.count.max(1);
        Self { cell: (micros(quota.per) / i64::from(count)).max(1), count }
    }

    fn burst(self) -> i64 {
        self.cell.saturating_mul(i64::from(self.count))
    }

    /// What `weight` costs. More than everything costs everything.
    fn cost(self, weight: u32) -> i64 {
        self.cell.saturating_mul(i64::from(weight.min(self.count)))
    }

    /// When a key is at rest, given what is known of it. Later than it can be means that the clock was set back.
    fn rest(self, known: Option<i64>, now: i64) -> i64 {
        match known {
            Some(rest) if rest > now.saturating_add(self.burst()).saturating_add(self.cell) => now,
            Some(rest) => rest.max(now),
            None => now,
        }
    }

    fn admits(self, rest: i64, now: i64) -> Result<(), BudgetSpent> {
        let wait = rest.saturating_sub(now).saturating_sub(self.burst());
        if wait <= 0 {
            return Ok(());
        }
        let seconds = wait.saturating_add(999_999) / 1_000_000;
        Err(BudgetSpent { retry_after: u32::try_from(seconds).unwrap_or(u32::MAX) })
    }
}

/// What is known of the keys of one shard: when each is at rest, in microseconds.
type Shard<K> = HashMap<K, i64>;

/// A limit with its state.
pub struct Rate<K> {
    pace: Option<Pace>,
    shards: Box<[Mutex<Shard<K>>; SHARDS]>,
    hasher: RandomState,
}

impl<K: Hash + Eq + Copy> Rate<K> {
    /// A limit; without a quota nothing is limited.
    #[must_use]
    pub fn new(quota: Option<Quota>) -> Self {
        let shards = Box::new(std::array::from_fn(|_| Mutex::default()));
        Self { pace: quota.map(Pace::of), shards, hasher: RandomState::new() }
    }

    /// Whether `key` has something left. Takes nothing.
    pub fn allow(&self, key: K, now: Millis) -> Result<(), BudgetSpent> {
        let Some(pace) = self.pace else { return Ok(()) };
        let now = micros(now);
        let known = self.shard(key).get(&key).copied();
        pace.admits(pace.rest(known, now).saturating_add(pace.cell), now)
    }

    /// Takes one.
    pub fn spend(&self, key: K, now: Millis) -> Result<(), BudgetSpent> {
        self.spend_heavy(key, 1, now)
    }

    /// Takes `weight` at once, or nothing.
    pub fn spend_heavy(&self, key: K, weight: u32, now: Millis) -> Result<(), BudgetSpent> {
        let Some(pace) = self.pace else { return Ok(()) };
        let now = micros(now);
        let mut shard = self.shard(key);
        let rest = pace.rest(shard.get(&key).copied(), now).saturating_add(pace.cost(weight));
        pace.admits(rest, now)?;
        keep(&mut shard, key, rest, now);
        Ok(())
    }

    /// Takes one, even where nothing is left.
    pub fn missed(&self, key: K, now: Millis) {
        let Some(pace) = self.pace else { return };
        let now = micros(now);
        let mut shard = self.shard(key);
        let rest = pace.rest(shard.get(&key).copied(), now).saturating_add(pace.cell);
        keep(&mut shard, key, rest.min(now.saturating_add(pace.burst())), now);
    }

    /// Gives `weight` back.
    pub fn give_back(&self, key: K, weight: u32) {
        let Some(pace) = self.pace else { return };
        if let Some(rest) = self.shard(key).get_mut(&key) {
            *rest = rest.saturating_sub(pace.cost(weight));
        }
    }

    fn shard(&self, key: K) -> MutexGuard<'_, Shard<K>> {
        let [first, ..] = &*self.shards;
        let index = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or_default();
        self.shards.get(index).unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn remembered(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }
}

fn micros(moment: Millis) -> i64 {
    moment.saturating_mul(1000)
}

fn keep<K: Hash + Eq>(shard: &mut Shard<K>, key: K, rest: i64, now: i64) {
    if let Some(known) = shard.get_mut(&key) {
        *known = rest;
        return;
    }
    if shard.len() == shard.capacity() || shard.len() >= CAPACITY / SHARDS {
        shard.retain(|_, rest| *rest > now);
        if shard.len() >= CAPACITY / SHARDS {
            shard.clear();
        }
    }
    shard.insert(key, rest);
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use governor::RateLimiter;
    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;

    use super::*;

    const FIVE_PER_SECOND: Quota = Quota { count: 5, per: 1000 };

    #[test]
    fn so_many_at_once_and_as_many_again_within_the_period() {
        let rate = Rate::new(Some(FIVE_PER_SECOND));
        for _ in 0..5 {
            assert_eq!(rate.spend(1, 0), Ok(()));
        }
        assert_eq!(rate.spend(1, 0), Err(BudgetSpent { retry_after: 1 }));
        assert_eq!(rate.allow(1, 0), Err(BudgetSpent { retry_after: 1 }));
        assert_eq!(rate.spend(2, 0), Ok(()), "others are unharmed");
        assert_eq!(rate.spend(1, 199), Err(BudgetSpent { retry_after: 1 }));
        assert_eq!(rate.spend(1, 200), Ok(()));
        assert!(rate.spend(1, 200).is_err());
        for _ in 0..5 {
            assert_eq!(rate.spend(1, 1200), Ok(()));
        }
        assert!(rate.spend(1, 1200).is_err());
    }

    #[test]
    fn looking_takes_nothing_and_what_is_given_back_is_there_again() {
        let rate = Rate::new(Some(FIVE_PER_SECOND));
        for _ in 0..100 {
            assert_eq!(rate.allow(1, 0), Ok(()));
        }
        assert_eq!(rate.spend_heavy(1, 5, 0), Ok(()));
        assert!(rate.spend(1, 0).is_err());
        rate.give_back(1, 5);
        assert_eq!(rate.spend_heavy(1, 1000, 0), Ok(()), "more than everything is everything");
        assert!(rate.spend(1, 0).is_err());
        for _ in 0..100 {
            rate.missed(1, 0);
        }
        assert_eq!(rate.spend(1, 200), Ok(()), "misses beyond the limit do not pile up");
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let rate = Rate::new(Some(FIVE_PER_SECOND));
        let tomorrow = 86_400_000;
        for _ in 0..5 {
            assert_eq!(rate.spend(1, tomorrow), Ok(()));
        }
        assert!(rate.spend(1, tomorrow).is_err());
        assert_eq!(rate.spend(1, 0), Ok(()));
    }

    #[test]
    fn without_a_quota_nothing_is_limited_or_remembered() {
        let rate = Rate::new(None);
        for _ in 0..1000 {
            assert_eq!((rate.spend(1, 0), rate.allow(1, 0)), (Ok(()), Ok(())));
            rate.missed(1, 0);
        }
        assert_eq!(rate.remembered(), 0);
    }

    #[test]
    fn a_million_keys_take_bounded_memory_and_keys_at_rest_are_forgotten() {
        let rate = Rate::new(Some(FIVE_PER_SECOND));
        for key in 0..1_000_000 {
            let _ = rate.spend(key, 0);
        }
        assert!(rate.remembered() <= CAPACITY);
        let rate = Rate::new(Some(FIVE_PER_SECOND));
        for key in 0..1_000_000 {
            let _ = rate.spend(key, key / 10);
        }
        // A key is at rest after 200 ms, in which 2,000 others come; a shard grows by doubling.
        assert!(rate.remembered() < 8_000, "{}", rate.remembered());
    }

    proptest! {
        /// The arithmetic is that of the crate which is known for it.
        #[test]
        fn it_decides_as_governor_does(
            (count, cell_millis) in (1_u32..50, 1_u32..2000),
            steps in proptest::collection::vec((0_u64..3000, 1_u32..4), 1..200),
        ) {
            let clock = FakeRelativeClock::default();
            let burst = NonZeroU32::new(count).unwrap();
            let period = Duration::from_millis(u64::from(cell_millis));
            let quota = governor::Quota::with_period(period).unwrap().allow_burst(burst);
            let reference = RateLimiter::direct_with_clock(quota, clock.clone());
            let rate = Rate::new(Some(Quota { count, per: i64::from(cell_millis) * i64::from(count) }));
            let mut now = 0;
            for (passed, weight) in steps {
                clock.advance(Duration::from_millis(passed));
                now += i64::try_from(passed).unwrap();
                let weight = weight.min(count);
                let expected = reference.check_n(NonZeroU32::new(weight).unwrap()).unwrap().is_ok();
                prop_assert_eq!(rate.spend_heavy(7, weight, now).is_ok(), expected);
            }
        }
    }
}
