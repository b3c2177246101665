//! Bodies of the audit log.

use gatehouse_actors::data::audit_log::AuditEntry;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::state::rfc3339;

/// An entry in both spellings: clients of either kind exist.
#[derive(Serialize)]
struct EntryBody {
    id: String,
    actor_user_id: Option<String>,
    user_id: Option<String>,
    user_email: Option<String>,
    action: String,
    target_type: String,
    target_id: String,
    resource_type: String,
    resource_id: String,
    metadata: Map<String, Value>,
    details: Map<String, Value>,
    ip_address: String,
    user_agent: String,
    org_id: String,
    created_at: String,
}

impl TryFrom<AuditEntry> for EntryBody {
    type Error = Error;

    fn try_from(entry: AuditEntry) -> Result<Self, Error> {
        let metadata: Map<String, Value> = serde_json::from_str(&entry.metadata).map_err(Error::internal)?;
        Ok(Self {
            id: entry.public_id,
            user_id: entry.actor_user_id.clone(),
            actor_user_id: entry.actor_user_id,
            user_email: entry.actor_email,
            action: entry.action,
            resource_type: entry.target_type.clone(),
            target_type: entry.target_type,
            resource_id: entry.target_id.clone(),
            target_id: entry.target_id,
            details: metadata.clone(),
            metadata,
            ip_address: entry.ip_address,
            user_agent: entry.user_agent,
            org_id: entry.org_public_id,
            created_at: rfc3339(entry.created_at),
        })
    }
}

#[derive(Serialize)]
pub(super) struct LogBody {
    logs: Vec<EntryBody>,
    total: i64,
}

pub(super) fn log((entries, total): (Vec<AuditEntry>, i64)) -> Result<LogBody, Error> {
    Ok(LogBody { logs: entries.into_iter().map(EntryBody::try_from).collect::<Result<_, _>>()?, total })
}
