//! Subscriptions at Stripe: what is known of each, and whom it is for here.
//!
//! Facts are stored as they come; what they mean (user, service, plan, until when it grants) is found anew whenever
//! they change, by the labels that the subscription or its checkout carries and by the prices that plans name.

use std::collections::BTreeMap;

use super::{PLATFORM_ORG_ID, looks_like_public_id};
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::StoreError;
use crate::stripe::facts::{AsOf, Facts, InvoiceFact, SessionFact, State};
use crate::stripe::object::Item;
use crate::{statements, values};

statements! {
    STRIPE_SUBSCRIPTION = "SELECT id, customer, status, items, metadata, current_period_end, cancels_at, started_at, \
        past_due_since, as_of, as_of_rank, as_of_event, invoice_paid, invoice_at, invoice_event, invoice_period_end, \
        session_metadata, session_at, session_event, user_id, service_id, billed_org_id FROM stripe_subscriptions \
        WHERE org_id = $1 AND stripe_id = $2";
    SAVE_STRIPE_FACTS = "INSERT INTO stripe_subscriptions (org_id, stripe_id, customer, status, items, metadata, \
        current_period_end, cancels_at, started_at, past_due_since, as_of, as_of_rank, as_of_event, invoice_paid, \
        invoice_at, invoice_event, invoice_period_end, session_metadata, session_at, session_event, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21) \
        ON CONFLICT (org_id, stripe_id) DO UPDATE SET customer = excluded.customer, status = excluded.status, \
        items = excluded.items, metadata = excluded.metadata, current_period_end = excluded.current_period_end, \
        cancels_at = excluded.cancels_at, started_at = excluded.started_at, past_due_since = excluded.past_due_since, \
        as_of = excluded.as_of, as_of_rank = excluded.as_of_rank, as_of_event = excluded.as_of_event, \
        invoice_paid = excluded.invoice_paid, invoice_at = excluded.invoice_at, \
        invoice_event = excluded.invoice_event, invoice_period_end = excluded.invoice_period_end, \
        session_metadata = excluded.session_metadata, session_at = excluded.session_at, \
        session_event = excluded.session_event, updated_at = excluded.updated_at RETURNING id";
    SAVE_STRIPE_MEANING = "UPDATE stripe_subscriptions SET user_id = $1, service_id = $2, plan_id = $3, \
        billed_org_id = $4, tier_id = $5, effective_status = $6, period_end = $7, quantity = $8, grants_until = $9, \
        reason = $10 WHERE id = $11";
    USER_OF_LABEL = "SELECT id, org_id FROM users WHERE public_id = $1 AND erased_at IS NULL";
    SERVICE_OF_LABEL = "SELECT id, org_id FROM services WHERE public_id = $1 AND deleted_at IS NULL";
    PLAN_OF_LABEL = "SELECT id, service_id, stripe_price_id, price_cents FROM plans WHERE public_id = $1";
    PLANS_OF_PRICE = "SELECT p.id, p.service_id, p.stripe_price_id, p.price_cents FROM plans p \
        JOIN services s ON s.id = p.service_id WHERE p.stripe_price_id = $1 AND s.org_id = $2 \
        AND s.deleted_at IS NULL ORDER BY p.id LIMIT 16";
    BILLED_ORGANIZATION = "SELECT id FROM organizations WHERE public_id = $1 AND NOT is_platform";
    TIER_OF_PRICE = "SELECT id, stripe_price_id FROM tiers WHERE stripe_price_id IS NOT NULL ORDER BY price_cents DESC";
    TIER_OF_LABEL = "SELECT id, stripe_price_id FROM tiers WHERE id = $1";
}

/// One subscription at Stripe.
pub(crate) struct Stored {
    pub(crate) facts: Facts,
    /// What it meant before: user and service.
    pub(crate) user_service: Option<(i64, i64)>,
    /// What it meant before: an organization that pays the platform.
    pub(crate) billed_org_id: Option<i64>,
}

fn labels(json: &str) -> BTreeMap<String, String> {
    serde_json::from_str(json).unwrap_or_default()
}

fn stored(row: &Row<'_, '_>) -> Result<Stored, StoreError> {
    let items: String = row.get(3)?;
    let items: Vec<(String, i64, Option<Millis>)> = serde_json::from_str(&items).unwrap_or_default();
    let items =
        items.into_iter().map(|(price, quantity, period_end)| Item { price, quantity, period_end }).collect();
    let state = State {
        status: row.get(2)?,
        items,
        metadata: labels(&row.get::<String>(4)?),
        period_end: row.get(5)?,
        cancels_at: row.get(6)?,
        started_at: row.get(7)?,
        as_of: AsOf { at: row.get(9)?, rank: row.get(10)?, event: row.get(11)? },
    };
    let invoice =
        InvoiceFact { paid: row.get(12)?, at: row.get(13)?, event: row.get(14)?, period_end: row.get(15)? };
    let session =
        SessionFact { metadata: labels(&row.get::<String>(16)?), at: row.get(17)?, event: row.get(18)? };
    let (user_id, service_id): (Option<i64>, Option<i64>) = (row.get(19)?, row.get(20)?);
    Ok(Stored {
        facts: Facts { customer: row.get(1)?, state, past_due_since: row.get(8)?, invoice, session },
        user_service: user_id.zip(service_id),
        billed_org_id: row.get(21)?,
    })
}

