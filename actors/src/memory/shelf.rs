//! A bounded map from questions to answers. What was not asked for lately leaves first.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use super::Recall;
use super::freshness::{Freshness, Stamp};
use super::halves::Halves;

/// Threads that ask at once should not wait for one another.
const PARTS: usize = 8;
/// Answers in one half of one part.
const HALF: usize = 1024;

struct Kept<A> {
    answer: Arc<A>,
    stamp: Stamp,
}

type Part<Q> = Halves<Q, Kept<<Q as Recall>::Answer>, HALF>;

/// Answers to one kind of question.
pub struct Shelf<Q: Recall> {
    parts: [Mutex<Part<Q>>; PARTS],
    hasher: RandomState,
}

impl<Q: Recall> Default for Shelf<Q> {
    fn default() -> Self {
        Self { parts: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new() }
    }
}

impl<Q: Recall> Shelf<Q> {
    /// The answer, if it is here and still true.
    pub(crate) fn find(&self, question: &Q, freshness: &Freshness) -> Option<Arc<Q::Answer>> {
        let mut part = self.part(question)?.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = part.find(question, |kept| freshness.holds(&kept.stamp))?;
        Some(Arc::clone(&kept.answer))
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
        let kept: usize = shelf.parts.iter().map(|part| part.lock().unwrap().len()).sum();
        assert!(kept <= PARTS * HALF * 2, "{kept}");
        assert!(shelf.find(&question(1), &freshness).is_none());
        freshness.tell(&[Fact::ClientSecrets]);
        assert!(shelf.find(&question(0), &freshness).is_none());
    }
}
