//! How the writer fares, for whoever asks whether writes can be served.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A disk that has kept the writer for so long hangs: nothing else takes it seconds.
const HANGS_AFTER: Duration = Duration::from_secs(10);

/// Shared by the writer, which keeps it true, and the store.
#[derive(Debug, Default)]
pub(crate) struct WriterState {
    failing: AtomicBool,
    busy_since: Mutex<Option<Instant>>,
}

impl WriterState {
    /// A job begins.
    pub(crate) fn begin(&self) {
        *self.busy_since() = Some(Instant::now());
    }

    /// The job is over.
    pub(crate) fn end(&self) {
        *self.busy_since() = None;
    }

    /// Whether the engine or the disk refused the last commit.
    pub(crate) fn committed(&self, failing: bool) {
        self.failing.store(failing, Ordering::Relaxed);
    }

    /// Set while the engine or the disk refuses writes; cleared by the next commit.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Whether the disk does not answer.
    pub(crate) fn is_hanging(&self) -> bool {
        self.busy_since().is_some_and(|since| since.elapsed() >= HANGS_AFTER)
    }

    fn busy_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.busy_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
