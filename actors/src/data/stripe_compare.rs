//! Questions that a comparison with Stripe asks.

use super::stripe_subscriptions::find;
use crate::engine::ReadTx;
use crate::error::StoreError;
use crate::message::{Lane, ReadOp};
use crate::stripe::facts::{AsOf, State};
use crate::stripe::object::Subscription;
use crate::stripe_event_actor::StripeAccount;
use crate::{statements, values};

statements! {
    LIVE_STRIPE_SUBSCRIPTIONS = "SELECT id, stripe_id FROM stripe_subscriptions WHERE id > $1 AND org_id = $2 \
        AND status IS NOT NULL AND status NOT IN ('canceled', 'incomplete_expired') ORDER BY id LIMIT $3";
    STRIPE_ACCOUNTS_WITH_KEYS = "SELECT org_id, secret_key_sealed FROM stripe_accounts WHERE org_id > $1 \
        ORDER BY org_id";
    STRIPE_MEANING = "SELECT reason FROM stripe_subscriptions WHERE org_id = $1 AND stripe_id = $2";
}

/// Which of these subscriptions are not known as Stripe lists them?
#[derive(Debug, Clone)]
pub struct SubscriptionsThatDiffer {
    /// Whose Stripe account.
    pub org_id: i64,
    /// As Stripe lists them.
    pub subscriptions: Vec<Subscription>,
}

impl ReadOp for SubscriptionsThatDiffer {
    /// Their ids.
    type Output = Vec<String>;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let mut differing = Vec::new();
        for listed in &self.subscriptions {
            let says = State::of(listed, AsOf::default());
            let knows = find(tx, self.org_id, &listed.id)?.facts;
            // Of other programs that sell through the same account: none of our business unless we know of it.
            let ours = knows.state.status.is_some()
                || ["user_id", "organization_id"].iter().any(|label| says.metadata.contains_key(*label));
            let same = knows.status() == says.status.as_deref()
                && knows.period_end(None) == says.period_end
                && State { as_of: AsOf::default(), ..knows.state.clone() } == says;
            // What granted nothing may do so now: a plan may have got its price meanwhile.
            let reason = tx.optional(STRIPE_MEANING, values![self.org_id, &listed.id], |row| {
                row.get::<Option<String>>(0)
            })?;
            if ours && (!same || reason.flatten().is_some()) {
                differing.push(listed.id.clone());
            }
        }
        Ok(differing)
    }
}

/// Subscriptions that are not over as far as is known here.
#[derive(Debug, Clone, Copy)]
pub struct LiveStripeSubscriptions {
    /// Whose Stripe account.
    pub org_id: i64,
    /// The row id after which to go on.
    pub after: i64,
    /// The most to return.
    pub limit: i64,
}

impl ReadOp for LiveStripeSubscriptions {
    /// Row id and `sub_…`.
    type Output = Vec<(i64, String)>;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let values = values![self.after, self.org_id, self.limit];
        tx.all(LIVE_STRIPE_SUBSCRIPTIONS, values, |row| Ok((row.get(0)?, row.get(1)?)))
    }
}

/// Organizations with a Stripe account of their own.
#[derive(Debug, Clone, Copy)]
pub struct StripeAccountsWithKeys;

impl ReadOp for StripeAccountsWithKeys {
    type Output = Vec<StripeAccount>;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.all(STRIPE_ACCOUNTS_WITH_KEYS, values![0], |row| {
            Ok(StripeAccount { org_id: row.get(0)?, secret_key_sealed: Some(row.get(1)?) })
        })
    }
}
