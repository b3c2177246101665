//! What is known of one subscription, and what follows from it.
//!
//! Three pieces of knowledge, each with the moment that it is from: the subscription's state, its last invoice, the
//! checkout that made it. Each piece keeps its newest value, so events may come in any order, twice, or late, and the
//! end is the same.

use std::collections::BTreeMap;

use super::event::Rank;
use super::object::{Item, Subscription};
use crate::clock::Millis;

/// A renewal is announced within seconds; until this long after the period's end nobody loses a paid plan to a slow
/// delivery.
pub const RENEWAL_SLACK: Millis = 60 * 60 * 1000;
/// How long a state grants that does not say until when it is paid.
const UNKNOWN_PERIOD: Millis = 35 * 24 * 60 * 60 * 1000;

/// The moment that a state is from. Bigger is newer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AsOf {
    /// The event's `created`.
    pub at: Millis,
    /// [`Rank`] as a number; 0 when nothing is known.
    pub rank: i64,
    /// The event; the last resort, so that the same one counts wherever two are equal.
    pub event: String,
}

/// The state of a subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// When it was so.
    pub as_of: AsOf,
    /// Stripe's word; none when the subscription itself was not seen yet.
    pub status: Option<String>,
    /// What is bought.
    pub items: Vec<Item>,
    /// What its maker wrote on it.
    pub metadata: BTreeMap<String, String>,
    /// The end of the paid period.
    pub period_end: Option<Millis>,
    /// When it is going to end, if somebody cancelled it.
    pub cancels_at: Option<Millis>,
    /// When it was made.
    pub started_at: Millis,
}

impl State {
    /// The state that an object shows.
    #[must_use]
    pub fn of(subscription: &Subscription, as_of: AsOf) -> Self {
        Self {
            as_of,
            status: Some(subscription.status.clone().unwrap_or_else(|| "unknown".to_owned())),
            items: subscription.items(),
            metadata: subscription.metadata.clone(),
            period_end: subscription.period_end(),
            cancels_at: subscription.cancels_at(),
            started_at: subscription.created_at(),
        }
    }

    /// Time, then kind of event, then the end before anything else, then the longer period, then the event's id: a
    /// total order, so that of two states the same one counts whichever comes first.
    fn age(&self) -> (Millis, i64, bool, Option<Millis>, &str) {
        let over = matches!(self.status.as_deref(), Some("canceled" | "incomplete_expired"));
        (self.as_of.at, self.as_of.rank, over, self.period_end, &self.as_of.event)
    }
}

/// The last invoice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InvoiceFact {
    /// Whether it was paid; none when there is none.
    pub paid: Option<bool>,
    /// The event's `created`.
    pub at: Millis,
    /// The event.
    pub event: String,
    /// The end of the period that it charges.
    pub period_end: Option<Millis>,
}

/// The checkout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFact {
    /// What its maker wrote on it.
    pub metadata: BTreeMap<String, String>,
    /// The event's `created`.
    pub at: Millis,
    /// The event.
    pub event: String,
}

/// All that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Who pays.
    pub customer: Option<String>,
    /// The subscription itself.
    pub state: State,
    /// Since when it is past due.
    pub past_due_since: Option<Millis>,
    /// Its last invoice.
    pub invoice: InvoiceFact,
    /// The checkout that made it.
    pub session: SessionFact,
}

impl Facts {
    /// Takes in a state. True when it is news.
    pub fn learn_state(&mut self, state: State) -> bool {
        // What was read from Stripe after the event is newer than everything that was known when it was read.
        let read = state.as_of.rank == Rank::Read.number();
        if !read && state.age() <= self.state.age() {
            return false;
        }
        let past_due = |state: &State| state.status.as_deref() == Some("past_due");
        self.past_due_since = match (past_due(&self.state), past_due(&state)) {
            (true, true) => self.past_due_since,
            (_, is) => is.then_some(state.as_of.at),
        };
        let known_at = self.state.as_of.at.max(self.invoice.at);
        let at = if read { state.as_of.at.max(known_at) } else { state.as_of.at };
        self.state = State { as_of: AsOf { at, ..state.as_of }, ..state };
        true
    }

