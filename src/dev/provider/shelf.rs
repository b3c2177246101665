//! A place for things that live shortly, with an end to how many.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gatehouse_actors::clock::Millis;

/// Nobody signs in to a dev machine this often within a life.
const CAPACITY: usize = 1024;

/// Things by key, each gone after `life` milliseconds. When it is full, the oldest makes room.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    life: Millis,
    entries: Mutex<HashMap<String, Entry<T>>>,
}

#[derive(Debug)]
struct Entry<T> {
    put_at: Millis,
    value: T,
}

impl<T: Clone> Shelf<T> {
    pub(super) fn new(life: Millis) -> Self {
        Self { life, entries: Mutex::default() }
    }

    pub(super) fn put(&self, key: String, value: T, now: Millis) {
        let mut entries = self.lock();
        if entries.len() >= CAPACITY {
            entries.retain(|_, entry| self.lives(entry, now));
        }
        if entries.len() >= CAPACITY {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.put_at).map(|(key, _)| key.clone());
            oldest.and_then(|key| entries.remove(&key));
        }
        entries.insert(key, Entry { put_at: now, value });
    }

    /// The thing, which is there no longer: nobody gets it twice.
    pub(super) fn take(&self, key: &str, now: Millis) -> Option<T> {
        let entry = self.lock().remove(key)?;
        self.lives(&entry, now).then_some(entry.value)
    }

    /// A copy of the thing.
    pub(super) fn get(&self, key: &str, now: Millis) -> Option<T> {
        let entries = self.lock();
        entries.get(key).filter(|entry| self.lives(entry, now)).map(|entry| entry.value.clone())
    }

    fn lives(&self, entry: &Entry<T>, now: Millis) -> bool {
        now.saturating_sub(entry.put_at) < self.life
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry<T>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner) // whole entries only
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_taken_once_and_die() {
        let shelf = Shelf::new(10);
        shelf.put("a".to_owned(), 1, 0);
        assert_eq!(shelf.get("a", 9), Some(1));
        assert_eq!(shelf.get("a", 10), None);
        assert_eq!(shelf.take("a", 9), Some(1));
        assert_eq!(shelf.take("a", 9), None);
        shelf.put("b".to_owned(), 2, 0);
        assert_eq!(shelf.take("b", 10), None);
    }

    #[test]
    fn it_never_holds_more_than_its_capacity() {
        let shelf = Shelf::new(i64::MAX);
        for i in 0..2 * CAPACITY {
            shelf.put(i.to_string(), i, i64::try_from(i).unwrap());
        }
        assert_eq!(shelf.lock().len(), CAPACITY);
        let newest = 2 * CAPACITY - 1;
        assert_eq!(shelf.get(&newest.to_string(), 4096), Some(newest));
        assert_eq!(shelf.get("0", 4096), None);
    }
}
