//! Services as their organization manages them. What sign-in reads of them stands in [`super::services`].

use serde_json::{Map, Value as Json, json};

use super::client_registration::{AuthMethod, registration_columns};
use super::consents;
use super::plans::{self, Plan};
use super::provider_grants::{self, Whose};
use super::redirect_origins;
use super::service_settings::{RECORD_COLUMNS, select_record};
pub use super::service_settings::{ServiceChanges, ServiceRecord, ServiceReference, ServiceSettings};
use super::sessions;
use crate::data::audit::{AuditContext, Happened, append};
use crate::engine::{ReadTx, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

statements! {
    USAGE = "SELECT o.status, COALESCE(o.max_services, t.default_max_services), t.name, (SELECT COUNT(*) \
        FROM services s WHERE s.org_id = o.id AND s.deleted_at IS NULL) FROM organizations o \
        JOIN tiers t ON t.id = o.tier_id WHERE o.id = $1";
    LIST_SERVICES = concat!(select_record!(), ", (SELECT COUNT(*) FROM plans p WHERE p.service_id = s.id), \
        (SELECT COUNT(*) FROM subscriptions b WHERE b.service_id = s.id) FROM services s WHERE s.org_id = $1 \
        AND s.deleted_at IS NULL AND (CAST($2 AS TEXT) IS NULL OR s.service_type = $2) \
        ORDER BY s.id DESC LIMIT $3 OFFSET $4");
    INSERT_SERVICE = "INSERT INTO services (public_id, org_id, slug, client_id, name, service_type, redirect_uris, \
        post_logout_redirect_uris, github_scopes, google_scopes, microsoft_scopes, device_activation_uri, created_at, \
        updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13) RETURNING id";
    UPDATE_SERVICE = "UPDATE services SET name = $1, service_type = $2, redirect_uris = $3, \
        post_logout_redirect_uris = $4, github_scopes = $5, google_scopes = $6, microsoft_scopes = $7, \
        device_activation_uri = $8, updated_at = $9 WHERE id = $10";
    LIVE_SUBSCRIPTION_OF_SERVICE = "SELECT 1 FROM subscriptions WHERE service_id = $1 \
        AND status IN ('active', 'trialing', 'past_due') LIMIT 1";
    DELETE_SERVICE = "UPDATE services SET deleted_at = $1, updated_at = $1 WHERE id = $2";
    DELETE_SECRETS_OF_SERVICE = "DELETE FROM client_secrets WHERE service_id = $1";
}

/// How much of its tier an organization uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Live services.
    pub current_services: i64,
    /// How many there may be; none means unlimited.
    pub max_services: Option<i64>,
    /// The tier's name.
    pub tier: String,
}

/// The organization's status and usage, as they are now.
fn usage(tx: &mut ReadTx<'_>, org_id: i64) -> Result<(String, Usage), StoreError> {
    tx.one(USAGE, values![org_id], |row| {
        let usage = Usage { max_services: row.get(1)?, tier: row.get(2)?, current_services: row.get(3)? };
        Ok((row.get(0)?, usage))
    })
}

/// A service in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedService {
    /// The service.
    pub service: ServiceRecord,
    /// Its plans.
    pub plan_count: i64,
    /// Its subscriptions, whatever their status.
    pub subscription_count: i64,
}

/// Which services does this organization have? Newest first.
#[derive(Debug, Clone)]
pub struct ListServices {
    /// Row id of the organization.
    pub org_id: i64,
    /// Only those of this type.
    pub service_type: Option<String>,
    /// The most to return.
    pub limit: i64,
    /// How many to skip.
    pub offset: i64,
}

impl ReadOp for ListServices {
    type Output = (Vec<ListedService>, Usage);

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let values = values![self.org_id, &self.service_type, self.limit, self.offset];
        let services = tx.all(LIST_SERVICES, values, |row| {
            Ok(ListedService {
                service: ServiceRecord::from_row(row)?,
                plan_count: row.get(RECORD_COLUMNS)?,
                subscription_count: row.get(RECORD_COLUMNS + 1)?,
            })
        })?;
        Ok((services, usage(tx, self.org_id)?.1))
    }
}

/// The service and its plans.
#[derive(Debug, Clone)]
pub struct ServiceWithPlans {
    /// Which one.
    pub service: ServiceReference,
}

