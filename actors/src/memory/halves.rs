//! A bounded map of two halves: when the young one is full it becomes the old one, and what is still asked for moves
//! back. So what was not asked for lately leaves first, without a list of who asked when.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// The map. Not more than twice `HALF` entries are in it.
#[derive(Debug)]
pub struct Halves<K, V, const HALF: usize> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V, const HALF: usize> Default for Halves<K, V, HALF> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Eq + Hash + Clone, V, const HALF: usize> Halves<K, V, HALF> {
    /// What is kept for `key`, if it is still good. What is not is forgotten.
    pub fn find(&mut self, key: &K, is_good: impl FnOnce(&V) -> bool) -> Option<&V> {
        if let Some(value) = self.old.remove(key) {
            self.keep(key.clone(), value);
        }
        if self.young.get(key).is_some_and(is_good) {
            return self.young.get(key);
        }
        self.young.remove(key);
        None
    }

    /// Keeps `value` for `key`, in the place of what was there.
    pub fn keep(&mut self, key: K, value: V) {
        if self.young.len() >= HALF {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
