//! What changed: a count for every fact, raised between COMMIT and the answers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::hooks::Action;

use super::Fact;

/// Facts share counts: two rows with the same one make each other be read again, which is no harm.
const COUNTS: usize = 8192;
/// Commands of another process are noticed by the writer, which is asked this often while answers are in use.
const LOOK_AFTER: Duration = Duration::from_millis(20);
/// Without a look for so long, nothing that is kept is used.
const LEASE: Duration = Duration::from_millis(50);

impl Fact {
    /// What a change of a row touches, by the table's name. A new session, user, organization or service changes no
    /// answer about others.
    fn of_row(action: Action, table: &str, row: i64) -> Option<Self> {
        let is_new = action == Action::SQLITE_INSERT;
        match table {
            "sessions" if !is_new => Some(Self::Session(row)),
            "users" if !is_new => Some(Self::User(row)),
            "organizations" if !is_new => Some(Self::Organization(row)),
            "services" if !is_new => Some(Self::Service(row)),
            "plans" => Some(Self::Plans),
            "subscriptions" => Some(Self::Subscriptions),
            "client_secrets" => Some(Self::ClientSecrets),
            "oauth_credentials" => Some(Self::OauthCredentials),
            _ => None,
        }
    }

    fn place(self) -> usize {
        let (table, row) = match self {
            Self::Session(row) => (0_u64, row),
            Self::User(row) => (1, row),
            Self::Organization(row) => (2, row),
            Self::Service(row) => (3, row),
            Self::Plans => (4, 0),
            Self::Subscriptions => (5, 0),
            Self::ClientSecrets => (6, 0),
            Self::RevokedTokens => (7, 0),
            Self::OauthCredentials => (8, 0),
        };
        // Neighbouring rows get neighbouring counts, tables get their own stretches.
        let place = row.cast_unsigned().wrapping_mul(16).wrapping_add(table) % COUNTS as u64;
        usize::try_from(place).unwrap_or_default()
    }
}

/// What a transaction changed so far. One on the writer's connection, noted by the engine itself, so that no operation
/// can forget it: triggers and cascades are noted as well.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes(Arc<Mutex<Vec<Fact>>>);

impl Changes {
    /// What the engine calls for every row that is inserted, changed or deleted.
    pub(crate) fn hook(&self) -> impl FnMut(Action, &str, &str, i64) + Send + use<> {
        let changes = self.clone();
        move |action, _database, table, row| {
            if let Some(fact) = Fact::of_row(action, table, row) {
                changes.note(fact);
            }
        }
    }

    /// Notes a change of a table that the engine does not tell of, because it has no row ids.
    pub(crate) fn note(&self, fact: Fact) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.last() != Some(&fact) {
            noted.push(fact);
        }
    }

    /// What was noted since the last time.
    pub(crate) fn take(&self) -> Vec<Fact> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The counts that one answer rests on, as they were when it was read.
#[derive(Debug)]
pub(crate) struct Stamp {
    places: Box<[usize]>,
    sum: u64,
}

/// Every count. They only ever grow, so an unchanged sum of some means that none of them changed.
#[derive(Debug)]
pub(crate) struct Freshness {
    started: Instant,
    counts: Box<[AtomicU64]>,
    /// Raised when another process changed the database: nobody knows what.
    elsewhere: AtomicU64,
    /// How often anything was raised.
    told: AtomicU64,
    /// When it was last known what other processes did, in microseconds since the start.
    looked_at: AtomicU64,
    looking: AtomicBool,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            counts: (0..COUNTS).map(|_| AtomicU64::new(0)).collect(),
            elsewhere: AtomicU64::new(0),
            told: AtomicU64::new(0),
            looked_at: AtomicU64::new(0),
            looking: AtomicBool::new(false),
        }
    }
}

/// Whether what is kept may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lease {
    /// Yes.
    Good,
    /// Yes, and somebody should look again.
    Ending,
    /// No: look first.
    Over,
}

