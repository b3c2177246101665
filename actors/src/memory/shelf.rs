//! A bounded map from questions to answers. What was not asked for lately leaves first.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use super::Recall;
use super::freshness::{Freshness, Stamp};

/// Threads that ask at once should not wait for one another.
const PARTS: usize = 8;
/// Answers in one half of one part. There are two halves: when the young one is full, it becomes the old one, and what
/// is still asked for moves back.
const HALF: usize = 1024;

struct Kept<A> {
    answer: Arc<A>,
    stamp: Stamp,
}

struct Part<Q: Recall> {
    young: HashMap<Q, Kept<Q::Answer>>,
    old: HashMap<Q, Kept<Q::Answer>>,
}

/// Answers to one kind of question.
pub struct Shelf<Q: Recall> {
    parts: [Mutex<Part<Q>>; PARTS],
    hasher: RandomState,
}

impl<Q: Recall> Default for Shelf<Q> {
    fn default() -> Self {
        let part = |_| Mutex::new(Part { young: HashMap::new(), old: HashMap::new() });
        Self { parts: std::array::from_fn(part), hasher: RandomState::new() }
    }
}

impl<Q: Recall> Part<Q> {
    fn keep(&mut self, question: Q, kept: Kept<Q::Answer>) {
        if self.young.len() >= HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(question, kept);
    }
}

impl<Q: Recall> Shelf<Q> {
    /// The answer, if it is here and still true.
    pub(crate) fn find(&self, question: &Q, freshness: &Freshness) -> Option<Arc<Q::Answer>> {
        let mut part = self.part(question)?.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = part.young.get(question) {
            if freshness.holds(&kept.stamp) {
                return Some(Arc::clone(&kept.answer));
            }
            part.young.remove(question);
            return None;
        }
        let kept = part.old.remove(question).filter(|kept| freshness.holds(&kept.stamp))?;
        let answer = Arc::clone(&kept.answer);
        part.keep(question.clone(), kept);
        Some(answer)
    }

    pub(crate) fn keep(&self, question: Q, answer: &Arc<Q::Answer>, stamp: Stamp) {
        if let Some(part) = self.part(&question) {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            part.keep(question, Kept { answer: Arc::clone(answer), stamp });
        }
    }

    fn part(&self, question: &Q) -> Option<&Mutex<Part<Q>>> {
        let hash = self.hasher.hash_one(question);
        self.parts.get(usize::try_from(hash % PARTS as u64).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Fact;
    use super::*;
    use crate::data::client_secrets::{ClientSecret, ClientSecretById};

    fn question(id: i64) -> ClientSecretById {
        ClientSecretById { id, service_id: 1 }
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_asked_for() {
        let (shelf, freshness) = (Shelf::<ClientSecretById>::default(), Freshness::default());
        let answer = Arc::new(ClientSecret { hash: [0; 32], expires_at: None });
        let most = i64::try_from(PARTS * HALF * 2).unwrap();
        for id in 0..most * 3 {
            shelf.keep(question(id), &answer, freshness.stamp(&[Fact::ClientSecrets]));
            assert!(
                shelf.find(&question(0), &freshness).is_some(),
                "asked for all the time, gone after {id}"
            );
        }
        let size = |part: &Mutex<Part<ClientSecretById>>| {
            let part = part.lock().unwrap();
            part.young.len() + part.old.len()
        };
        let kept: usize = shelf.parts.iter().map(size).sum();
        assert!(kept <= PARTS * HALF * 2, "{kept}");
        assert!(shelf.find(&question(1), &freshness).is_none());
        freshness.tell(&[Fact::ClientSecrets]);
        assert!(shelf.find(&question(0), &freshness).is_none());
    }
}