/// What is known of a subscription of an account; nothing yet is an answer too.
pub(crate) fn find(tx: &mut ReadTx<'_>, org_id: i64, stripe_id: &str) -> Result<Stored, StoreError> {
    let found = tx.optional(STRIPE_SUBSCRIPTION, values![org_id, stripe_id], stored)?;
    Ok(found.unwrap_or_else(|| Stored { facts: Facts::default(), user_service: None, billed_org_id: None }))
}

/// Stores what is known and returns the row's id.
pub(crate) fn save(
    tx: &mut WriteTx<'_>,
    (org_id, stripe_id): (i64, &str),
    facts: &Facts,
    now: Millis,
) -> Result<i64, StoreError> {
    let Facts { customer, state, past_due_since, invoice, session } = facts;
    let items: Vec<_> =
        state.items.iter().map(|item| (&item.price, item.quantity, item.period_end)).collect();
    let items = serde_json::json!(items).to_string();
    let metadata = serde_json::json!(state.metadata).to_string();
    let session_metadata = serde_json::json!(session.metadata).to_string();
    let values = values![
        org_id,
        stripe_id,
        customer,
        &state.status,
        &items,
        &metadata,
        state.period_end,
        state.cancels_at,
        state.started_at,
        *past_due_since,
        state.as_of.at,
        state.as_of.rank,
        &state.as_of.event,
        invoice.paid,
        invoice.at,
        &invoice.event,
        invoice.period_end,
        &session_metadata,
        session.at,
        &session.event,
        now,
    ];
    tx.one(SAVE_STRIPE_FACTS, values, |row| row.get::<i64>(0))
}

/// What a subscription is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Buyer {
    /// A user, of a service.
    User { user_id: i64, service_id: i64 },
    /// An organization, of the platform.
    Organization(i64),
}

/// What a subscription means here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) buyer: Option<Buyer>,
    pub(crate) plan_id: Option<i64>,
    pub(crate) tier_id: Option<String>,
    pub(crate) quantity: i64,
    pub(crate) period_end: Option<Millis>,
    /// Why it grants nothing, although it could.
    pub(crate) reason: Option<&'static str>,
}

struct PlanRow {
    id: i64,
    service_id: i64,
    stripe_price_id: Option<String>,
    price_cents: i64,
}

fn plan_row(row: &Row<'_, '_>) -> Result<PlanRow, StoreError> {
    Ok(PlanRow {
        id: row.get(0)?,
        service_id: row.get(1)?,
        stripe_price_id: row.get(2)?,
        price_cents: row.get(3)?,
    })
}

/// Finds out whom a subscription of the account is for. No right is given across organizations: the user, the
/// service, the plan and the account must belong together.
pub(crate) fn interpret(
    tx: &mut ReadTx<'_>,
    account_org_id: i64,
    facts: &Facts,
) -> Result<Meaning, StoreError> {
    let nothing = |reason| Meaning { reason: Some(reason), quantity: 1, ..Meaning::default() };
    if let Some(organization) = facts.label("organization_id") {
        if account_org_id != PLATFORM_ORG_ID {
            return Ok(nothing("only the platform's own account bills organizations"));
        }
        let found = find_by_label(tx, BILLED_ORGANIZATION, organization, |row| row.get::<i64>(0))?;
        let Some(org_id) = found else {
            return Ok(nothing("metadata.organization_id names no organization"));
        };
        return interpret_tier(tx, org_id, facts);
    }
    let Some(user) = facts.label("user_id") else { return Ok(nothing("metadata.user_id is missing")) };
    let found = find_by_label(tx, USER_OF_LABEL, user, |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)))?;
    let Some((user_id, org_id)) = found else { return Ok(nothing("metadata.user_id names no user")) };
    if org_id == PLATFORM_ORG_ID || (account_org_id != PLATFORM_ORG_ID && account_org_id != org_id) {
        return Ok(nothing("metadata.user_id names a user of another organization"));
    }
    let service_id = match facts.label("service_id") {
        None => None,
        Some(service) => {
            let found = find_by_label(tx, SERVICE_OF_LABEL, service, |row| {
                Ok((row.get::<i64>(0)?, row.get::<i64>(1)?))
            })?;
            match found {
                Some((service_id, of)) if org_id == of => Some(service_id),
                Some(_) => return Ok(nothing("metadata.service_id names a service of another organization")),
                None => return Ok(nothing("metadata.service_id names no service")),
            }
        }
    };
    interpret_plan(tx, (org_id, user_id, service_id), facts)
}

