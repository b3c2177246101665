//! The effects of Stripe's events, each in one transaction with the mark on its event.
//!
//! ```text
//! event or object -> facts of the subscription -> meaning -> the user's entitlement, or the organization's tier
//! ```

use ring::digest::{SHA256, digest};
use serde_json::json;

use super::PLATFORM_ORG_ID;
use super::audit::{AuditContext, Happened, append};
use super::stripe_inbox::{Outcome, finish, still_waits};
use super::stripe_subscriptions::{Buyer, Meaning, Stored, find, interpret, save, save_meaning};
use super::subscription_events;
use crate::clock::Millis;
use crate::engine::{Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::WriteOp;
use crate::stripe::event::{Event, Rank, Subject};
use crate::stripe::facts::{AsOf, Facts, InvoiceFact, SessionFact, State};
use crate::stripe::object::Subscription;
use crate::{statements, values};

statements! {
    // One that grants before one that does not, one that may still grant before one that is over, then the newest.
    BEST_OF_USER = "SELECT stripe_id, plan_id, effective_status, period_end, quantity, grants_until, cancels_at \
        FROM stripe_subscriptions WHERE user_id = $1 AND service_id = $2 AND effective_status IS NOT NULL \
        ORDER BY CASE WHEN plan_id IS NOT NULL AND grants_until IS NOT NULL THEN 2 \
        WHEN effective_status IN ('canceled', 'incomplete_expired') THEN 0 ELSE 1 END DESC, started_at DESC, \
        stripe_id DESC LIMIT 1";
    SUBSCRIPTION_OF_USER = "SELECT plan_id, status, current_period_end, quantity, grants_until, cancels_at, \
        stripe_subscription_id FROM subscriptions WHERE user_id = $1 AND service_id = $2";
    INSERT_SUBSCRIPTION = "INSERT INTO subscriptions (public_id, user_id, service_id, plan_id, status, \
        current_period_end, quantity, grants_until, cancels_at, stripe_subscription_id, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)";
    UPDATE_SUBSCRIPTION = "UPDATE subscriptions SET plan_id = $1, status = $2, current_period_end = $3, \
        quantity = $4, grants_until = $5, cancels_at = $6, stripe_subscription_id = $7, updated_at = $8, \
        version = version + 1 WHERE user_id = $9 AND service_id = $10";
    BEST_OF_ORGANIZATION = "SELECT tier_id, grants_until FROM stripe_subscriptions WHERE billed_org_id = $1 \
        AND tier_id IS NOT NULL AND grants_until > $2 ORDER BY started_at DESC, stripe_id DESC LIMIT 1";
    TIER_OF_ORGANIZATION = "SELECT tier_id, public_id FROM organizations WHERE id = $1";
    EVER_PAID_FOR_TIER = "SELECT 1 FROM stripe_subscriptions WHERE billed_org_id = $1 AND tier_id = $2 LIMIT 1";
    PUT_ON_TIER = "UPDATE organizations SET tier_id = $1, updated_at = $2 WHERE id = $3";
    LAPSED_TIERS = "SELECT DISTINCT b.billed_org_id FROM stripe_subscriptions b JOIN organizations o \
        ON o.id = b.billed_org_id WHERE b.billed_org_id > 0 AND b.grants_until <= $1 \
        AND o.tier_id = b.tier_id AND o.tier_id <> 'tier_free' AND NOT EXISTS (SELECT 1 FROM stripe_subscriptions c \
        WHERE c.billed_org_id = b.billed_org_id AND c.tier_id IS NOT NULL AND c.grants_until > $1)";
}

/// The tier of an organization that pays for none.
const FREE_TIER: &str = "tier_free";

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

/// Applies events as they say, in their order. One that was applied already has no effect.
#[derive(Debug, Clone)]
pub struct ApplyStripeEvents {
    /// The events.
    pub events: Vec<EventToApply>,
    /// What the installation decides.
    pub rules: BillingRules,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for ApplyStripeEvents {
    /// How many were applied, and how many ignored.
    type Output = (u64, u64);
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(u64, u64), OpError<()>> {
        let mut counts = (0, 0);
        for one in &self.events {
            if !still_waits(tx, one.id)? {
                continue;
            }
            let outcome = self.effect(tx, one)?;
            match outcome {
                Outcome::Applied(_) => counts.0 += 1,
                Outcome::Ignored(_) => counts.1 += 1,
            }
            finish(tx, one.id, &outcome, self.now)?;
        }
        Ok(counts)
    }
}

impl ApplyStripeEvents {
    fn effect(&self, tx: &mut WriteTx<'_>, one: &EventToApply) -> Result<Outcome, StoreError> {
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
        let at = waiting.iter().map(|one| one.created_at).max().unwrap_or(stored.facts.state.as_of.at);
        let as_of = AsOf { at, rank: Rank::Read.number(), event: String::new() };
        match &self.subscription {
            Some(subscription) => {
                facts.learn_state(State::of(subscription, as_of));
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

#[derive(Debug, PartialEq, Eq)]
struct Has {
    plan_id: i64,
    status: String,
    period_end: Option<Millis>,
    quantity: i64,
    grants_until: Option<Millis>,
    cancels_at: Option<Millis>,
    stripe_id: Option<String>,
}

/// Gives a user what the best of their subscriptions says.
fn entitle_user(
    tx: &mut WriteTx<'_>,
    (user_id, service_id): (i64, i64),
    now: Millis,
) -> Result<(), StoreError> {
    let key = values![user_id, service_id];
    let has = tx.optional(SUBSCRIPTION_OF_USER, key, |row| {
        Ok(Has {
            plan_id: row.get(0)?,
            status: row.get(1)?,
            period_end: row.get(2)?,
            quantity: row.get(3)?,
            grants_until: row.get(4)?,
            cancels_at: row.get(5)?,
            stripe_id: row.get(6)?,
        })
    })?;
    let best = tx.optional(BEST_OF_USER, key, |row| {
        let plan_id: Option<i64> = row.get(1)?;
        Ok((plan_id, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?, row.get(0)?))
    })?;
    let gets = match (best, &has) {
        (Some((plan_id, status, period_end, quantity, grants_until, cancels_at, stripe_id)), _) => {
            // One for an unknown price grants nothing; what it was for before is kept as history.
            let Some(plan_id) = plan_id.or(has.as_ref().map(|has| has.plan_id)) else { return Ok(()) };
            Has {
                plan_id,
                status,
                period_end,
                quantity,
                grants_until,
                cancels_at,
                stripe_id: Some(stripe_id),
            }
        }
        // The subscription is somebody else's now.
        (None, Some(has)) => Has {
            plan_id: has.plan_id,
            status: "canceled".to_owned(),
            period_end: has.period_end,
            quantity: has.quantity,
            grants_until: None,
            cancels_at: None,
            stripe_id: None,
        },
        (None, None) => return Ok(()),
    };
    let Has { plan_id, status, period_end, quantity, grants_until, cancels_at, stripe_id } = &gets;
    match has {
        Some(has) if has == gets => {}
        Some(has) => {
            let values = values![
                *plan_id,
                status,
                *period_end,
                *quantity,
                *grants_until,
                *cancels_at,
                stripe_id,
                now,
                user_id,
                service_id,
            ];
            tx.execute(UPDATE_SUBSCRIPTION, values)?;
            subscription_events::record(tx, (user_id, service_id), Some(&has.status), now)?;
        }
        None => {
            let public_id = public_id(now, &format!("subscription {user_id} {service_id}"));
            let values = values![
                &public_id,
                user_id,
                service_id,
                *plan_id,
                status,
                *period_end,
                *quantity,
                *grants_until,
                *cancels_at,
                stripe_id,
                now,
            ];
            tx.execute(INSERT_SUBSCRIPTION, values)?;
            subscription_events::record(tx, (user_id, service_id), None, now)?;
        }
    }
    Ok(())
}

/// Puts an organization on the tier that it pays for.
fn put_on_tier(tx: &mut WriteTx<'_>, org_id: i64, now: Millis) -> Result<(), StoreError> {
    let tier = |row: &Row<'_, '_>| row.get::<String>(0);
    let paid = tx.optional(BEST_OF_ORGANIZATION, values![org_id, now], tier)?;
    let pays_for = paid.as_deref().unwrap_or(FREE_TIER);
    let (has, org_public_id) =
        tx.one(TIER_OF_ORGANIZATION, values![org_id], |row| Ok((tier(row)?, row.get::<String>(1)?)))?;
    if has == pays_for {
        return Ok(());
    }
    // A tier that the platform's owner gave is not taken away because something else is no longer paid for.
    let bought = tx.optional(EVER_PAID_FOR_TIER, values![org_id, &has], |_| Ok(()))?.is_some();
    if paid.is_none() && !bought {
        return Ok(());
    }
    tx.execute(PUT_ON_TIER, values![pays_for, now, org_id])?;
    let audit = AuditContext {
        entry_public_id: public_id(now, &format!("tier {org_id} {has} {pays_for}")),
        actor_user_id: None,
        ip_address: String::new(),
        user_agent: "stripe".to_owned(),
        now,
    };
    let happened = Happened {
        org_id,
        action: "organization.tier_changed",
        target: ("organization", &org_public_id),
        metadata: json!({ "before": { "tier_id": has }, "after": { "tier_id": pays_for }, "by": "billing" }),
    };
    append(tx, &audit, &happened)
}

/// Ends tiers that were paid for until now and of which nothing more was heard.
#[derive(Debug, Clone, Copy)]
pub struct EndLapsedTiers {
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for EndLapsedTiers {
    /// How many organizations.
    type Output = u64;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<u64, OpError<()>> {
        let lapsed = tx.all(LAPSED_TIERS, values![self.now], |row| row.get::<i64>(0))?;
        for org_id in &lapsed {
            put_on_tier(tx, *org_id, self.now)?;
        }
        Ok(lapsed.len() as u64)
    }
}

/// A UUID of version 7 (RFC 9562, section 5.7). An operation draws no randomness, so that it can run again: what is
/// random elsewhere follows from `seed` here.
fn public_id(now: Millis, seed: &str) -> String {
    let hash = digest(&SHA256, format!("{now} {seed}").as_bytes());
    let hex: String =
        hash.as_ref().iter().take(10).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let time = format!("{:012x}", now.max(0));
    let piece = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    let head = (time.get(..8).unwrap_or_default(), time.get(8..12).unwrap_or_default());
    format!("{}-{}-7{}-8{}-{}", head.0, head.1, piece(0, 3), piece(3, 6), piece(6, 18))
}