impl ReadOp for ServiceWithPlans {
    type Output = Option<(ServiceRecord, Vec<Plan>)>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let Some(service) = self.service.find(tx)? else { return Ok(None) };
        let plans = plans::of_service(tx, service.id)?;
        Ok(Some((service, plans)))
    }
}

/// Makes a service with its default plan, within the limit of the tier.
#[derive(Debug, Clone)]
pub struct CreateService {
    /// Row id of the organization.
    pub org_id: i64,
    /// UUID for the outside.
    pub public_id: String,
    /// UUID of the default plan.
    pub plan_public_id: String,
    /// Name in URLs.
    pub slug: String,
    /// Random: a service never inherits what was issued to another of the same name.
    pub client_id: String,
    /// The rest.
    pub settings: ServiceSettings,
    /// Who, from where, when.
    pub audit: AuditContext,
}

/// A service was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedService {
    /// The service.
    pub service: ServiceRecord,
    /// What its users are entitled to without a subscription.
    pub default_plan: Plan,
    /// The usage with it.
    pub usage: Usage,
}

/// Why no service was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateServiceRefusal {
    /// The tier allows no more than this many.
    LimitReached(i64),
    /// A live service of the organization has the slug.
    SlugTaken,
    /// The organization is not active; its status.
    OrganizationNotActive(String),
}

impl WriteOp for CreateService {
    type Output = CreatedService;
    type Refused = CreateServiceRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<CreatedService, OpError<CreateServiceRefusal>> {
        let refused = |reason| Err(OpError::Refused(reason));
        let (status, mut usage) = usage(tx, self.org_id)?;
        if status != "active" {
            return refused(CreateServiceRefusal::OrganizationNotActive(status));
        }
        // There is one writer: nobody makes another between this look and the insert.
        if let Some(max) = usage.max_services.filter(|max| usage.current_services >= *max) {
            return refused(CreateServiceRefusal::LimitReached(max));
        }
        let reference = ServiceReference { org_id: self.org_id, reference: self.slug.clone() };
        if reference.find(tx)?.is_some() {
            return refused(CreateServiceRefusal::SlugTaken);
        }
        let now = self.audit.now;
        let service_id = self.insert(tx)?;
        let default_plan = plans::insert_default(tx, service_id, &self.plan_public_id, now)?;
        let metadata =
            json!({ "slug": self.slug, "client_id": self.client_id, "after": self.settings.members() });
        note(tx, (self.org_id, &self.audit), ("service.created", &self.public_id), metadata)?;
        usage.current_services += 1;
        let service = ServiceRecord {
            id: service_id,
            public_id: self.public_id.clone(),
            slug: self.slug.clone(),
            client_id: self.client_id.clone(),
            created_at: now,
            has_client_secret: false,
            settings: self.settings.clone(),
        };
        Ok(CreatedService { service, default_plan, usage })
    }
}

impl CreateService {
    fn insert(&self, tx: &mut WriteTx<'_>) -> Result<i64, StoreError> {
        let settings = &self.settings;
        let [redirect_uris, post_logout_redirect_uris, github_scopes, google_scopes, microsoft_scopes] =
            settings.lists();
        let values = values![
            &self.public_id,
            self.org_id,
            &self.slug,
            &self.client_id,
            &settings.name,
            &settings.service_type,
            &redirect_uris,
            &post_logout_redirect_uris,
            &github_scopes,
            &google_scopes,
            &microsoft_scopes,
            &settings.device_activation_uri,
            self.audit.now,
        ];
        let service_id = tx.one(INSERT_SERVICE, values, |row| row.get(0))?;
        settings.registration.store(tx, service_id)?;
        redirect_origins::remember(tx, service_id, &settings.redirect_uris)?;
        Ok(service_id)
    }
}

/// There is no such service in the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownService;

/// Changes a service.
#[derive(Debug, Clone)]
pub struct UpdateService {
    /// Which one.
    pub service: ServiceReference,
    /// What to change.
    pub changes: ServiceChanges,
    /// Who, from where, when.
    pub audit: AuditContext,
}

/// Why a service was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateServiceRefusal {
    /// There is no such service in the organization.
    Unknown,
    /// It was to be a public client, and it has a secret.
    HasSecret,
    /// It was to authenticate with keys, and it registers none.
    NoKeys,
}

