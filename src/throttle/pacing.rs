//! Polling pace of device codes (RFC 8628, section 3.5). A pending poll never writes: its bookkeeping is here.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gatehouse_actors::clock::Millis;

/// Seconds between polls at first.
pub const INTERVAL: u32 = 5;
/// RFC 8628, section 3.5: `slow_down` adds 5 seconds for this and all later polls.
const SLOW_DOWN_STEP: u32 = 5;
/// However impatient a client was, it may poll this often, in seconds.
const MAX_INTERVAL: u32 = 60;
/// A clock tick or a busy network must not turn an honest client into an impatient one.
const SLACK: Millis = 500;
/// Codes remembered at most. Beyond it expired codes are forgotten, then all: clients may poll faster for a while.
const CAPACITY: usize = 100_000;

struct Pace {
    /// Of the last poll that was in time: a client that hears `slow_down` and keeps its own pace is not starved.
    last_in_time: Millis,
    interval: u32,
    forget_at: Millis,
}

/// The pace of every code that was polled.
#[derive(Default)]
pub struct Pacing(Mutex<HashMap<i64, Pace>>);

/// The client polls too fast; the interval it must keep from now on, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowDown {
    /// Seconds.
    pub interval: u32,
}

impl Pacing {
    /// Notes a poll of the code in row `id`. Of many polls at once, exactly one is in time.
    pub fn poll(&self, id: i64, expires_at: Millis, now: Millis) -> Result<(), SlowDown> {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if paces.len() >= CAPACITY {
            paces.retain(|_, pace| pace.forget_at > now);
            if paces.len() >= CAPACITY {
                paces.clear();
            }
        }
        let Some(pace) = paces.get_mut(&id) else {
            paces.insert(id, Pace { last_in_time: now, interval: INTERVAL, forget_at: expires_at });
            return Ok(());
        };
        // A last poll in the future means that the clock was set back: nobody is too early for that.
        let early =
            pace.last_in_time <= now && now - pace.last_in_time < Millis::from(pace.interval) * 1000 - SLACK;
        if early {
            pace.interval = (pace.interval + SLOW_DOWN_STEP).min(MAX_INTERVAL);
            return Err(SlowDown { interval: pace.interval });
        }
        pace.last_in_time = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_poll_per_interval_is_in_time() {
        let pacing = Pacing::default();
        assert_eq!(pacing.poll(1, 900_000, 0), Ok(()));
        assert_eq!(pacing.poll(1, 900_000, 5_000), Ok(()));
        assert_eq!(pacing.poll(1, 900_000, 6_000), Err(SlowDown { interval: 10 }));
        assert_eq!(pacing.poll(1, 900_000, 12_000), Err(SlowDown { interval: 15 }));
        assert_eq!(pacing.poll(1, 900_000, 27_000), Ok(()));
        assert_eq!(pacing.poll(2, 900_000, 27_000), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_impatient() {
        let pacing = Pacing::default();
        assert_eq!(pacing.poll(1, 4_500_000, 3_600_000), Ok(()));
        assert_eq!(pacing.poll(1, 4_500_000, 5_000), Ok(()));
        assert_eq!(pacing.poll(1, 4_500_000, 6_000), Err(SlowDown { interval: 10 }));
        assert_eq!(pacing.poll(1, 4_500_000, 15_000), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let pacing = Pacing::default();
        for id in 0..300_000 {
            let _ = pacing.poll(id, 900_000, 1);
        }
        assert!(pacing.0.lock().unwrap().len() <= CAPACITY);
    }
}
