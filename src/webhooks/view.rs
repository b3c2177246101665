//! Bodies.

use gatehouse_actors::data::events::event_id;
use gatehouse_actors::data::webhook_deliveries::LoggedDelivery;
use gatehouse_actors::data::webhooks::Webhook;
use serde_json::{Value, json};

use crate::state::rfc3339;

/// A webhook. Its secrets are never part of it.
pub(super) fn webhook(webhook: &Webhook, org_public_id: &str) -> Value {
    let settings = &webhook.settings;
    json!({
        "id": webhook.public_id,
        "org_id": org_public_id,
        "url": settings.url,
        "description": settings.description,
        "event_types": settings.event_types,
        "enabled": settings.enabled,
        "disabled_reason": webhook.disabled_reason,
        "failing_since": webhook.failing_since.map(rfc3339),
        "previous_secret_expires_at": webhook.previous_secret_expires_at.map(rfc3339),
        "created_at": rfc3339(webhook.created_at),
        "updated_at": rfc3339(webhook.updated_at),
    })
}

/// A delivery. It goes by the id of its event; one whose event is purged has none any more.
pub(super) fn delivery(delivery: &LoggedDelivery, org_public_id: &str) -> Value {
    let event = delivery.event.as_ref();
    json!({
        "event_id": event.map(|(_, at)| event_id(org_public_id, delivery.sequence, *at)),
        "event_type": event.map(|(word, _)| word),
        "status": delivery.status,
        "attempts": delivery.attempts,
        "created_at": rfc3339(delivery.created_at),
        "last_attempt_at": delivery.last_attempt_at.map(rfc3339),
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "next_attempt_at": delivery.next_attempt_at.map(rfc3339),
    })
}
