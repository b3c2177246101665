//! What limits refused, by the name of the limit.

use prometheus::{Error, IntCounterVec, Opts};

use crate::throttle::limits::names;

/// Counts refusals. They are rare, and who is refused may wait for a label to be looked up.
pub struct Throttled(IntCounterVec);

impl Throttled {
    pub(super) fn new() -> Result<Self, Error> {
        let help =
            "Requests and connections that a limit refused, by the name of the limit in docs/limits.md.";
        let counters = IntCounterVec::new(Opts::new("gatehouse_throttled_total", help), &["limit"])?;
        for name in names() {
            counters.with_label_values(&[name]);
        }
        Ok(Self(counters))
    }

    pub(super) fn collector(&self) -> IntCounterVec {
        self.0.clone()
    }

    /// The limit of that name refused somebody.
    pub fn by(&self, limit: &'static str) {
        self.0.with_label_values(&[limit]).inc();
    }

    /// How often it did.
    #[must_use]
    pub fn count(&self, limit: &'static str) -> u64 {
        self.0.with_label_values(&[limit]).get()
    }
}
