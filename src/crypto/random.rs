//! Randomness from the operating system.

use std::cell::RefCell;

use gatehouse_actors::clock::Millis;
use ring::rand::{SecureRandom, SystemRandom};
use uuid::Builder;

/// Labels that one call to the operating system is enough for.
const LABELS: usize = 100;

thread_local! {
    /// Random bytes for labels of this thread.
    static STOCK: RefCell<Vec<[u8; 10]>> = const { RefCell::new(Vec::new()) };
}

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

    /// The same for what is no secret and names nothing that is stored, such as a request: random bytes for many are
    /// drawn at once, because asking the operating system for each costs more than the rest of the id.
    #[must_use]
    pub fn label(&self, now: Millis) -> String {
        let bytes = STOCK.with_borrow_mut(|stock| {
            if stock.is_empty() {
                stock.extend(self.bytes::<{ 10 * LABELS }>().as_chunks::<10>().0);
            }
            stock.pop().unwrap_or_else(|| self.bytes())
        });
        let millis = u64::try_from(now).unwrap_or_default();
        Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid().to_string()
    }
}
