//! Webhooks: an organization's own receivers of its events.

use serde_json::{Value as Json, json};

use super::audit::{self, AuditContext, Happened};
use super::events::EventType;
use super::{json_list, string_list};
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

/// Webhooks that an organization may have.
pub const MAX_WEBHOOKS: i64 = 10;
/// How long a replaced secret signs beside its successor: 24 hours.
pub const WEBHOOK_SECRET_GRACE: Millis = 24 * 60 * 60 * 1000;

/// The columns of [`Webhook`].
macro_rules! select_webhook {
    () => {
        "SELECT w.id, w.public_id, w.org_id, w.url, w.description, w.event_types, w.enabled, w.disabled_reason, \
         w.previous_secret_expires_at, w.created_at, w.updated_at, t.failing_since FROM webhooks w \
         LEFT JOIN outbox_targets t ON t.kind = 'webhook' AND t.target_id = w.id"
    };
}

statements! {
    WEBHOOKS_WANTING = "SELECT id, event_types FROM webhooks WHERE org_id = $1 AND deleted_at IS NULL AND enabled";
    WEBHOOKS = concat!(select_webhook!(), " WHERE w.org_id = $1 AND w.deleted_at IS NULL ORDER BY w.id");
    WEBHOOK_BY_PUBLIC_ID =
        concat!(select_webhook!(), " WHERE w.public_id = $1 AND w.org_id = $2 AND w.deleted_at IS NULL");
    COUNT_WEBHOOKS = "SELECT COUNT(*) FROM webhooks WHERE org_id = $1 AND deleted_at IS NULL";
    INSERT_WEBHOOK = "INSERT INTO webhooks (public_id, org_id, url, description, event_types, enabled, secret_sealed, \
        created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)";
    UPDATE_WEBHOOK = "UPDATE webhooks SET url = $1, description = $2, event_types = $3, enabled = $4, \
        disabled_reason = $5, updated_at = $6 WHERE id = $7";
    ROTATE_WEBHOOK_SECRET = "UPDATE webhooks SET previous_secret_sealed = secret_sealed, \
        previous_secret_expires_at = $1, secret_sealed = $2, updated_at = $3 WHERE id = $4";
    DELETE_WEBHOOK = "UPDATE webhooks SET url = '', description = '', secret_sealed = NULL, \
        previous_secret_sealed = NULL, enabled = FALSE, updated_at = $1, deleted_at = $1 WHERE id = $2";
    FORGET_FAILURES = "UPDATE outbox_targets SET failures = 0, failing_since = NULL \
        WHERE kind = 'webhook' AND target_id = $1 AND leased_until IS NULL";
}

/// A webhook, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Row id.
    pub id: i64,
    /// UUID for the outside.
    pub public_id: String,
    /// Row id of the organization.
    pub org_id: i64,
    /// What administrators can choose.
    pub settings: WebhookSettings,
    /// Why it was switched off, if nobody switched it off.
    pub disabled_reason: Option<String>,
    /// Until when the secret before this one signs as well.
    pub previous_secret_expires_at: Option<Millis>,
    /// When it was made.
    pub created_at: Millis,
    /// When it was last changed.
    pub updated_at: Millis,
    /// Since when its receiver fails, if it does.
    pub failing_since: Option<Millis>,
}

/// What administrators can choose about a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Where events go.
    pub url: String,
    /// For people.
    pub description: String,
    /// Words of the types that are sent; none means all.
    pub event_types: Option<Vec<String>>,
    /// Whether events are sent.
    pub enabled: bool,
}

impl WebhookSettings {
    fn members(&self) -> Json {
        json!({
            "url": self.url,
            "description": self.description,
            "event_types": self.event_types,
            "enabled": self.enabled,
        })
    }

    fn event_types(&self) -> Option<String> {
        self.event_types.as_deref().map(json_list)
    }
}

fn types_from(json: Option<String>) -> Result<Option<Vec<String>>, StoreError> {
    json.map(|json| string_list("webhooks", "event_types", &json)).transpose()
}

