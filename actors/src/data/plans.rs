//! Plans: what the users of a service are entitled to. Every service has exactly one default plan, always.

use serde_json::{Map, Value as Json, json};

use super::audit::{AuditContext, Happened, append};
use super::service_admin::{ServiceReference, difference};
use super::{json_list, string_list};
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::money;
use crate::{statements, values};

/// The most plans of one service, so that its list needs no paging.
const MAX_PLANS: usize = 100;

/// The columns of [`Plan`], for every statement that reads one.
macro_rules! select_plan {
    () => {
        "SELECT p.id, p.public_id, s.public_id, p.is_default, p.created_at, (SELECT COUNT(*) FROM subscriptions b \
         WHERE b.plan_id = p.id), p.name, p.description, p.price_cents, p.currency, p.features, p.stripe_price_id \
         FROM plans p JOIN services s ON s.id = p.service_id"
    };
}

statements! {
    PLANS_OF_SERVICE = concat!(select_plan!(), " WHERE p.service_id = $1 ORDER BY p.id");
    PLAN_BY_ID = concat!(select_plan!(), " WHERE p.id = $1");
    INSERT_FREE_PLAN = "INSERT INTO plans (public_id, service_id, name, is_default, created_at) \
        VALUES ($1, $2, 'free', TRUE, $3) RETURNING id";
    INSERT_PLAN = "INSERT INTO plans (public_id, service_id, name, description, price_cents, currency, features, \
        stripe_price_id, is_default, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id";
    UPDATE_PLAN = "UPDATE plans SET name = $1, description = $2, price_cents = $3, currency = $4, features = $5, \
        stripe_price_id = $6, is_default = $7 WHERE id = $8";
    CLEAR_DEFAULT_PLAN = "UPDATE plans SET is_default = FALSE WHERE service_id = $1 AND is_default";
    DELETE_PLAN = "DELETE FROM plans WHERE id = $1";
}

/// What a plan offers, and for how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanTerms {
    /// Unique in the service.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// The price of a month in minor units.
    pub price_cents: i64,
    /// ISO 4217, upper case.
    pub currency: String,
    /// What goes into tokens.
    pub features: Vec<String>,
    /// Ties it to a price at Stripe.
    pub stripe_price_id: Option<String>,
}

impl PlanTerms {
    fn members(&self, is_default: bool) -> Map<String, Json> {
        let members = json!({
            "name": self.name,
            "description": self.description,
            "price_cents": self.price_cents,
            "currency": self.currency,
            "features": self.features,
            "stripe_price_id": self.stripe_price_id,
            "is_default": is_default,
        });
        if let Json::Object(members) = members { members } else { Map::new() }
    }
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Row id.
    pub id: i64,
    /// UUID for the outside.
    pub public_id: String,
    /// Public id of its service.
    pub service_public_id: String,
    /// Whether users without a subscription have it.
    pub is_default: bool,
    /// When it was made.
    pub created_at: Millis,
    /// Subscriptions to it, whatever their status.
    pub subscription_count: i64,
    /// What it offers.
    pub terms: PlanTerms,
}

impl Plan {
    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            public_id: row.get(1)?,
            service_public_id: row.get(2)?,
            is_default: row.get(3)?,
            created_at: row.get(4)?,
            subscription_count: row.get(5)?,
            terms: PlanTerms {
                name: row.get(6)?,
                description: row.get(7)?,
                price_cents: row.get(8)?,
                currency: row.get(9)?,
                features: string_list("plans", "features", &row.get::<String>(10)?)?,
                stripe_price_id: row.get(11)?,
            },
        })
    }
}

pub(crate) fn of_service(tx: &mut ReadTx<'_>, service_id: i64) -> Result<Vec<Plan>, StoreError> {
    tx.all(PLANS_OF_SERVICE, values![service_id], Plan::from_row)
}

/// The plan that every service starts with.
pub(crate) fn insert_default(
    tx: &mut WriteTx<'_>,
    service_id: i64,
    public_id: &str,
    now: Millis,
) -> Result<Plan, StoreError> {
    let id = tx.one(INSERT_FREE_PLAN, values![public_id, service_id, now], |row| row.get::<i64>(0))?;
    tx.one(PLAN_BY_ID, values![id], Plan::from_row)
}

