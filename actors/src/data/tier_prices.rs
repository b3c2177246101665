//! Prices of tiers at Stripe.

use serde_json::json;

use super::PLATFORM_ORG_ID;
use super::audit::{AuditContext, Happened, append};
use crate::engine::WriteTx;
use crate::error::{OpError, StoreError};
use crate::message::WriteOp;
use crate::{statements, values};

statements! {
    PRICE_OF_TIER = "SELECT stripe_price_id FROM tiers WHERE id = $1";
    SET_PRICE_OF_TIER = "UPDATE tiers SET stripe_price_id = $1 WHERE id = $2";
}

/// Ties a tier to a price at Stripe, or unties it.
#[derive(Debug, Clone)]
pub struct SetTierPrice {
    /// Which tier.
    pub tier_id: String,
    /// The price; none: it is not for sale.
    pub stripe_price_id: Option<String>,
    /// Who, from where, when.
    pub audit: AuditContext,
}

/// There is no such tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchTier;

impl WriteOp for SetTierPrice {
    type Output = ();
    type Refused = NoSuchTier;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<NoSuchTier>> {
        let before =
            tx.optional(PRICE_OF_TIER, values![&self.tier_id], |row| row.get::<Option<String>>(0))?;
        let before = before.ok_or(OpError::Refused(NoSuchTier))?;
        if before == self.stripe_price_id {
            return Ok(());
        }
        tx.execute(SET_PRICE_OF_TIER, values![&self.stripe_price_id, &self.tier_id])?;
        let happened = Happened {
            org_id: PLATFORM_ORG_ID,
            action: "tier.priced",
            target: ("tier", &self.tier_id),
            metadata: json!({ "before": before, "after": self.stripe_price_id }),
        };
        append(tx, &self.audit, &happened).map_err(StoreError::into)
    }
}
