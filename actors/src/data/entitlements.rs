//! What a user of a service is entitled to at a moment: the plan of a subscription that grants, else the default plan.

use super::sessions::Subject;
use super::string_list;
use crate::clock::Millis;
use crate::engine::Row;
use crate::error::StoreError;

/// A plan as tokens show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanGrant {
    /// Name, unique in the service.
    pub name: String,
    /// What it grants.
    pub features: Vec<String>,
}

impl PlanGrant {
    pub(crate) fn from_columns(
        name: Option<String>,
        features: Option<String>,
    ) -> Result<Option<Self>, StoreError> {
        let (Some(name), Some(features)) = (name, features) else { return Ok(None) };
        Ok(Some(Self { name, features: string_list("plans", "features", &features)? }))
    }
}

/// A subscription of a user to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionGrant {
    /// Stripe's word.
    pub status: String,
    /// Until when it is paid.
    pub current_period_end: Option<Millis>,
    /// Until when it grants its plan, if nothing more is heard; none: it grants nothing.
    pub grants_until: Option<Millis>,
    /// Seats.
    pub quantity: i64,
    /// Grows with every change of the entitlement.
    pub version: i64,
    /// The plan that is paid for.
    pub plan: PlanGrant,
}

impl SubscriptionGrant {
    /// Reads seven columns from `first` on; none when the row has no subscription.
    pub(crate) fn from_columns(row: &Row<'_, '_>, first: usize) -> Result<Option<Self>, StoreError> {
        let status: Option<String> = row.get(first)?;
        let plan = PlanGrant::from_columns(row.get(first + 5)?, row.get(first + 6)?)?;
        let (Some(status), Some(plan)) = (status, plan) else { return Ok(None) };
        Ok(Some(Self {
            status,
            current_period_end: row.get(first + 1)?,
            grants_until: row.get(first + 2)?,
            quantity: row.get(first + 3)?,
            version: row.get(first + 4)?,
            plan,
        }))
    }
}

/// What a user is entitled to at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entitlement<'s> {
    /// The plan; none in the platform realm.
    pub plan: Option<&'s PlanGrant>,
    /// The subscription behind it; none when nothing was ever bought.
    pub subscription: Option<&'s SubscriptionGrant>,
    /// When it ends by itself unless something is heard from Stripe; none: it does not.
    pub expires_at: Option<Millis>,
}

impl<'s> Entitlement<'s> {
    /// The plan's name.
    #[must_use]
    pub fn plan_name(&self) -> Option<&'s str> {
        self.plan.map(|plan| plan.name.as_str())
    }

    /// The plan's features; empty in the platform realm.
    #[must_use]
    pub fn features(&self) -> &'s [String] {
        self.plan.map_or(&[], |plan| &plan.features)
    }

    /// The number that a token carries to show how old its entitlement is.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.subscription.map_or(0, |subscription| subscription.version)
    }
}

impl Subject {
    /// What the user is entitled to at `now`.
    #[must_use]
    pub fn entitlement(&self, now: Millis) -> Entitlement<'_> {
        let subscription = self.subscription.as_ref();
        let grants = subscription.filter(|found| found.grants_until.is_some_and(|until| now < until));
        Entitlement {
            plan: grants.map(|found| &found.plan).or(self.default_plan.as_ref()),
            subscription,
            expires_at: grants.and_then(|found| found.grants_until),
        }
    }
}
