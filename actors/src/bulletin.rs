//! News of a commit, for those who wait for changes instead of asking again and again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// What the operations of a batch have to tell. A note of one that was rolled back wakes somebody for nothing, which
/// is no harm: news say where to look, never what is there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) outbox: bool,
    pub(crate) organizations: BTreeSet<i64>,
}

/// Where the writer puts news up after COMMIT. Clones share one board.
#[derive(Debug, Clone, Default)]
pub struct Bulletin(Arc<Board>);

#[derive(Debug, Default)]
struct Board {
    outbox: watch::Sender<()>,
    organizations: Mutex<HashMap<i64, watch::Sender<()>>>,
}

impl Bulletin {
    /// Changes whenever something was put into the outbox.
    pub(crate) fn outbox(&self) -> watch::Receiver<()> {
        self.0.outbox.subscribe()
    }

    /// Changes whenever an event of the organization was committed, and for nobody else's.
    #[must_use]
    pub fn events_of(&self, org_id: i64) -> watch::Receiver<()> {
        let mut boards = self.0.organizations.lock().unwrap_or_else(PoisonError::into_inner);
        boards.entry(org_id).or_default().subscribe()
    }

    pub(crate) fn publish(&self, news: &News) {
        if news.outbox {
            self.0.outbox.send_replace(());
        }
        if news.organizations.is_empty() {
            return;
        }
        let mut boards = self.0.organizations.lock().unwrap_or_else(PoisonError::into_inner);
        for org_id in &news.organizations {
            match boards.get(org_id) {
                Some(board) if board.receiver_count() > 0 => {
                    board.send_replace(());
                }
                // Whoever followed it has left.
                Some(_) => {
                    boards.remove(org_id);
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(organizations: &[i64]) -> News {
        News { outbox: false, organizations: organizations.iter().copied().collect() }
    }

    #[test]
    fn only_those_who_are_concerned_are_woken() {
        let bulletin = Bulletin::default();
        let (mut one, mut two) = (bulletin.events_of(1), bulletin.events_of(2));
        let outbox = bulletin.outbox();
        bulletin.publish(&of(&[1, 3]));
        assert!(one.has_changed().unwrap());
        assert!(!two.has_changed().unwrap());
        assert!(!outbox.has_changed().unwrap());
        one.mark_unchanged();
        bulletin.publish(&News { outbox: true, ..of(&[2]) });
        assert!(!one.has_changed().unwrap());
        assert!(two.has_changed().unwrap() && outbox.has_changed().unwrap());
        two.mark_unchanged();
    }

    #[test]
    fn boards_that_nobody_reads_are_taken_down() {
        let bulletin = Bulletin::default();
        drop(bulletin.events_of(1));
        bulletin.publish(&of(&[1]));
        assert!(bulletin.0.organizations.lock().unwrap().is_empty());
    }
}
