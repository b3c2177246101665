//! Randomness from the operating system.

use gatehouse_actors::clock::Millis;
use ring::rand::{SecureRandom, SystemRandom};
use uuid::Builder;

/// The random source of the process.
#[derive(Debug, Clone)]
pub struct Random(SystemRandom);

impl Default for Random {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Random {
    /// `N` random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        if self.0.fill(&mut bytes).is_err() {
            // Nothing this service hands out is safe without randomness.
            log::error!("the operating system gives no randomness");
            std::process::abort();
        }
        bytes
    }

    /// A UUID version 7 for the moment `now`.
    #[must_use]
    pub fn uuid(&self, now: Millis) -> String {
        let millis = u64::try_from(now).unwrap_or_default();
        Builder::from_unix_timestamp_millis(millis, &self.bytes()).into_uuid().to_string()
    }
}
