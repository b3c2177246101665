//! How many event streams are open, in all and per organization, and the word that ends them all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Streams of the whole process: each holds a connection.
const MOST: usize = 256;
/// Streams of one organization, so that none takes them all.
const MOST_OF_ONE: usize = 10;

/// The streams that are open. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Streams(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: Mutex<HashMap<i64, usize>>,
    closing: watch::Sender<bool>,
}

/// A place for one stream; given back when dropped.
#[derive(Debug)]
pub struct Place {
    streams: Streams,
    org_id: i64,
}

/// Why no stream is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// The organization has as many as it may.
    Organization,
    /// The process has as many as it may, or is about to stop.
    Process,
}

impl Streams {
    /// A place for a stream of an organization.
    pub fn enter(&self, org_id: i64) -> Result<Place, NoPlace> {
        let mut open = self.open();
        if *self.0.closing.borrow() || open.values().sum::<usize>() >= MOST {
            return Err(NoPlace::Process);
        }
        let of_one = open.entry(org_id).or_default();
        if *of_one >= MOST_OF_ONE {
            return Err(NoPlace::Organization);
        }
        *of_one += 1;
        Ok(Place { streams: self.clone(), org_id })
    }

    /// How many streams are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.open().values().sum()
    }

    /// Turns true when all streams are to end.
    #[must_use]
    pub fn closing(&self) -> watch::Receiver<bool> {
        self.0.closing.subscribe()
    }

    /// Ends all streams: the process is about to stop.
    pub fn close(&self) {
        self.0.closing.send_replace(true);
    }

    fn open(&self) -> MutexGuard<'_, HashMap<i64, usize>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open();
        if let Some(count) = open.get_mut(&self.org_id) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.org_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let streams = Streams::default();
        let mut places: Vec<_> = (0..MOST_OF_ONE).map(|_| streams.enter(1).unwrap()).collect();
        assert_eq!(streams.enter(1).unwrap_err(), NoPlace::Organization);
        assert!(streams.enter(2).is_ok());
        places.pop();
        assert!(streams.enter(1).is_ok());
        let others = (2..).flat_map(|org_id| std::iter::repeat_n(org_id, MOST_OF_ONE));
        let others: Vec<_> = others.map_while(|org_id| streams.enter(org_id).ok()).collect();
        assert_eq!(places.len() + others.len(), MOST);
        assert_eq!(streams.enter(1).unwrap_err(), NoPlace::Process);
        drop((places, others));
        assert!(streams.open().is_empty());
    }

    #[test]
    fn nobody_enters_once_it_closes() {
        let streams = Streams::default();
        let closing = streams.closing();
        streams.close();
        assert!(*closing.borrow());
        assert_eq!(streams.enter(1).unwrap_err(), NoPlace::Process);
    }
}