impl Webhook {
    pub(super) fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            public_id: row.get(1)?,
            org_id: row.get(2)?,
            settings: WebhookSettings {
                url: row.get(3)?,
                description: row.get(4)?,
                event_types: types_from(row.get(5)?)?,
                enabled: row.get(6)?,
            },
            disabled_reason: row.get(7)?,
            previous_secret_expires_at: row.get(8)?,
            created_at: row.get(9)?,
            updated_at: row.get(10)?,
            failing_since: row.get(11)?,
        })
    }
}

/// The webhooks of an organization that an event of this type goes to.
pub(super) fn wanting(
    tx: &mut WriteTx<'_>,
    org_id: i64,
    event_type: EventType,
) -> Result<Vec<i64>, StoreError> {
    let webhooks =
        tx.all(WEBHOOKS_WANTING, values![org_id], |row| Ok((row.get::<i64>(0)?, types_from(row.get(1)?)?)))?;
    let wants = |types: Option<Vec<String>>| {
        types.is_none_or(|types| types.iter().any(|one| one == event_type.as_str()))
    };
    Ok(webhooks.into_iter().filter_map(|(id, types)| wants(types).then_some(id)).collect())
}

/// All webhooks of an organization, oldest first: they are few.
#[derive(Debug, Clone, Copy)]
pub struct Webhooks {
    /// Row id of the organization.
    pub org_id: i64,
}

impl ReadOp for Webhooks {
    type Output = Vec<Webhook>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.all(WEBHOOKS, values![self.org_id], Webhook::from_row)
    }
}

/// A webhook of an organization.
#[derive(Debug, Clone)]
pub struct WebhookReference {
    /// Row id of the organization.
    pub org_id: i64,
    /// UUID of the webhook.
    pub public_id: String,
}

impl WebhookReference {
    pub(super) fn find(&self, tx: &mut ReadTx<'_>) -> Result<Option<Webhook>, StoreError> {
        tx.optional(WEBHOOK_BY_PUBLIC_ID, values![&self.public_id, self.org_id], Webhook::from_row)
    }

    pub(super) fn require(&self, tx: &mut ReadTx<'_>) -> Result<Webhook, OpError<UnknownWebhook>> {
        self.find(tx)?.ok_or(OpError::Refused(UnknownWebhook))
    }
}

impl ReadOp for WebhookReference {
    type Output = Option<Webhook>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        self.find(tx)
    }
}

/// The organization has no such webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownWebhook;

/// Appends the entry about a webhook.
pub(super) fn note(
    tx: &mut WriteTx<'_>,
    context: &AuditContext,
    webhook: (i64, &str),
    (action, metadata): (&'static str, Json),
) -> Result<(), StoreError> {
    let (org_id, public_id) = webhook;
    audit::append(tx, context, &Happened { org_id, action, target: ("webhook", public_id), metadata })
}

/// Makes a webhook.
#[derive(Debug, Clone)]
pub struct CreateWebhook {
    /// Row id of the organization.
    pub org_id: i64,
    /// UUID for the outside.
    pub public_id: String,
    /// What is chosen.
    pub settings: WebhookSettings,
    /// The secret that signs, sealed.
    pub secret_sealed: Vec<u8>,
    /// Who, from where, when.
    pub audit: AuditContext,
}

/// The organization has as many webhooks as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyWebhooks;

impl WriteOp for CreateWebhook {
    type Output = Webhook;
    type Refused = TooManyWebhooks;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Webhook, OpError<TooManyWebhooks>> {
        let count = tx.one(COUNT_WEBHOOKS, values![self.org_id], |row| row.get::<i64>(0))?;
        if count >= MAX_WEBHOOKS {
            return Err(OpError::Refused(TooManyWebhooks));
        }
        let WebhookSettings { url, description, enabled, .. } = &self.settings;
        let event_types = self.settings.event_types();
        let values = values![
            &self.public_id,
            self.org_id,
            url,
            description,
            &event_types,
            *enabled,
            self.secret_sealed.as_slice(),
            self.audit.now,
        ];
        tx.execute(INSERT_WEBHOOK, values)?;
        let metadata = json!({ "after": self.settings.members() });
        note(tx, &self.audit, (self.org_id, &self.public_id), ("webhook.created", metadata))?;
        let reference = WebhookReference { org_id: self.org_id, public_id: self.public_id.clone() };
        let made = reference.find(tx)?;
        Ok(made.ok_or_else(|| StoreError::Failed("a webhook that was just made is gone".to_owned()))?)
    }
}

/// What is to be changed about a webhook; none stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookChanges {
    /// Where events go.
    pub url: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Words of the types that are sent; none inside means all.
    pub event_types: Option<Option<Vec<String>>>,
    /// Whether events are sent.
    pub enabled: Option<bool>,
}