impl WriteOp for UpdateService {
    type Output = (ServiceRecord, Vec<Plan>);
    type Refused = UpdateServiceRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Self::Output, OpError<UpdateServiceRefusal>> {
        let Some(old) = self.service.find(tx)? else {
            return Err(OpError::Refused(UpdateServiceRefusal::Unknown));
        };
        let settings = self.changes.applied_to(&old.settings);
        let registration = &settings.registration;
        match registration.token_endpoint_auth_method {
            Some(AuthMethod::None) if old.has_client_secret => {
                return Err(OpError::Refused(UpdateServiceRefusal::HasSecret));
            }
            Some(AuthMethod::PrivateKeyJwt) if registration.jwks.is_none() => {
                return Err(OpError::Refused(UpdateServiceRefusal::NoKeys));
            }
            _ => {}
        }
        // No entry without a change.
        if settings != old.settings {
            self.store(tx, old.id, &settings)?;
            let metadata = difference(&old.settings.members(), &settings.members());
            let about = ("service.updated", old.public_id.as_str());
            note(tx, (self.service.org_id, &self.audit), about, metadata)?;
        }
        let plans = plans::of_service(tx, old.id)?;
        Ok((ServiceRecord { settings, ..old }, plans))
    }
}

impl UpdateService {
    fn store(&self, tx: &mut WriteTx<'_>, id: i64, settings: &ServiceSettings) -> Result<(), StoreError> {
        let [redirect_uris, post_logout_redirect_uris, github_scopes, google_scopes, microsoft_scopes] =
            settings.lists();
        let values = values![
            &settings.name,
            &settings.service_type,
            &redirect_uris,
            &post_logout_redirect_uris,
            &github_scopes,
            &google_scopes,
            &microsoft_scopes,
            &settings.device_activation_uri,
            self.audit.now,
            id,
        ];
        tx.execute(UPDATE_SERVICE, values)?;
        redirect_origins::remember(tx, id, &settings.redirect_uris)?;
        settings.registration.store(tx, id)
    }
}

/// `{"before": …, "after": …}` with the members that differ.
pub(super) fn difference(before: &Map<String, Json>, after: &Map<String, Json>) -> Json {
    let differing = |one: &Map<String, Json>, other: &Map<String, Json>| -> Map<String, Json> {
        let changed = one.iter().filter(|(name, value)| other.get(*name) != Some(*value));
        changed.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    json!({ "before": differing(before, after), "after": differing(after, before) })
}

/// Appends the entry about a service.
fn note(
    tx: &mut WriteTx<'_>,
    (org_id, audit): (i64, &AuditContext),
    (action, public_id): (&'static str, &str),
    metadata: Json,
) -> Result<(), StoreError> {
    append(tx, audit, &Happened { org_id, action, target: ("service", public_id), metadata })
}

/// Deletes a service: its sessions end, its codes and secrets are void, its history stays. The slug is free again.
#[derive(Debug, Clone)]
pub struct DeleteService {
    /// Which one.
    pub service: ServiceReference,
    /// Who, from where, when.
    pub audit: AuditContext,
}

/// Why a service was not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteServiceRefusal {
    /// There is no such service in the organization.
    Unknown,
    /// Somebody pays for it: a subscription is active, trialing or past due.
    HasSubscriptions,
}

impl WriteOp for DeleteService {
    type Output = ();
    type Refused = DeleteServiceRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<DeleteServiceRefusal>> {
        let Some(service) = self.service.find(tx)? else {
            return Err(OpError::Refused(DeleteServiceRefusal::Unknown));
        };
        if tx.optional(LIVE_SUBSCRIPTION_OF_SERVICE, values![service.id], |_| Ok(()))?.is_some() {
            return Err(OpError::Refused(DeleteServiceRefusal::HasSubscriptions));
        }
        let now = self.audit.now;
        // Authorization codes and device codes are found only together with a live service, so they end here too.
        tx.execute(DELETE_SERVICE, values![now, service.id])?;
        redirect_origins::forget(tx, service.id)?;
        let ended = sessions::end_all_of_service(tx, service.id, "service_deleted", now)?;
        tx.execute(DELETE_SECRETS_OF_SERVICE, values![service.id])?;
        consents::forget_service(tx, service.id)?;
        provider_grants::forget(tx, Whose::Service(service.id), now)?;
        let metadata = json!({
            "slug": service.slug,
            "client_id": service.client_id,
            "ended_sessions": ended,
            "before": service.settings.members(),
        });
        let about = ("service.deleted", service.public_id.as_str());
        Ok(note(tx, (self.service.org_id, &self.audit), about, metadata)?)
    }
}
