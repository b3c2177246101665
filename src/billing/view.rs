//! Bodies.

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::sessions::Subject;
use serde::Serialize;

use crate::state::rfc3339;

#[derive(Serialize)]
pub(super) struct Subscription {
    service: String,
    plan: String,
    features: Vec<String>,
    status: String,
    current_period_end: Option<String>,
    seats: Option<i64>,
    entitlements_exp: Option<String>,
    entitlements_version: i64,
}

/// What the user has: with nothing bought, the service's default plan, and that is as good as it gets.
pub(super) fn subscription(subject: &Subject, now: Millis) -> Subscription {
    let entitlement = subject.entitlement(now);
    let bought = entitlement.subscription;
    Subscription {
        service: subject.service_slug.clone(),
        plan: entitlement.plan_name().unwrap_or("free").to_owned(),
        features: entitlement.features().to_vec(),
        status: bought.map_or_else(|| "active".to_owned(), |bought| bought.status.clone()),
        current_period_end: bought.and_then(|bought| bought.current_period_end).map(rfc3339),
        seats: entitlement.expires_at.and(bought).map(|bought| bought.quantity),
        entitlements_exp: entitlement.expires_at.map(rfc3339),
        entitlements_version: entitlement.version(),
    }
}
