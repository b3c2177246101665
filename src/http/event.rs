//! An event of an organization as everybody sees it: in the feed and in webhooks.

use gatehouse_actors::data::events::Event;
use serde_json::{Value, json};

use crate::error::Error;
use crate::state::rfc3339;

/// The body of an event.
pub fn body(event: &Event, org_public_id: &str) -> Result<Value, Error> {
    let data: Value = serde_json::from_str(&event.data).map_err(Error::internal)?;
    Ok(json!({
        "id": event.id(org_public_id),
        "type": event.event_type,
        "timestamp": rfc3339(event.created_at),
        "organization_id": org_public_id,
        "sequence": event.sequence,
        "data": data,
    }))
}
