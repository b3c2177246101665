//! Access tokens whose signature was checked, so that it is checked once and not at every request: an ES256 signature
//! costs more than everything else about a request together.
//!
//! Only what a signature proves is kept: that these very bytes were signed here, and what they say. Whether the session
//! lives is asked each time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatehouse_actors::clock::Millis;
use gatehouse_actors::memory::halves::Halves;
use ring::digest::{Context, SHA256};

use super::claims::AccessClaims;

/// Tokens in each half of what is kept.
const HALF: usize = 8 * 1024;

/// SHA-256 of a token and of who must have issued it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Proof([u8; 32]);

impl Proof {
    /// No issuer has a NUL in it, so two pairs never read the same.
    pub(super) fn of(issuer: &str, token: &str) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(issuer.as_bytes());
        context.update(&[0]);
        context.update(token.as_bytes());
        Self(context.finish().as_ref().try_into().unwrap_or_default())
    }
}

struct Kept {
    claims: Arc<AccessClaims>,
    until: Millis,
}

/// What was verified under the present keys.
#[derive(Default)]
pub(super) struct Verified {
    halves: Mutex<Halves<Proof, Kept, HALF>>,
    /// How often the keys were replaced.
    keys: AtomicU64,
}

impl Verified {
    /// Which keys are in use. To be asked before a signature is checked.
    pub(super) fn keys(&self) -> u64 {
        self.keys.load(Ordering::SeqCst)
    }

    /// The keys were replaced: nothing that is kept counts any more, nor what is being checked with the old ones.
    pub(super) fn forget(&self) {
        let mut halves = self.halves();
        self.keys.fetch_add(1, Ordering::SeqCst);
        *halves = Halves::default();
    }

    /// What a token says that was verified before.
    pub(super) fn find(&self, proof: &Proof, now: Millis) -> Option<Arc<AccessClaims>> {
        let mut halves = self.halves();
        halves.find(proof, |kept| now < kept.until).map(|kept| Arc::clone(&kept.claims))
    }

    /// Keeps what was verified while `keys` were in use.
    pub(super) fn keep(&self, proof: Proof, claims: &Arc<AccessClaims>, until: Millis, keys: u64) {
        let mut halves = self.halves();
        if keys == self.keys() {
            halves.keep(proof, Kept { claims: Arc::clone(claims), until });
        }
    }

    fn halves(&self) -> MutexGuard<'_, Halves<Proof, Kept, HALF>> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