impl Freshness {
    /// These facts changed. Between COMMIT and the answers.
    pub(crate) fn tell(&self, facts: &[Fact]) {
        if facts.is_empty() {
            return;
        }
        // First: who read before the commit and stamps after it sees this one move.
        self.told.fetch_add(1, Ordering::SeqCst);
        for count in facts.iter().filter_map(|fact| self.counts.get(fact.place())) {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Another process changed the database, or perhaps did.
    pub(crate) fn tell_of_others(&self) {
        self.told.fetch_add(1, Ordering::SeqCst);
        self.elsewhere.fetch_add(1, Ordering::SeqCst);
    }

    /// Everything that other processes committed before `moment` is told.
    pub(crate) fn looked(&self, moment: Instant) {
        let micros = self.micros(moment);
        self.looked_at.fetch_max(micros, Ordering::SeqCst);
    }

    /// How often anything was told.
    pub(crate) fn told(&self) -> u64 {
        self.told.load(Ordering::SeqCst)
    }

    pub(crate) fn lease(&self) -> Lease {
        let age = self.micros(Instant::now()).saturating_sub(self.looked_at.load(Ordering::SeqCst));
        let age = Duration::from_micros(age);
        if age < LOOK_AFTER {
            Lease::Good
        } else if age < LEASE {
            Lease::Ending
        } else {
            Lease::Over
        }
    }

    /// Whether the caller is the one to have it looked.
    pub(crate) fn begin_look(&self) -> bool {
        !self.looking.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn end_look(&self) {
        self.looking.store(false, Ordering::SeqCst);
    }

    pub(crate) fn stamp(&self, facts: &[Fact]) -> Stamp {
        let places: Box<[usize]> = facts.iter().map(|fact| fact.place()).collect();
        let sum = self.sum(&places);
        Stamp { places, sum }
    }

    pub(crate) fn holds(&self, stamp: &Stamp) -> bool {
        self.sum(&stamp.places) == stamp.sum
    }

    fn sum(&self, places: &[usize]) -> u64 {
        let counts = places.iter().filter_map(|place| self.counts.get(*place));
        counts.fold(self.elsewhere.load(Ordering::SeqCst), |sum, count| {
            sum.wrapping_add(count.load(Ordering::SeqCst))
        })
    }

    fn micros(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.started);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_voids_what_rests_on_it_and_nothing_else() {
        let freshness = Freshness::default();
        let mine = freshness.stamp(&[Fact::Session(7), Fact::User(3), Fact::Plans]);
        let other = freshness.stamp(&[Fact::Session(8), Fact::User(4)]);
        freshness.tell(&[Fact::User(3)]);
        assert!(!freshness.holds(&mine) && freshness.holds(&other));
        freshness.tell_of_others();
        assert!(!freshness.holds(&other));
    }

    #[test]
    fn rows_of_different_tables_do_not_share_a_count() {
        let rows = [Fact::Session(5), Fact::User(5), Fact::Organization(5), Fact::Service(5)];
        let tables = [
            Fact::Plans,
            Fact::Subscriptions,
            Fact::ClientSecrets,
            Fact::RevokedTokens,
            Fact::OauthCredentials,
        ];
        let mut places: Vec<_> = rows.iter().chain(&tables).map(|fact| fact.place()).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 9);
    }

    #[test]
    fn a_lease_ends_unless_somebody_looks() {
        let freshness = Freshness::default();
        freshness.looked(Instant::now());
        assert_eq!(freshness.lease(), Lease::Good);
        let long_ago =
            Freshness { started: Instant::now().checked_sub(LEASE * 2).unwrap(), ..Freshness::default() };
        assert_eq!(long_ago.lease(), Lease::Over);
        long_ago.looked(Instant::now().checked_sub(LOOK_AFTER).unwrap());
        assert_eq!(long_ago.lease(), Lease::Ending);
        assert!(long_ago.begin_look() && !long_ago.begin_look());
        long_ago.end_look();
        assert!(long_ago.begin_look());
    }

    #[test]
    fn only_what_matters_is_noted() {
        let changes = Changes::default();
        let mut hook = changes.hook();
        hook(Action::SQLITE_INSERT, "main", "sessions", 1);
        hook(Action::SQLITE_INSERT, "main", "device_codes", 1);
        assert!(changes.take().is_empty());
        hook(Action::SQLITE_UPDATE, "main", "sessions", 1);
        hook(Action::SQLITE_UPDATE, "main", "sessions", 1);
        hook(Action::SQLITE_INSERT, "main", "plans", 9);
        assert_eq!(changes.take(), [Fact::Session(1), Fact::Plans]);
    }
}
