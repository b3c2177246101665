//! Subscriptions in the feed of the organization whose service is subscribed to.

use serde_json::json;

use super::events::{self, EventType};
use crate::clock::Millis;
use crate::engine::WriteTx;
use crate::error::StoreError;
use crate::{statements, values};

statements! {
    SUBSCRIPTION_FOR_FEED = "SELECT s.org_id, b.public_id, u.public_id, s.client_id, p.public_id, b.status \
        FROM subscriptions b JOIN users u ON u.id = b.user_id \
        JOIN services s ON s.id = b.service_id JOIN plans p ON p.id = b.plan_id \
        WHERE b.user_id = $1 AND b.service_id = $2";
}

/// Statuses, in Stripe's words, that nothing comes after.
const OVER: [&str; 2] = ["canceled", "incomplete_expired"];

/// Records what became of a user's subscription. `before` is its status until now; none for a new one.
pub(super) fn record(
    tx: &mut WriteTx<'_>,
    (user_id, service_id): (i64, i64),
    before: Option<&str>,
    now: Millis,
) -> Result<(), StoreError> {
    let (org_id, status, data) = tx.one(SUBSCRIPTION_FOR_FEED, values![user_id, service_id], |row| {
        let status: String = row.get(5)?;
        let data = json!({
            "subscription_id": row.get::<String>(1)?,
            "user_id": row.get::<String>(2)?,
            "client_id": row.get::<String>(3)?,
            "plan_id": row.get::<String>(4)?,
            "status": status,
        });
        Ok((row.get::<i64>(0)?, status, data))
    })?;
    let is_over = |status: &str| OVER.contains(&status);
    let event_type = match before {
        None => EventType::SubscriptionCreated,
        Some(before) if is_over(&status) && !is_over(before) => EventType::SubscriptionEnded,
        Some(_) => EventType::SubscriptionUpdated,
    };
    events::record(tx, org_id, (event_type, &data), now)
}