/// The plans of a service, oldest first; none when there is no such service.
#[derive(Debug, Clone)]
pub struct PlansOfService {
    /// Which service.
    pub service: ServiceReference,
}

impl ReadOp for PlansOfService {
    type Output = Option<Vec<Plan>>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let Some(service) = self.service.find(tx)? else { return Ok(None) };
        of_service(tx, service.id).map(Some)
    }
}

/// A price as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Price {
    /// In minor units.
    Minor(i64),
    /// A decimal number of the currency: `19.99`.
    Decimal(String),
}

/// What to change about a plan, or what a new one is to be. `None` leaves a member as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanChanges {
    /// Unique in the service.
    pub name: Option<String>,
    /// `Some(None)` clears it.
    pub description: Option<Option<String>>,
    /// In the currency sent along, or the plan's own.
    pub price: Option<Price>,
    /// ISO 4217, upper case.
    pub currency: Option<String>,
    /// What goes into tokens.
    pub features: Option<Vec<String>>,
    /// `Some(None)` clears it.
    pub stripe_price_id: Option<Option<String>>,
    /// True makes it the default; the one before is none any more.
    pub is_default: Option<bool>,
}

impl PlanChanges {
    fn applied_to(&self, old: &PlanTerms) -> Result<PlanTerms, PlanRefusal> {
        let currency = self.currency.as_ref().unwrap_or(&old.currency).clone();
        let price_cents = match &self.price {
            None => old.price_cents,
            Some(Price::Minor(amount)) => *amount,
            Some(Price::Decimal(text)) => {
                money::to_minor_units(text, &currency).ok_or(PlanRefusal::PriceNotExact)?
            }
        };
        Ok(PlanTerms {
            name: self.name.as_ref().unwrap_or(&old.name).clone(),
            description: self.description.as_ref().unwrap_or(&old.description).clone(),
            price_cents,
            currency,
            features: self.features.as_ref().unwrap_or(&old.features).clone(),
            stripe_price_id: self.stripe_price_id.as_ref().unwrap_or(&old.stripe_price_id).clone(),
        })
    }
}

/// Why a plan was not made, changed or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanRefusal {
    /// There is no such service in the organization.
    UnknownService,
    /// There is no such plan in the service.
    UnknownPlan,
    /// Another plan of the service has the name.
    NameTaken,
    /// The service has as many plans as it may have.
    TooMany,
    /// The currency has not so many decimals, or the price is out of range.
    PriceNotExact,
    /// The default plan must stay the default until another one is.
    DefaultNeeded,
    /// Somebody is subscribed to it.
    HasSubscriptions,
}

/// The plans of the service, for a check in the transaction of the change.
fn plans_of(
    tx: &mut WriteTx<'_>,
    service: &ServiceReference,
) -> Result<(i64, Vec<Plan>), OpError<PlanRefusal>> {
    let Some(service) = service.find(tx)? else { return Err(OpError::Refused(PlanRefusal::UnknownService)) };
    Ok((service.id, of_service(tx, service.id)?))
}

/// Adds a plan to a service.
#[derive(Debug, Clone)]
pub struct CreatePlan {
    /// Which service.
    pub service: ServiceReference,
    /// UUID for the outside.
    pub public_id: String,
    /// What it is to be. It has a name.
    pub plan: PlanChanges,
    /// Who, from where, when.
    pub audit: AuditContext,
}

impl WriteOp for CreatePlan {
    type Output = Plan;
    type Refused = PlanRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Plan, OpError<PlanRefusal>> {
        let nothing = PlanTerms {
            name: String::new(),
            description: None,
            price_cents: 0,
            currency: "USD".to_owned(),
            features: Vec::new(),
            stripe_price_id: None,
        };
        let (service_id, plans) = plans_of(tx, &self.service)?;
        let terms = self.plan.applied_to(&nothing).map_err(OpError::Refused)?;
        if plans.iter().any(|plan| plan.terms.name == terms.name) {
            return Err(OpError::Refused(PlanRefusal::NameTaken));
        }
        if plans.len() >= MAX_PLANS {
            return Err(OpError::Refused(PlanRefusal::TooMany));
        }
        let is_default = self.plan.is_default == Some(true);
        if is_default {
            tx.execute(CLEAR_DEFAULT_PLAN, values![service_id])?;
        }
        let features = json_list(&terms.features);
        let values = values![
            &self.public_id,
            service_id,
            &terms.name,
            &terms.description,
            terms.price_cents,
            &terms.currency,
            &features,
            &terms.stripe_price_id,
            is_default,
            self.audit.now,
        ];
        let id = tx.one(INSERT_PLAN, values, |row| row.get::<i64>(0))?;
        let plan = tx.one(PLAN_BY_ID, values![id], Plan::from_row)?;
        let metadata =
            json!({ "service_id": plan.service_public_id, "after": plan.terms.members(is_default) });
        note(tx, (self.service.org_id, &self.audit), ("plan.created", &self.public_id), metadata)?;
        Ok(plan)
    }
}