impl WebhookChanges {
    fn applied_to(&self, old: &WebhookSettings) -> WebhookSettings {
        WebhookSettings {
            url: self.url.clone().unwrap_or_else(|| old.url.clone()),
            description: self.description.clone().unwrap_or_else(|| old.description.clone()),
            event_types: self.event_types.clone().unwrap_or_else(|| old.event_types.clone()),
            enabled: self.enabled.unwrap_or(old.enabled),
        }
    }
}

/// Changes a webhook. Switching it on forgives what failed before.
#[derive(Debug, Clone)]
pub struct UpdateWebhook {
    /// Which one.
    pub webhook: WebhookReference,
    /// What to change.
    pub changes: WebhookChanges,
    /// Who, from where, when.
    pub audit: AuditContext,
}

impl WriteOp for UpdateWebhook {
    type Output = Webhook;
    type Refused = UnknownWebhook;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Webhook, OpError<UnknownWebhook>> {
        let old = self.webhook.require(tx)?;
        let settings = self.changes.applied_to(&old.settings);
        if settings == old.settings {
            return Ok(old);
        }
        let reason = if settings.enabled { None } else { old.disabled_reason.as_deref() };
        let event_types = settings.event_types();
        let values = values![
            &settings.url,
            &settings.description,
            &event_types,
            settings.enabled,
            reason,
            self.audit.now,
            old.id,
        ];
        tx.execute(UPDATE_WEBHOOK, values)?;
        if settings.enabled {
            tx.execute(FORGET_FAILURES, values![old.id])?;
        }
        let metadata = json!({ "before": old.settings.members(), "after": settings.members() });
        note(tx, &self.audit, (old.org_id, &old.public_id), ("webhook.updated", metadata))?;
        self.webhook.require(tx)
    }
}

/// Gives a webhook a new secret. The one before signs as well for a while, so that nobody misses anything meanwhile;
/// one that was replaced earlier still is void.
#[derive(Debug, Clone)]
pub struct RotateWebhookSecret {
    /// Which one.
    pub webhook: WebhookReference,
    /// The new secret, sealed.
    pub secret_sealed: Vec<u8>,
    /// Who, from where, when.
    pub audit: AuditContext,
}

impl WriteOp for RotateWebhookSecret {
    /// Until when the one before signs.
    type Output = Millis;
    type Refused = UnknownWebhook;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Millis, OpError<UnknownWebhook>> {
        let webhook = self.webhook.require(tx)?;
        let until = self.audit.now + WEBHOOK_SECRET_GRACE;
        let values = values![until, self.secret_sealed.as_slice(), self.audit.now, webhook.id];
        tx.execute(ROTATE_WEBHOOK_SECRET, values)?;
        let about = (webhook.org_id, webhook.public_id.as_str());
        note(tx, &self.audit, about, ("webhook.secret_rotated", json!({})))?;
        Ok(until)
    }
}

/// Deletes a webhook: nothing is sent to it any more, and its secrets are gone.
#[derive(Debug, Clone)]
pub struct DeleteWebhook {
    /// Which one.
    pub webhook: WebhookReference,
    /// Who, from where, when.
    pub audit: AuditContext,
}

impl WriteOp for DeleteWebhook {
    type Output = ();
    type Refused = UnknownWebhook;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<UnknownWebhook>> {
        let webhook = self.webhook.require(tx)?;
        tx.execute(DELETE_WEBHOOK, values![self.audit.now, webhook.id])?;
        let metadata = json!({ "before": webhook.settings.members() });
        note(tx, &self.audit, (webhook.org_id, &webhook.public_id), ("webhook.deleted", metadata))?;
        Ok(())
    }
}
