//! Comparing with Stripe what is known here. The list only shows where to look: what differs is read again, alone,
//! so that a list that took a while never overwrites what an event brought meanwhile.

use std::collections::HashSet;

use super::{StripeAccount, Worker, add};
use crate::data::stripe_compare::{LiveStripeSubscriptions, StripeAccountsWithKeys, SubscriptionsThatDiffer};
use crate::data::stripe_effects::ApplyStripeSubscription;
use crate::error::StoreError;

/// The most repairs that a report names. All are made and logged.
const MOST_NAMED: usize = 1_000;
const PAGE: i64 = 500;

/// A subscription that was not as Stripe says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// Whose Stripe account.
    pub org_id: i64,
    /// `sub_…`.
    pub stripe_id: String,
    /// The status that was known.
    pub before: Option<String>,
    /// The status at Stripe.
    pub after: Option<String>,
}

/// What a comparison came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReconcileReport {
    /// Accounts that were compared.
    pub accounts: u64,
    /// Subscriptions that were compared.
    pub compared: u64,
    /// How many were repaired.
    pub repaired: u64,
    /// Which ones, up to a thousand.
    pub repairs: Vec<Repair>,
    /// What went wrong. What could be compared was.
    pub failures: Vec<String>,
}

impl ReconcileReport {
    pub(super) fn log(&self) {
        if self.accounts > 0 {
            log::info!(accounts = self.accounts, compared = self.compared, repaired = self.repaired,
                failures = self.failures.len(); "subscriptions compared with stripe");
        }
    }
}

impl Worker {
    pub(super) async fn reconcile(&self) -> ReconcileReport {
        let mut report = ReconcileReport::default();
        let mut accounts = vec![StripeAccount::of_platform()];
        match self.read(StripeAccountsWithKeys).await {
            Ok(found) => accounts.extend(found),
            Err(error) => report.failures.push(error.to_string()),
        }
        for account in accounts {
            if !self.port.can_ask(&account) {
                continue;
            }
            report.accounts += 1;
            if let Err(problem) = self.compare_account(&account, &mut report).await {
                log::warn!(org_id = account.org_id, reason = problem.as_str(); "comparison with stripe broken off");
                report.failures.push(format!("account of organization {}: {problem}", account.org_id));
            }
        }
        report
    }

    async fn compare_account(
        &self,
        account: &StripeAccount,
        report: &mut ReconcileReport,
    ) -> Result<(), String> {
        let text = |error: StoreError| error.to_string();
        let mut seen = HashSet::new();
        let mut after: Option<String> = None;
        while !self.stopping.get() {
            let page = self.port.subscriptions(account, after.as_deref()).await;
            let page = page.map_err(|failure| failure.to_string())?;
            report.compared += page.subscriptions.len() as u64;
            seen.extend(page.subscriptions.iter().map(|one| one.id.clone()));
            after = page.subscriptions.last().map(|one| one.id.clone());
            let question =
                SubscriptionsThatDiffer { org_id: account.org_id, subscriptions: page.subscriptions };
            for stripe_id in self.read(question).await.map_err(text)? {
                self.compare_one(account, stripe_id, report).await?;
            }
            if !page.has_more || after.is_none() {
                break;
            }
        }
        // What lives here and is not on Stripe's list.
        let mut after = 0;
        while !self.stopping.get() {
            let question = LiveStripeSubscriptions { org_id: account.org_id, after, limit: PAGE };
            let live = self.read(question).await.map_err(text)?;
            let Some((last, _)) = live.last() else { break };
            after = *last;
            for (_, stripe_id) in live {
                if !seen.contains(&stripe_id) {
                    report.compared += 1;
                    self.compare_one(account, stripe_id, report).await?;
                }
            }
        }
        Ok(())
    }

    async fn compare_one(
        &self,
        account: &StripeAccount,
        stripe_id: String,
        report: &mut ReconcileReport,
    ) -> Result<(), String> {
        let _alone = self.order.write().await;
        add(&self.figures.read_from_stripe, 1);
        let subscription = self.port.subscription(account, &stripe_id).await;
        let apply = ApplyStripeSubscription {
            org_id: account.org_id,
            stripe_id: stripe_id.clone(),
            subscription: subscription.map_err(|failure| failure.to_string())?,
            events: Vec::new(),
            rules: self.rules,
            now: self.now(),
        };
        let outcome = self.write(apply).await.map_err(|error| error.to_string())?;
        if outcome.differed {
            report.repaired += 1;
            add(&self.figures.repaired, 1);
            let (before, after) = (outcome.before.0, outcome.after.0);
            log::warn!(org_id = account.org_id, subscription = stripe_id.as_str(), before:? = before,
                after:? = after; "subscription was not as stripe says, repaired");
            if report.repairs.len() < MOST_NAMED {
                report.repairs.push(Repair { org_id: account.org_id, stripe_id, before, after });
            }
        }
        Ok(())
    }
}
