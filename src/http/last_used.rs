//! When sessions were last used: gathered in memory and written in batches, so that a request costs no write.
//!
//! A request notes its session here. The first note after a minute takes what was gathered and has it written, beside
//! the request; what is left is written at stop. A crash loses the last minute of this, and nothing else.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::own_sessions::SessionsUsed;
use gatehouse_actors::store::Store;

/// How long notes are gathered.
const GATHER: Millis = 60 * 1000;
/// Notes that are kept at most; with more sessions a minute they are written more often.
const MOST: usize = 1024;

/// The notes.
#[derive(Default)]
pub struct LastUsed(Mutex<Notes>);

#[derive(Default)]
struct Notes {
    used: HashMap<i64, Millis>,
    begun_at: Millis,
}

impl LastUsed {
    /// Notes that a session was used. Returns what is to be written now, if it is time.
    fn note(&self, session_id: i64, now: Millis) -> Option<SessionsUsed> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.used.is_empty() {
            notes.begun_at = now;
        }
        notes.used.insert(session_id, now);
        // A clock that was set back must not stop the writing.
        let is_time = (now - notes.begun_at).abs() >= GATHER || notes.used.len() >= MOST;
        is_time.then(|| SessionsUsed { used: std::mem::take(&mut notes.used).into_iter().collect() })
    }

    /// When a session was last used, if that is not written yet.
    #[must_use]
    pub fn of(&self, session_id: i64) -> Option<Millis> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).used.get(&session_id).copied()
    }

    /// Notes that a session was used, and has a full batch written without waiting for it.
    pub fn used(&self, store: &Store, session_id: i64, now: Millis) {
        if let Some(batch) = self.note(session_id, now) {
            let store = store.clone();
            actix_web::rt::spawn(async move { write(&store, batch).await });
        }
    }

    /// Writes what is left, at stop.
    pub async fn flush(&self, store: &Store) {
        let used = std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).used);
        if !used.is_empty() {
            write(store, SessionsUsed { used: used.into_iter().collect() }).await;
        }
    }
}

async fn write(store: &Store, batch: SessionsUsed) {
    let count = batch.used.len();
    // Lost notes make a list look older than it is, no more: worth a line, not a retry.
    if let Err(error) = store.write(batch).await {
        log::warn!(sessions = count, reason:? = error; "use of sessions not written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_gathered_for_a_minute_and_the_last_one_counts() {
        let notes = LastUsed::default();
        assert!(notes.note(1, 1_000).is_none());
        assert!(notes.note(2, 2_000).is_none());
        assert!(notes.note(1, 60_999).is_none());
        assert_eq!((notes.of(1), notes.of(2), notes.of(3)), (Some(60_999), Some(2_000), None));
        let mut batch = notes.note(3, 61_000).unwrap().used;
        batch.sort_unstable();
        assert_eq!(batch, [(1, 60_999), (2, 2_000), (3, 61_000)]);
        assert_eq!(notes.of(1), None);
        assert!(notes.note(1, 61_001).is_none(), "a new minute began");
    }

    #[test]
    fn many_sessions_are_written_early_and_a_clock_set_back_stops_nothing() {
        let notes = LastUsed::default();
        let most = i64::try_from(MOST).unwrap();
        assert!((1..most).all(|id| notes.note(id, 5).is_none()));
        assert_eq!(notes.note(most, 5).unwrap().used.len(), MOST);
        assert!(notes.note(1, 1_000_000).is_none());
        assert!(notes.note(1, 0).is_some());
    }
}
