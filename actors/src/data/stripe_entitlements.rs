//! What follows for a user, or for an organization that pays the platform.

use ring::digest::{SHA256, digest};
use serde_json::json;

use super::audit::{AuditContext, Happened, append};
use super::checkouts::{forget_of_organization, forget_of_user};
use super::subscription_events;
use crate::clock::Millis;
use crate::engine::{Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::WriteOp;
use crate::{statements, values};

statements! {
    // One that grants before one that does not, one that may still grant before one that is over, then the newest.
    BEST_OF_USER = "SELECT stripe_id, plan_id, effective_status, period_end, quantity, grants_until, cancels_at \
        FROM stripe_subscriptions WHERE user_id = $1 AND service_id = $2 AND effective_status IS NOT NULL \
        ORDER BY CASE WHEN plan_id IS NOT NULL AND grants_until IS NOT NULL THEN 2 \
        WHEN effective_status IN ('canceled', 'incomplete_expired') THEN 0 ELSE 1 END DESC, started_at DESC, \
        stripe_id DESC LIMIT 1";
    SUBSCRIPTION_OF_USER = "SELECT plan_id, status, current_period_end, quantity, grants_until, cancels_at, \
        stripe_subscription_id FROM subscriptions WHERE user_id = $1 AND service_id = $2";
    INSERT_SUBSCRIPTION = "INSERT INTO subscriptions (public_id, user_id, service_id, plan_id, status, \
        current_period_end, quantity, grants_until, cancels_at, stripe_subscription_id, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)";
    UPDATE_SUBSCRIPTION = "UPDATE subscriptions SET plan_id = $1, status = $2, current_period_end = $3, \
        quantity = $4, grants_until = $5, cancels_at = $6, stripe_subscription_id = $7, updated_at = $8, \
        version = version + 1 WHERE user_id = $9 AND service_id = $10";
    BEST_OF_ORGANIZATION = "SELECT tier_id, grants_until FROM stripe_subscriptions WHERE billed_org_id = $1 \
        AND tier_id IS NOT NULL AND grants_until > $2 ORDER BY started_at DESC, stripe_id DESC LIMIT 1";
    TIER_OF_ORGANIZATION = "SELECT tier_id, public_id FROM organizations WHERE id = $1";
    EVER_PAID_FOR_TIER = "SELECT 1 FROM stripe_subscriptions WHERE billed_org_id = $1 AND tier_id = $2 LIMIT 1";
    PUT_ON_TIER = "UPDATE organizations SET tier_id = $1, updated_at = $2 WHERE id = $3";
    LAPSED_TIERS = "SELECT DISTINCT b.billed_org_id FROM stripe_subscriptions b JOIN organizations o \
        ON o.id = b.billed_org_id WHERE b.billed_org_id > 0 AND b.grants_until <= $1 \
        AND o.tier_id = b.tier_id AND o.tier_id <> 'tier_free' AND NOT EXISTS (SELECT 1 FROM stripe_subscriptions c \
        WHERE c.billed_org_id = b.billed_org_id AND c.tier_id IS NOT NULL AND c.grants_until > $1)";
}

/// The tier of an organization that pays for none.
const FREE_TIER: &str = "tier_free";

#[derive(Debug, PartialEq, Eq)]
struct Has {
    plan_id: i64,
    status: String,
    period_end: Option<Millis>,
    quantity: i64,
    grants_until: Option<Millis>,
    cancels_at: Option<Millis>,
    stripe_id: Option<String>,
}

/// Gives a user what the best of their subscriptions says.
pub(crate) fn entitle_user(
    tx: &mut WriteTx<'_>,
    (user_id, service_id): (i64, i64),
    now: Millis,
) -> Result<(), StoreError> {
    let has = has(tx, user_id, service_id)?;
    let Some(gets) = gets(tx, (user_id, service_id), has.as_ref())? else { return Ok(()) };
    if gets.grants_until.is_some() {
        forget_of_user(tx, user_id, service_id)?;
    }
    if has.as_ref() == Some(&gets) {
        return Ok(());
    }
    let Has { plan_id, status, period_end, quantity, grants_until, cancels_at, stripe_id } = &gets;
    let (plan_id, until, cancels_at) = (*plan_id, *grants_until, *cancels_at);
    let values = values![
        plan_id,
        status,
        *period_end,
        *quantity,
        until,
        cancels_at,
        stripe_id,
        now,
        user_id,
        service_id,
    ];
    if tx.execute(UPDATE_SUBSCRIPTION, values)? == 0 {
        let public_id = public_id(now, &format!("subscription {user_id} {service_id}"));
        let values = values![
            &public_id,
            user_id,
            service_id,
            plan_id,
            status,
            *period_end,
            *quantity,
            until,
            cancels_at,
            stripe_id,
            now,
        ];
        tx.execute(INSERT_SUBSCRIPTION, values)?;
    }
    let before = has.as_ref().map(|has| has.status.as_str());
    subscription_events::record(tx, (user_id, service_id), before, now)
}

fn has(tx: &mut WriteTx<'_>, user_id: i64, service_id: i64) -> Result<Option<Has>, StoreError> {
    tx.optional(SUBSCRIPTION_OF_USER, values![user_id, service_id], |row| {
        Ok(Has {
            plan_id: row.get(0)?,
            status: row.get(1)?,
            period_end: row.get(2)?,
            quantity: row.get(3)?,
            grants_until: row.get(4)?,
            cancels_at: row.get(5)?,
            stripe_id: row.get(6)?,
        })
    })
}

fn gets(
    tx: &mut WriteTx<'_>,
    (user_id, service_id): (i64, i64),
    has: Option<&Has>,
) -> Result<Option<Has>, StoreError> {
    let best = tx.optional(BEST_OF_USER, values![user_id, service_id], |row| {
        // One for an unknown price grants nothing; what it was for before is kept as history.
        let plan_id = row.get::<Option<i64>>(1)?.or(has.map(|has| has.plan_id));
        let Some(plan_id) = plan_id else { return Ok(None) };
        Ok(Some(Has {
            plan_id,
            status: row.get(2)?,
            period_end: row.get(3)?,
            quantity: row.get(4)?,
            grants_until: row.get(5)?,
            cancels_at: row.get(6)?,
            stripe_id: Some(row.get(0)?),
        }))
    })?;
    Ok(match (best, has) {
        (Some(best), _) => best,
        // The subscription is somebody else's now.
        (None, Some(has)) => Some(Has {
            plan_id: has.plan_id,
            status: "canceled".to_owned(),
            period_end: has.period_end,
            quantity: has.quantity,
            grants_until: None,
            cancels_at: None,
            stripe_id: None,
        }),
        (None, None) => None,
    })
}

/// Puts an organization on the tier that it pays for.
pub(crate) fn put_on_tier(tx: &mut WriteTx<'_>, org_id: i64, now: Millis) -> Result<(), StoreError> {
    let tier = |row: &Row<'_, '_>| row.get::<String>(0);
    let paid = tx.optional(BEST_OF_ORGANIZATION, values![org_id, now], tier)?;
    if paid.is_some() {
        forget_of_organization(tx, org_id)?;
    }
    let pays_for = paid.as_deref().unwrap_or(FREE_TIER);
    let (has, org_public_id) =
        tx.one(TIER_OF_ORGANIZATION, values![org_id], |row| Ok((tier(row)?, row.get::<String>(1)?)))?;
    if has == pays_for {
        return Ok(());
    }
    // A tier that the platform's owner gave is not taken away because something else is no longer paid for.
    let bought = tx.optional(EVER_PAID_FOR_TIER, values![org_id, &has], |_| Ok(()))?.is_some();
    if paid.is_none() && !bought {
        return Ok(());
    }
    tx.execute(PUT_ON_TIER, values![pays_for, now, org_id])?;
    let audit = AuditContext {
        entry_public_id: public_id(now, &format!("tier {org_id} {has} {pays_for}")),
        actor_user_id: None,
        ip_address: String::new(),
        user_agent: "stripe".to_owned(),
        now,
    };
    let happened = Happened {
        org_id,
        action: "organization.tier_changed",
        target: ("organization", &org_public_id),
        metadata: json!({ "before": { "tier_id": has }, "after": { "tier_id": pays_for }, "by": "billing" }),
    };
    append(tx, &audit, &happened)
}

/// Ends tiers that were paid for until now and of which nothing more was heard.
#[derive(Debug, Clone, Copy)]
pub struct EndLapsedTiers {
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for EndLapsedTiers {
    /// How many organizations.
    type Output = u64;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<u64, OpError<()>> {
        let lapsed = tx.all(LAPSED_TIERS, values![self.now], |row| row.get::<i64>(0))?;
        for org_id in &lapsed {
            put_on_tier(tx, *org_id, self.now)?;
        }
        Ok(lapsed.len() as u64)
    }
}

/// A UUID of version 7 (RFC 9562, section 5.7). An operation draws no randomness, so that it can run again: what is
/// random elsewhere follows from `seed` here.
fn public_id(now: Millis, seed: &str) -> String {
    let hash = digest(&SHA256, format!("{now} {seed}").as_bytes());
    let hex: String =
        hash.as_ref().iter().take(10).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let time = format!("{:012x}", now.max(0));
    let piece = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    let head = (time.get(..8).unwrap_or_default(), time.get(8..12).unwrap_or_default());
    format!("{}-{}-7{}-8{}-{}", head.0, head.1, piece(0, 3), piece(3, 6), piece(6, 18))
}