/// By price first: what is paid for counts, and a change of plan at Stripe changes the price, not the labels.
fn interpret_plan(
    tx: &mut ReadTx<'_>,
    (org_id, user_id, service_id): (i64, i64, Option<i64>),
    facts: &Facts,
) -> Result<Meaning, StoreError> {
    let mut found: Vec<(PlanRow, &Item)> = Vec::new();
    for item in &facts.state.items {
        let plans = tx.all(PLANS_OF_PRICE, values![&item.price, org_id], plan_row)?;
        let of_service = |plan: &PlanRow| service_id.is_none_or(|service_id| service_id == plan.service_id);
        found.extend(plans.into_iter().filter(of_service).map(|plan| (plan, item)));
    }
    if service_id.is_none() {
        let first = found.first().map(|(plan, _)| plan.service_id);
        if found.iter().any(|(plan, _)| Some(plan.service_id) != first) {
            let reason = Some("the price belongs to plans of several services: set metadata.service_id");
            return Ok(Meaning { reason, quantity: 1, ..Meaning::default() });
        }
    }
    // Several items may be plans; the dearest one counts.
    let best = found.into_iter().max_by_key(|(plan, _)| (plan.price_cents, -plan.id));
    if let Some((plan, item)) = best {
        return Ok(Meaning {
            buyer: Some(Buyer::User { user_id, service_id: plan.service_id }),
            plan_id: Some(plan.id),
            quantity: item.quantity.max(1),
            period_end: facts.period_end(Some(item)),
            ..Meaning::default()
        });
    }
    let labelled = match facts.label("plan_id") {
        Some(plan) => find_by_label(tx, PLAN_OF_LABEL, plan, plan_row)?,
        None => None,
    };
    let quantity = facts.state.items.first().map_or(1, |item| item.quantity.max(1));
    let known = Meaning { quantity, period_end: facts.period_end(None), ..Meaning::default() };
    let buyer = |service_id| Some(Buyer::User { user_id, service_id });
    let without_plan =
        |reason| Meaning { buyer: service_id.and_then(buyer), reason: Some(reason), ..known.clone() };
    Ok(match (labelled, service_id) {
        // A plan that names a price is for that price: something else was bought.
        (Some(plan), _) if plan.stripe_price_id.is_some() && facts.state.status.is_some() => {
            without_plan("no plan of the service names the price")
        }
        (Some(plan), Some(service_id)) if plan.service_id == service_id => {
            Meaning { buyer: buyer(service_id), plan_id: Some(plan.id), ..known }
        }
        (Some(_), _) => without_plan("metadata.plan_id names a plan of another service"),
        (None, _) if facts.label("plan_id").is_some() => without_plan("metadata.plan_id names no plan"),
        (None, _) => without_plan("no plan of the service names the price"),
    })
}

fn interpret_tier(tx: &mut ReadTx<'_>, org_id: i64, facts: &Facts) -> Result<Meaning, StoreError> {
    let tier = |row: &Row<'_, '_>| Ok((row.get::<String>(0)?, row.get::<Option<String>>(1)?));
    let priced = tx.all(TIER_OF_PRICE, values![], tier)?;
    let bought = priced.into_iter().find_map(|(id, price)| {
        let item = facts.state.items.iter().find(|item| Some(&item.price) == price.as_ref())?;
        Some((id, item))
    });
    let meaning = Meaning {
        buyer: Some(Buyer::Organization(org_id)),
        quantity: 1,
        period_end: facts.period_end(bought.as_ref().map(|(_, item)| *item)),
        ..Meaning::default()
    };
    if let Some((tier_id, _)) = bought {
        return Ok(Meaning { tier_id: Some(tier_id), ..meaning });
    }
    let labelled = match facts.label("tier_id") {
        Some(label) => tx.optional(TIER_OF_LABEL, values![label], tier)?,
        None => None,
    };
    Ok(match labelled {
        Some((id, None)) => Meaning { tier_id: Some(id), ..meaning },
        _ => Meaning { reason: Some("no tier names the price"), ..meaning },
    })
}

/// Looks a label up only when it can be one of our ids.
fn find_by_label<T>(
    tx: &mut ReadTx<'_>,
    statement: &crate::engine::Statement,
    label: &str,
    map: impl FnOnce(&Row<'_, '_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    if !looks_like_public_id(label) {
        return Ok(None);
    }
    tx.optional(statement, values![label], map)
}

/// Stores what a subscription means.
pub(crate) fn save_meaning(
    tx: &mut WriteTx<'_>,
    row_id: i64,
    facts: &Facts,
    meaning: &Meaning,
    grants_until: Option<Millis>,
) -> Result<(), StoreError> {
    let (user_id, service_id, billed_org_id) = match meaning.buyer {
        Some(Buyer::User { user_id, service_id }) => (Some(user_id), Some(service_id), None),
        Some(Buyer::Organization(org_id)) => (None, None, Some(org_id)),
        None => (None, None, None),
    };
    let values = values![
        user_id,
        service_id,
        meaning.plan_id,
        billed_org_id,
        &meaning.tier_id,
        facts.status(),
        meaning.period_end,
        meaning.quantity,
        grants_until,
        meaning.reason,
        row_id,
    ];
    tx.execute(SAVE_STRIPE_MEANING, values)?;
    Ok(())
}
