//! What was sent to a webhook, and what is sent on request: a test, and the same once more.

use serde_json::json;

use super::audit::AuditContext;
use super::events::{self, Event, EventBySequence, EventType};
use super::outbox::{self, Kind};
use super::webhooks::{UnknownWebhook, WebhookReference, note};
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

/// A webhook whose receiver fails for so long is switched off: 3 days.
pub const DISABLE_AFTER: Millis = 3 * 24 * 60 * 60 * 1000;
/// What its `disabled_reason` says then.
pub const FAILED_FOR_LONG: &str = "its receiver failed for three days";

statements! {
    DELIVERIES_OF_WEBHOOK = "SELECT d.subject_id, e.type, e.created_at, d.status, d.attempts, d.created_at, \
        d.last_attempt_at, d.last_status, d.last_error, d.next_attempt_at FROM outbox d \
        LEFT JOIN events e ON e.org_id = d.org_id AND e.sequence = d.subject_id \
        WHERE d.kind = 'webhook' AND d.target_id = $1 AND d.subject_id < $2 ORDER BY d.subject_id DESC LIMIT $3";
    DELIVERY_OF_EVENT = "SELECT id, status FROM outbox WHERE kind = 'webhook' AND target_id = $1 AND subject_id = $2";
    REPLAY_DELIVERY = "UPDATE outbox SET status = 'pending', attempts = 0, next_attempt_at = $1, expires_at = $2, \
        finished_at = NULL WHERE id = $3";
    WEBHOOK_FOR_DELIVERY = "SELECT w.public_id, w.url, w.secret_sealed, w.previous_secret_sealed, \
        w.previous_secret_expires_at, o.public_id FROM webhooks w JOIN organizations o ON o.id = w.org_id \
        WHERE w.id = $1 AND w.deleted_at IS NULL AND w.enabled";
    DISABLE_WEBHOOK = "UPDATE webhooks SET enabled = FALSE, disabled_reason = $1, updated_at = $2 \
        WHERE id = $3 AND deleted_at IS NULL AND enabled RETURNING org_id, public_id";
}

/// A delivery as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedDelivery {
    /// Number of the event.
    pub sequence: i64,
    /// Type and time of the event; none once it is purged.
    pub event: Option<(String, Millis)>,
    /// `pending`, `delivered` or `dead`.
    pub status: String,
    /// Attempts made since it was put into the outbox or replayed.
    pub attempts: i64,
    /// When it was put into the outbox.
    pub created_at: Millis,
    /// When it was last tried.
    pub last_attempt_at: Option<Millis>,
    /// The receiver's last answer.
    pub last_status: Option<i64>,
    /// What went wrong, in our words.
    pub last_error: Option<String>,
    /// When it is tried next, while it is pending.
    pub next_attempt_at: Option<Millis>,
}

impl LoggedDelivery {
    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        let event_type: Option<String> = row.get(1)?;
        let event_at: Option<Millis> = row.get(2)?;
        let status: String = row.get(3)?;
        let next_attempt_at = (status == "pending").then(|| row.get::<Millis>(9)).transpose()?;
        Ok(Self {
            sequence: row.get(0)?,
            event: event_type.zip(event_at),
            attempts: row.get(4)?,
            created_at: row.get(5)?,
            last_attempt_at: row.get(6)?,
            last_status: row.get(7)?,
            last_error: row.get(8)?,
            next_attempt_at,
            status,
        })
    }
}

/// What was sent to a webhook, newest event first.
#[derive(Debug, Clone)]
pub struct WebhookDeliveries {
    /// Which one.
    pub webhook: WebhookReference,
    /// Only of events before this one.
    pub before: Option<i64>,
    /// The most to return.
    pub limit: i64,
}

impl ReadOp for WebhookDeliveries {
    /// None when there is no such webhook.
    type Output = Option<Vec<LoggedDelivery>>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let Some(webhook) = self.webhook.find(tx)? else { return Ok(None) };
        let before = self.before.unwrap_or(i64::MAX);
        let values = values![webhook.id, before, self.limit];
        tx.all(DELIVERIES_OF_WEBHOOK, values, LoggedDelivery::from_row).map(Some)
    }
}

/// Why nothing is sent on request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendRefusal {
    /// The organization has no such webhook.
    UnknownWebhook,
    /// Nothing was sent to it about such an event, or it is no longer known.
    UnknownDelivery,
    /// It is switched off.
    Disabled,
    /// It is on its way already.
    Pending,
}

fn enabled(reference: &WebhookReference, tx: &mut WriteTx<'_>) -> Result<i64, OpError<SendRefusal>> {
    let webhook = reference.require(tx).map_err(|error| match error {
        OpError::Refused(UnknownWebhook) => OpError::Refused(SendRefusal::UnknownWebhook),
        OpError::Store(error) => OpError::Store(error),
    })?;
    if webhook.settings.enabled { Ok(webhook.id) } else { Err(OpError::Refused(SendRefusal::Disabled)) }
}

/// Sends a test to one webhook, of whatever types it wants to hear.
#[derive(Debug, Clone)]
pub struct PingWebhook {
    /// Which one.
    pub webhook: WebhookReference,
    /// Who, from where, when.
    pub audit: AuditContext,
}

