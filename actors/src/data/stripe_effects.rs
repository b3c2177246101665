//! The effects of Stripe's events, each in one transaction with the mark on its event.
//!
//! ```text
//! event or object -> facts of the subscription -> meaning -> the user's entitlement, or the organization's tier
//! ```

use super::PLATFORM_ORG_ID;
use super::stripe_entitlements::{entitle_user, put_on_tier};
use super::stripe_inbox::{Outcome, finish, still_waits};
use super::stripe_subscriptions::{Buyer, Meaning, Stored, find, interpret, save, save_meaning};
use crate::clock::Millis;
use crate::engine::WriteTx;
use crate::error::{OpError, StoreError};
use crate::message::WriteOp;
use crate::stripe::event::{Event, Rank, Subject};
use crate::stripe::facts::{AsOf, Facts, InvoiceFact, SessionFact, State};
use crate::stripe::object::Subscription;

/// What the installation decides about billing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BillingRules {
    /// How long a subscription that is past due still grants.
    pub past_due_grace: Millis,
    /// Whether the platform's account is a live one; none when that is not known.
    pub livemode: Option<bool>,
}

/// An event to apply as it says.
#[derive(Debug, Clone)]
pub struct EventToApply {
    /// Row id in the inbox.
    pub id: i64,
    /// Whose Stripe account it came from.
    pub org_id: i64,
    /// When it happened.
    pub created_at: Millis,
    /// The event.
    pub event: Event,
}

/// Applies an event as it says. One that was applied already has no effect.
#[derive(Debug, Clone)]
pub struct ApplyStripeEvent {
    /// The event.
    pub event: EventToApply,
    /// What the installation decides.
    pub rules: BillingRules,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for ApplyStripeEvent {
    /// What became of it; none: it did not wait any more.
    type Output = Option<Outcome>;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Option<Outcome>, OpError<()>> {
        if !still_waits(tx, self.event.id)? {
            return Ok(None);
        }
        let outcome = self.effect(tx)?;
        finish(tx, self.event.id, &outcome, self.now)?;
        Ok(Some(outcome))
    }
}

impl ApplyStripeEvent {
    fn effect(&self, tx: &mut WriteTx<'_>) -> Result<Outcome, StoreError> {
        let one = &self.event;
        if let Some(reason) = unusable(&one.event, one.org_id, self.rules) {
            return Ok(Outcome::Ignored(reason));
        }
        let Some(stripe_id) = one.event.subscription_id() else {
            return Ok(Outcome::Ignored("it is about no subscription"));
        };
        let stored = find(tx, one.org_id, &stripe_id)?;
        let mut facts = stored.facts.clone();
        let is_news = learn(&mut facts, one);
        // Also when it is no news: a plan may have got its price since, and then a replay gives it to its buyer.
        let outcome = settle(tx, (one.org_id, &stripe_id), &stored, &facts, (self.rules, self.now))?;
        Ok(match outcome {
            Outcome::Applied(None) if !is_news => Outcome::Applied(Some("no news: a later state is known")),
            outcome => outcome,
        })
    }
}

/// Why an event is none that this account's subscriptions follow from.
#[must_use]
pub fn unusable(event: &Event, org_id: i64, rules: BillingRules) -> Option<&'static str> {
    if event.account.is_some() {
        return Some("it is of a connected account");
    }
    let other_mode = rules.livemode.zip(event.livemode).is_some_and(|(ours, theirs)| ours != theirs);
    if org_id == PLATFORM_ORG_ID && other_mode {
        return Some("it is of test mode and the key of live mode, or the reverse");
    }
    match event.subject {
        Subject::Other => Some("nothing follows from this type of event"),
        Subject::Unreadable => Some("its object is not what its type promises"),
        _ => None,
    }
}

/// Takes an event's word for what it says. True when it is news.
fn learn(facts: &mut Facts, one: &EventToApply) -> bool {
    let (at, event) = (one.created_at, one.event.id.clone());
    let (customer, news) = match &one.event.subject {
        Subject::Subscription { rank, subscription } => {
            let as_of = AsOf { at, rank: rank.number(), event };
            (&subscription.customer, facts.learn_state(State::of(subscription, as_of)))
        }
        Subject::Session(session) => {
            let metadata = session.metadata.clone();
            (&session.customer, facts.learn_session(SessionFact { metadata, at, event }))
        }
        Subject::Invoice { paid, invoice } => {
            let period_end = invoice.period_end();
            let fact = InvoiceFact { paid: Some(*paid), at, event, period_end };
            (&invoice.customer, facts.learn_invoice(fact))
        }
        Subject::Other | Subject::Unreadable => (&None, false),
    };
    if news && customer.is_some() {
        facts.customer.clone_from(customer);
    }
    news
}

/// A subscription as it was read from Stripe.
#[derive(Debug, Clone)]
pub struct ApplyStripeSubscription {
    /// Whose Stripe account.
    pub org_id: i64,
    /// The subscription's id.
    pub stripe_id: String,
    /// The subscription; none: Stripe knows no such subscription.
    pub subscription: Option<Box<Subscription>>,
    /// The events that led to the reading, oldest first; empty when it was compared without one.
    pub events: Vec<EventToApply>,
    /// What the installation decides.
    pub rules: BillingRules,
    /// The present moment.
    pub now: Millis,
}

