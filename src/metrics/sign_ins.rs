//! Sign-ins, by kind of provider and outcome.

use prometheus::{Error, IntCounterVec, Opts};

use crate::config::provider::ProviderKind;

/// Counts sign-ins. They are rare and slow enough that their labels are looked up each time.
pub struct SignIns(IntCounterVec);

impl SignIns {
    pub(super) fn new() -> Result<Self, Error> {
        let help = "Sign-ins that came back from a provider, by what became of them; with provider=\"session\", \
            those of a browser that was signed in already.";
        let counters =
            IntCounterVec::new(Opts::new("gatehouse_sign_ins_total", help), &["provider", "outcome"])?;
        for provider in ProviderKind::ALL.iter().map(|kind| kind.as_str()).chain(["session"]) {
            counters.with_label_values(&[provider, "succeeded"]);
        }
        Ok(Self(counters))
    }

    pub(super) fn collector(&self) -> IntCounterVec {
        self.0.clone()
    }

    /// The provider said who it is, and they are let in.
    pub fn succeeded(&self, provider: &str) {
        self.count(provider, "succeeded");
    }

    /// It led to nothing, for a reason out of a short list.
    pub fn failed(&self, provider: &str, reason: &'static str) {
        self.count(provider, reason);
    }

    /// A browser that was signed in already is let in.
    pub fn continued(&self) {
        self.0.with_label_values(&["session", "succeeded"]).inc();
    }

    fn count(&self, provider: &str, outcome: &'static str) {
        let provider = provider.parse().map_or("other", ProviderKind::as_str);
        self.0.with_label_values(&[provider, outcome]).inc();
    }
}