/// Changes a plan.
#[derive(Debug, Clone)]
pub struct UpdatePlan {
    /// Which service.
    pub service: ServiceReference,
    /// Public id of the plan.
    pub plan_public_id: String,
    /// What to change.
    pub changes: PlanChanges,
    /// Who, from where, when.
    pub audit: AuditContext,
}

impl WriteOp for UpdatePlan {
    type Output = Plan;
    type Refused = PlanRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Plan, OpError<PlanRefusal>> {
        let (service_id, plans) = plans_of(tx, &self.service)?;
        let Some(old) = plans.iter().find(|plan| plan.public_id == self.plan_public_id) else {
            return Err(OpError::Refused(PlanRefusal::UnknownPlan));
        };
        let terms = self.changes.applied_to(&old.terms).map_err(OpError::Refused)?;
        if plans.iter().any(|plan| plan.id != old.id && plan.terms.name == terms.name) {
            return Err(OpError::Refused(PlanRefusal::NameTaken));
        }
        let is_default = self.changes.is_default.unwrap_or(old.is_default);
        if old.is_default && !is_default {
            return Err(OpError::Refused(PlanRefusal::DefaultNeeded));
        }
        let before = old.terms.members(old.is_default);
        let after = terms.members(is_default);
        if before != after {
            if is_default && !old.is_default {
                tx.execute(CLEAR_DEFAULT_PLAN, values![service_id])?;
            }
            let features = json_list(&terms.features);
            let values = values![
                &terms.name,
                &terms.description,
                terms.price_cents,
                &terms.currency,
                &features,
                &terms.stripe_price_id,
                is_default,
                old.id,
            ];
            tx.execute(UPDATE_PLAN, values)?;
            let mut metadata = difference(&before, &after);
            if let Some(members) = metadata.as_object_mut() {
                members.insert("service_id".to_owned(), json!(old.service_public_id));
            }
            note(tx, (self.service.org_id, &self.audit), ("plan.updated", &old.public_id), metadata)?;
        }
        Ok(Plan { is_default, terms, ..old.clone() })
    }
}

/// Deletes a plan that nobody has.
#[derive(Debug, Clone)]
pub struct DeletePlan {
    /// Which service.
    pub service: ServiceReference,
    /// Public id of the plan.
    pub plan_public_id: String,
    /// Who, from where, when.
    pub audit: AuditContext,
}

impl WriteOp for DeletePlan {
    type Output = ();
    type Refused = PlanRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<PlanRefusal>> {
        let (_, plans) = plans_of(tx, &self.service)?;
        let Some(plan) = plans.into_iter().find(|plan| plan.public_id == self.plan_public_id) else {
            return Err(OpError::Refused(PlanRefusal::UnknownPlan));
        };
        if plan.is_default {
            return Err(OpError::Refused(PlanRefusal::DefaultNeeded));
        }
        if plan.subscription_count > 0 {
            return Err(OpError::Refused(PlanRefusal::HasSubscriptions));
        }
        tx.execute(DELETE_PLAN, values![plan.id])?;
        let metadata = json!({ "service_id": plan.service_public_id, "before": plan.terms.members(false) });
        note(tx, (self.service.org_id, &self.audit), ("plan.deleted", &plan.public_id), metadata)?;
        Ok(())
    }
}

/// Appends the entry about a plan.
fn note(
    tx: &mut WriteTx<'_>,
    (org_id, audit): (i64, &AuditContext),
    (action, public_id): (&'static str, &str),
    metadata: Json,
) -> Result<(), StoreError> {
    append(tx, audit, &Happened { org_id, action, target: ("plan", public_id), metadata })
}