impl WriteOp for PingWebhook {
    /// The event.
    type Output = Event;
    type Refused = SendRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Event, OpError<SendRefusal>> {
        let webhook_id = enabled(&self.webhook, tx)?;
        let WebhookReference { org_id, public_id } = &self.webhook;
        let data = json!({ "webhook_id": public_id });
        let ping = (EventType::WebhookPing, &data);
        let sequence = events::record_for(tx, *org_id, webhook_id, ping, self.audit.now)?;
        note(tx, &self.audit, (*org_id, public_id), ("webhook.pinged", json!({})))?;
        let event = EventBySequence { org_id: *org_id, sequence }.run(tx)?;
        Ok(event.ok_or_else(|| StoreError::Failed("an event that was just made is gone".to_owned()))?)
    }
}

/// Sends an event to a webhook once more, under the same id.
#[derive(Debug, Clone)]
pub struct ReplayDelivery {
    /// Which webhook.
    pub webhook: WebhookReference,
    /// The number of the event.
    pub sequence: i64,
    /// Who, from where, when.
    pub audit: AuditContext,
}

impl WriteOp for ReplayDelivery {
    type Output = ();
    type Refused = SendRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<SendRefusal>> {
        let refused = |refusal| Err(OpError::Refused(refusal));
        let webhook_id = enabled(&self.webhook, tx)?;
        let WebhookReference { org_id, public_id } = &self.webhook;
        let event = EventBySequence { org_id: *org_id, sequence: self.sequence }.run(tx)?;
        let values = values![webhook_id, self.sequence];
        let delivery =
            tx.optional(DELIVERY_OF_EVENT, values, |row| Ok((row.get::<i64>(0)?, row.get::<String>(1)?)))?;
        let (Some(event), Some((id, status))) = (event, delivery) else {
            return refused(SendRefusal::UnknownDelivery);
        };
        if status == "pending" {
            return refused(SendRefusal::Pending);
        }
        let now = self.audit.now;
        tx.execute(REPLAY_DELIVERY, values![now, now + Kind::Webhook.policy().lifetime, id])?;
        outbox::wake(tx, Kind::Webhook, webhook_id, now)?;
        let metadata = json!({ "event_type": event.event_type, "sequence": event.sequence });
        note(tx, &self.audit, (*org_id, public_id), ("webhook.delivery_replayed", metadata))?;
        Ok(())
    }
}

/// What a delivery needs to be sent.
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    /// UUID of the webhook, part of what its secrets are sealed for.
    pub public_id: String,
    /// Where it goes.
    pub url: String,
    /// The secrets that sign at this moment, sealed, the newest first.
    pub secrets_sealed: Vec<Vec<u8>>,
    /// UUID of the organization.
    pub org_public_id: String,
    /// The event.
    pub event: Event,
}

/// What does this delivery need to be sent?
#[derive(Debug, Clone, Copy)]
pub struct WebhookForDelivery {
    /// Row id of the webhook.
    pub webhook_id: i64,
    /// Row id of the organization.
    pub org_id: i64,
    /// The number of the event.
    pub sequence: i64,
    /// The present moment.
    pub now: Millis,
}

impl ReadOp for WebhookForDelivery {
    /// None when the webhook is deleted or switched off, or the event is purged.
    type Output = Option<WebhookTarget>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let event = EventBySequence { org_id: self.org_id, sequence: self.sequence }.run(tx)?;
        let Some(event) = event else { return Ok(None) };
        tx.optional(WEBHOOK_FOR_DELIVERY, values![self.webhook_id], |row| {
            let until: Option<Millis> = row.get(4)?;
            let previous: Option<Vec<u8>> = row.get(3)?;
            let previous = previous.filter(|_| until.is_some_and(|until| until > self.now));
            let newest: Option<Vec<u8>> = row.get(2)?;
            Ok(WebhookTarget {
                public_id: row.get(0)?,
                url: row.get(1)?,
                secrets_sealed: newest.into_iter().chain(previous).collect(),
                org_public_id: row.get(5)?,
                event,
            })
        })
    }
}

/// Switches a webhook off on the service's own account, and tells the organization.
pub(super) fn disable(
    tx: &mut WriteTx<'_>,
    webhook_id: i64,
    (reason, entry_public_id): (&str, &str),
    now: Millis,
) -> Result<(), StoreError> {
    let disabled = tx.optional(DISABLE_WEBHOOK, values![reason, now, webhook_id], |row| {
        Ok((row.get::<i64>(0)?, row.get::<String>(1)?))
    })?;
    let Some((org_id, public_id)) = disabled else { return Ok(()) };
    let context = AuditContext {
        entry_public_id: entry_public_id.to_owned(),
        actor_user_id: None,
        ip_address: String::new(),
        user_agent: String::new(),
        now,
    };
    note(tx, &context, (org_id, &public_id), ("webhook.disabled", json!({ "reason": reason })))?;
    let data = json!({ "webhook_id": public_id, "reason": reason });
    events::record(tx, org_id, (EventType::WebhookDisabled, &data), now)
}