/// What the reading changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Whether what was known differed from what Stripe says.
    pub differed: bool,
    /// What was known: status, end of the period.
    pub before: (Option<String>, Option<Millis>),
    /// What Stripe says.
    pub after: (Option<String>, Option<Millis>),
    /// Why it grants nothing, although it could.
    pub reason: Option<&'static str>,
}

impl WriteOp for ApplyStripeSubscription {
    type Output = Comparison;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Comparison, OpError<()>> {
        let mut waiting = Vec::new();
        for one in &self.events {
            if still_waits(tx, one.id)? {
                waiting.push(one);
            }
        }
        if waiting.is_empty() && !self.events.is_empty() {
            return Ok(Comparison::default());
        }
        let stored = find(tx, self.org_id, &self.stripe_id)?;
        let mut facts = stored.facts.clone();
        for one in &waiting {
            if matches!(one.event.subject, Subject::Session(_)) {
                learn(&mut facts, one);
            }
        }
        // No event: the state that was known is older, and where none was known, it is as of now.
        let known = &stored.facts.state;
        let known_at = known.status.as_ref().map_or(self.now, |_| known.as_of.at);
        let at = waiting.iter().map(|one| one.created_at).max().unwrap_or(known_at);
        let failed_at =
            waiting.iter().filter(|one| tells_past_due(&one.event)).map(|one| one.created_at).max();
        let as_of = AsOf { at, rank: Rank::Read.number(), event: String::new() };
        match &self.subscription {
            Some(subscription) => {
                facts.learn_reading(State::of(subscription, as_of), failed_at, self.now);
                if subscription.customer.is_some() {
                    facts.customer.clone_from(&subscription.customer);
                }
            }
            None if stored.facts.state.status.is_some() => {
                let gone = State { as_of, status: Some("canceled".to_owned()), ..stored.facts.state.clone() };
                facts.learn_state(gone);
            }
            None => {
                for one in waiting {
                    let outcome = Outcome::Ignored("Stripe knows no such subscription");
                    finish(tx, one.id, &outcome, self.now)?;
                }
                return Ok(Comparison::default());
            }
        }
        let outcome = settle(tx, (self.org_id, &self.stripe_id), &stored, &facts, (self.rules, self.now))?;
        for one in waiting {
            finish(tx, one.id, &outcome, self.now)?;
        }
        let told = |facts: &Facts| (facts.status().map(ToOwned::to_owned), facts.period_end(None));
        let (before, after) = (told(&stored.facts), told(&facts));
        let differed = differs(&stored.facts, &facts);
        let reason = if let Outcome::Ignored(reason) = outcome { Some(reason) } else { None };
        Ok(Comparison { differed, before, after, reason })
    }
}

fn tells_past_due(event: &Event) -> bool {
    match &event.subject {
        Subject::Subscription { subscription, .. } => subscription.status.as_deref() == Some("past_due"),
        Subject::Invoice { paid, .. } => !paid,
        Subject::Session(_) | Subject::Other | Subject::Unreadable => false,
    }
}

/// Whether two accounts of a subscription say something different, whatever moment they are from.
fn differs(one: &Facts, other: &Facts) -> bool {
    let timeless = |facts: &Facts| State { as_of: AsOf::default(), ..facts.state.clone() };
    one.status() != other.status()
        || one.period_end(None) != other.period_end(None)
        || timeless(one) != timeless(other)
}

/// Stores the facts and everything that follows from them.
fn settle(
    tx: &mut WriteTx<'_>,
    (org_id, stripe_id): (i64, &str),
    stored: &Stored,
    facts: &Facts,
    (rules, now): (BillingRules, Millis),
) -> Result<Outcome, StoreError> {
    let row_id = save(tx, (org_id, stripe_id), facts, now)?;
    let meaning = interpret(tx, org_id, facts)?;
    let is_for_something = meaning.plan_id.is_some() || meaning.tier_id.is_some();
    let grants_until =
        is_for_something.then(|| facts.grants_until(meaning.period_end, rules.past_due_grace)).flatten();
    save_meaning(tx, row_id, facts, &meaning, grants_until)?;
    let now_for = |meaning: &Meaning| match meaning.buyer {
        Some(Buyer::User { user_id, service_id }) => Some((user_id, service_id)),
        _ => None,
    };
    let mut touched: Vec<(i64, i64)> = stored.user_service.into_iter().chain(now_for(&meaning)).collect();
    touched.dedup();
    for user_service in touched {
        entitle_user(tx, user_service, now)?;
    }
    let billed = match meaning.buyer {
        Some(Buyer::Organization(org_id)) => Some(org_id),
        _ => stored.billed_org_id,
    };
    if let (Some(org_id), true) = (billed, differs(&stored.facts, facts)) {
        put_on_tier(tx, org_id, now)?;
    }
    Ok(match meaning.reason {
        Some(reason) => Outcome::Ignored(reason),
        None => Outcome::Applied(None),
    })
}
