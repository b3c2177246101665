//! Who buys in dev mode, where no checkout asks.

use crate::engine::ReadTx;
use crate::error::StoreError;
use crate::message::ReadOp;
use crate::{statements, values};

statements! {
    DEV_BUYER = "SELECT u.public_id, s.public_id, s.id FROM organizations o JOIN services s ON s.org_id = o.id \
        AND s.slug = $1 AND s.deleted_at IS NULL JOIN users u ON u.org_id = o.id AND u.email = $2 WHERE o.slug = $3";
    DEV_PLANS = "SELECT public_id, name, is_default, stripe_price_id FROM plans WHERE service_id = $1 ORDER BY id";
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevPlan {
    /// UUID.
    pub id: String,
    /// Name, unique in the service.
    pub name: String,
    /// Whether everybody has it.
    pub is_default: bool,
    /// The price at Stripe.
    pub stripe_price_id: Option<String>,
}

/// A user and what there is to buy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevBuyer {
    /// UUID of the user.
    pub user_id: String,
    /// UUID of the service.
    pub service_id: String,
    /// The service's plans, oldest first.
    pub plans: Vec<DevPlan>,
}

/// Who has this address, and what can they buy?
#[derive(Debug, Clone)]
pub struct DevBuyerByEmail {
    /// The organization's slug.
    pub org_slug: String,
    /// The service's slug.
    pub service_slug: String,
    /// Normalized.
    pub email: String,
}

impl ReadOp for DevBuyerByEmail {
    type Output = Option<DevBuyer>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let names = values![&self.service_slug, &self.email, &self.org_slug];
        let found = tx.optional(DEV_BUYER, names, |row| {
            Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<i64>(2)?))
        })?;
        let Some((user_id, service_id, row_id)) = found else { return Ok(None) };
        let plans = tx.all(DEV_PLANS, values![row_id], |row| {
            Ok(DevPlan {
                id: row.get(0)?,
                name: row.get(1)?,
                is_default: row.get(2)?,
                stripe_price_id: row.get(3)?,
            })
        })?;
        Ok(Some(DevBuyer { user_id, service_id, plans }))
    }
}