    /// Takes in a state that was read from Stripe at `now`. The state does not say since when it is past due: what was
    /// known counts, then the event that told it (`failed_at`), and when nothing told it, that it was found now.
    pub fn learn_reading(&mut self, state: State, failed_at: Option<Millis>, now: Millis) {
        let was_past_due = self.status() == Some("past_due");
        let known = was_past_due.then(|| self.past_due_since.unwrap_or(self.invoice.at));
        self.learn_state(state);
        self.past_due_since = self.past_due_since.map(|_| known.or(failed_at).unwrap_or(now));
    }

    /// Takes in an invoice. True when it is news.
    pub fn learn_invoice(&mut self, invoice: InvoiceFact) -> bool {
        // Of one second, paid counts: an invoice can fail before it is paid, never after.
        let age = |fact: &InvoiceFact| (fact.at, fact.paid, fact.period_end, fact.event.clone());
        let news = age(&invoice) > age(&self.invoice);
        if news {
            self.invoice = invoice;
        }
        news
    }

    /// Takes in a checkout. True when it is news.
    pub fn learn_session(&mut self, session: SessionFact) -> bool {
        let news = (session.at, &session.event) > (self.session.at, &self.session.event);
        if news {
            self.session = session;
        }
        news
    }

    /// What was written on the subscription, and where that is silent, on the checkout that made it.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        let written = |metadata: &'_ BTreeMap<String, String>| metadata.contains_key(name);
        let metadata =
            if written(&self.state.metadata) { &self.state.metadata } else { &self.session.metadata };
        metadata.get(name).map(String::as_str)
    }

    /// The status, corrected by an invoice that is newer than the state.
    #[must_use]
    pub fn status(&self) -> Option<&str> {
        let status = self.state.status.as_deref()?;
        let newer = self.invoice.at > self.state.as_of.at;
        Some(match (newer.then_some(self.invoice.paid).flatten(), status) {
            (Some(true), "past_due" | "incomplete") => "active",
            (Some(false), "active") => "past_due",
            _ => status,
        })
    }

    /// The end of the paid period of an item, or of the subscription.
    #[must_use]
    pub fn period_end(&self, item: Option<&Item>) -> Option<Millis> {
        let end = item.and_then(|item| item.period_end).or(self.state.period_end);
        let newer = self.invoice.at > self.state.as_of.at && self.invoice.paid == Some(true);
        if newer { end.max(self.invoice.period_end) } else { end }
    }

    /// Until when the subscription grants what it is for; none: it does not.
    #[must_use]
    pub fn grants_until(&self, period_end: Option<Millis>, past_due_grace: Millis) -> Option<Millis> {
        let until = match self.status()? {
            "active" | "trialing" => {
                period_end.map_or(self.state.as_of.at + UNKNOWN_PERIOD, |end| end + RENEWAL_SLACK)
            }
            "past_due" => {
                let failed_at = (self.invoice.at > self.state.as_of.at).then_some(self.invoice.at);
                self.past_due_since.or(failed_at).unwrap_or(self.state.as_of.at) + past_due_grace
            }
            _ => return None,
        };
        // Cancelled by its buyer: it ends at that moment, and no renewal is awaited.
        Some(self.state.cancels_at.map_or(until, |end| until.min(end)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Piece {
        State(State),
        Invoice(InvoiceFact),
        Session(SessionFact),
    }

    fn piece() -> impl Strategy<Value = Piece> {
        let status = prop::sample::select(vec!["active", "trialing", "past_due", "canceled", "incomplete"]);
        let event = "evt_[a-z]{2}";
        let state = (0..5_i64, 1..4_i64, event, status, prop::option::of(0..9_i64)).prop_map(
            |(at, rank, event, status, period_end)| {
                let as_of = AsOf { at, rank, event };
                Piece::State(State { as_of, status: Some(status.to_owned()), period_end, ..State::default() })
            },
        );
        let invoice = (0..5_i64, any::<bool>(), event, prop::option::of(0..9_i64)).prop_map(
            |(at, paid, event, period_end)| {
                Piece::Invoice(InvoiceFact { paid: Some(paid), at, event, period_end })
            },
        );
        let session = (0..5_i64, event).prop_map(|(at, event)| {
            Piece::Session(SessionFact { metadata: [("user_id".into(), event.clone())].into(), at, event })
        });
        prop_oneof![state, invoice, session]
    }

    fn learned(pieces: &[Piece]) -> Facts {
        let mut facts = Facts::default();
        for piece in pieces.iter().cloned() {
            match piece {
                Piece::State(state) => facts.learn_state(state),
                Piece::Invoice(invoice) => facts.learn_invoice(invoice),
                Piece::Session(session) => facts.learn_session(session),
            };
        }
        Facts { past_due_since: None, ..facts }
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter(
            (once, shuffled) in prop::collection::vec(piece(), 1..8).prop_flat_map(|pieces| {
                // One event shows one state.
                let mut once: Vec<Piece> = pieces;
                for (number, piece) in once.iter_mut().enumerate() {
                    if let Piece::State(state) = piece {
                        state.as_of.event = format!("evt_{number}");
                    }
                }
                let twice = [once.clone(), once.clone()].concat();
                (Just(once), Just(twice).prop_shuffle())
            })
        ) {
            prop_assert_eq!(learned(&once), learned(&shuffled));
        }
    }

    fn facts(status: &str, at: Millis) -> Facts {
        let as_of = AsOf { at, rank: Rank::Changed.number(), event: "evt".to_owned() };
        let state = State { as_of, status: Some(status.to_owned()), ..State::default() };
        let mut facts = Facts::default();
        assert!(facts.learn_state(state));
        facts
    }

    #[test]
    fn what_grants_and_until_when() {
        let until = |status| facts(status, 1_000).grants_until(Some(5_000), 100);
        for status in ["active", "trialing"] {
            assert_eq!(until(status), Some(5_000 + RENEWAL_SLACK));
        }
        assert_eq!(until("past_due"), Some(1_100));
        for status in ["canceled", "unpaid", "paused", "incomplete", "incomplete_expired", "word of 2031"] {
            assert_eq!(until(status), None, "{status}");
        }
        let mut cancelled = facts("active", 1_000);
        cancelled.state.cancels_at = Some(4_000);
        assert_eq!(cancelled.grants_until(Some(5_000), 0), Some(4_000));
    }

    #[test]
    fn an_invoice_counts_only_when_it_is_newer() {
        let invoice =
            |paid, at| InvoiceFact { paid: Some(paid), at, event: "e".into(), period_end: Some(90) };
        let mut active = facts("active", 10);
        active.learn_invoice(invoice(false, 10));
        assert_eq!(active.status(), Some("active"));
        active.learn_invoice(invoice(false, 11));
        assert_eq!(active.status(), Some("past_due"));
        active.learn_invoice(invoice(true, 12));
        assert_eq!((active.status(), active.period_end(None)), (Some("active"), Some(90)));
        let mut canceled = facts("canceled", 10);
        canceled.learn_invoice(invoice(true, 11));
        assert_eq!(canceled.status(), Some("canceled"));
    }

    #[test]
    fn a_reading_that_is_past_due_is_so_since_it_was_told_or_found() {
        let since = |mut facts: Facts, failed_at| {
            let as_of = AsOf { at: facts.state.as_of.at, rank: Rank::Read.number(), event: String::new() };
            let state = State { as_of, status: Some("past_due".to_owned()), ..State::default() };
            facts.learn_reading(state, failed_at, 900);
            facts.past_due_since
        };
        let invoice = |paid| InvoiceFact { paid: Some(paid), at: 200, event: "e".into(), period_end: None };
        assert_eq!(since(Facts::default(), None), Some(900));
        assert_eq!(since(facts("active", 100), None), Some(900));
        assert_eq!(since(facts("active", 100), Some(800)), Some(800));
        assert_eq!(since(facts("past_due", 100), Some(800)), Some(100));
        let mut failed = facts("active", 100);
        failed.learn_invoice(invoice(false));
        assert_eq!(since(failed, Some(800)), Some(200));
        let mut paid = facts("past_due", 100);
        paid.learn_invoice(invoice(true));
        assert_eq!(since(paid, None), Some(900));
    }

    #[test]
    fn what_was_read_from_stripe_replaces_what_was_told() {
        let mut facts = facts("active", 100);
        let as_of = AsOf { at: 50, rank: Rank::Read.number(), event: String::new() };
        assert!(facts.learn_state(State { as_of, status: Some("canceled".into()), ..State::default() }));
        assert_eq!((facts.status(), facts.state.as_of.at), (Some("canceled"), 100));
    }
}
