//! Purchases under way: one per buyer, so that a double click, two tabs or two administrators never buy twice.

use super::{PLATFORM_ORG_ID, looks_like_public_id};
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::stripe_event_actor::StripeAccount;
use crate::{statements, values};

statements! {
    PLAN_FOR_SALE = "SELECT id, stripe_price_id FROM plans WHERE public_id = $1 AND service_id = $2";
    TIER_FOR_SALE = "SELECT id, stripe_price_id FROM tiers WHERE id = $1";
    LIVE_SUBSCRIPTION_OF_USER = "SELECT 1 FROM stripe_subscriptions WHERE user_id = $1 AND service_id = $2 \
        AND effective_status IN ('active', 'trialing', 'past_due', 'unpaid', 'paused') LIMIT 1";
    LIVE_SUBSCRIPTION_OF_ORGANIZATION = "SELECT 1 FROM stripe_subscriptions WHERE billed_org_id = $1 \
        AND effective_status IN ('active', 'trialing', 'past_due', 'unpaid', 'paused') LIMIT 1";
    CUSTOMER_OF_USER = "SELECT customer FROM stripe_subscriptions WHERE user_id = $1 AND org_id = $2 \
        AND customer IS NOT NULL ORDER BY id DESC LIMIT 1";
    CUSTOMER_OF_ORGANIZATION = "SELECT customer FROM stripe_subscriptions WHERE billed_org_id = $1 \
        AND customer IS NOT NULL ORDER BY id DESC LIMIT 1";
    CHECKOUT = "SELECT wanted, idempotency_key, session_id, url, expires_at, created_at FROM stripe_checkouts \
        WHERE buyer = $1";
    BEGIN_CHECKOUT = "INSERT INTO stripe_checkouts (buyer, org_id, wanted, idempotency_key, expires_at, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (buyer) DO UPDATE SET org_id = excluded.org_id, \
        wanted = excluded.wanted, idempotency_key = excluded.idempotency_key, session_id = NULL, url = NULL, \
        expires_at = excluded.expires_at, created_at = excluded.created_at";
    CHECKOUT_IS_OPEN = "UPDATE stripe_checkouts SET session_id = $1, url = $2, expires_at = $3 \
        WHERE buyer = $4 AND idempotency_key = $5";
    DROP_CHECKOUT = "DELETE FROM stripe_checkouts WHERE buyer = $1 AND session_id = $2";
    ABANDON_CHECKOUT = "DELETE FROM stripe_checkouts WHERE buyer = $1 AND idempotency_key = $2 \
        AND session_id IS NULL";
    FORGET_CHECKOUT = "DELETE FROM stripe_checkouts WHERE buyer = $1";
    OWN_ACCOUNT = "SELECT secret_key_sealed FROM stripe_accounts WHERE org_id = $1";
}

/// A page at Stripe lives a day unless it says otherwise.
const LIFETIME: Millis = 24 * 60 * 60 * 1000;
/// A request to Stripe ends within this time: after it, a checkout without a page is a failed attempt.
const MAKING: Millis = 60 * 1000;

/// Who buys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckoutBuyer {
    /// A user, of a service of this organization.
    User {
        /// Row id of the user.
        user_id: i64,
        /// Row id of the service.
        service_id: i64,
        /// Row id of the organization.
        org_id: i64,
    },
    /// An organization, of the platform.
    Organization(i64),
}

impl CheckoutBuyer {
    pub(crate) fn key(self) -> String {
        match self {
            Self::User { user_id, service_id, .. } => user_key(user_id, service_id),
            Self::Organization(org_id) => organization_key(org_id),
        }
    }

    /// The account that sells: the organization's own, else the platform's.
    fn account(self, tx: &mut ReadTx<'_>) -> Result<StripeAccount, StoreError> {
        match self {
            Self::User { org_id, .. } => account_of(tx, org_id),
            Self::Organization(_) => Ok(StripeAccount::of_platform()),
        }
    }

    fn customer(self, tx: &mut ReadTx<'_>, account_org_id: i64) -> Result<Option<String>, StoreError> {
        let customer = |row: &Row<'_, '_>| row.get::<String>(0);
        match self {
            Self::User { user_id, .. } => {
                tx.optional(CUSTOMER_OF_USER, values![user_id, account_org_id], customer)
            }
            Self::Organization(org_id) => tx.optional(CUSTOMER_OF_ORGANIZATION, values![org_id], customer),
        }
    }
}

fn user_key(user_id: i64, service_id: i64) -> String {
    format!("user {user_id} service {service_id}")
}

fn organization_key(org_id: i64) -> String {
    format!("organization {org_id}")
}

/// A user has bought: what was under way is over.
pub(crate) fn forget_of_user(tx: &mut WriteTx<'_>, user_id: i64, service_id: i64) -> Result<(), StoreError> {
    tx.execute(FORGET_CHECKOUT, values![&user_key(user_id, service_id)])?;
    Ok(())
}

/// An organization has bought: what was under way is over.
pub(crate) fn forget_of_organization(tx: &mut WriteTx<'_>, org_id: i64) -> Result<(), StoreError> {
    tx.execute(FORGET_CHECKOUT, values![&organization_key(org_id)])?;
    Ok(())
}

/// The Stripe account that sells for an organization.
pub(crate) fn account_of(tx: &mut ReadTx<'_>, org_id: i64) -> Result<StripeAccount, StoreError> {
    let own = tx.optional(OWN_ACCOUNT, values![org_id], |row| row.get::<Vec<u8>>(0))?;
    Ok(match own {
        Some(sealed) if org_id != PLATFORM_ORG_ID => {
            StripeAccount { org_id, secret_key_sealed: Some(sealed) }
        }
        _ => StripeAccount::of_platform(),
    })
}

/// Begins a purchase, or finds the one under way.
#[derive(Debug, Clone)]
pub struct BeginCheckout {
    /// Who buys.
    pub buyer: CheckoutBuyer,
    /// Public id of the plan, or id of the tier.
    pub wanted: String,
    /// Seats.
    pub quantity: i64,
    /// Where the buyer goes afterwards: part of what is asked for.
    pub success_url: String,
    /// Where the buyer goes who changes their mind.
    pub cancel_url: String,
    /// Random, in case this is a new purchase.
    pub idempotency_key: String,
    /// The present moment.
    pub now: Millis,
}

/// What to do about a purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checkout {
    /// The page is there already.
    Open {
        /// Its address.
        url: String,
    },
    /// Make the page.
    Make {
        /// Whose account sells.
        account: StripeAccount,
        /// The same for everybody who asks for the same.
        idempotency_key: String,
        /// The price at Stripe.
        price: String,
        /// The customer, when the buyer is one.
        customer: Option<String>,
    },
    /// Another plan's page is open: close it first.
    Close {
        /// Whose account sells.
        account: StripeAccount,
        /// The page.
        session_id: String,
    },
}

/// Why nothing can be bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckoutRefusal {
    /// There is no such plan or tier.
    Unknown,
    /// It names no price at Stripe.
    NotForSale,
    /// The buyer has a subscription.
    AlreadySubscribed,
    /// The page of another purchase is being made this moment.
    UnderWay,
}

struct Begun {
    wanted: String,
    idempotency_key: String,
    session_id: Option<String>,
    url: Option<String>,
    expires_at: Millis,
    created_at: Millis,
}

impl WriteOp for BeginCheckout {
    type Output = Checkout;
    type Refused = CheckoutRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Checkout, OpError<CheckoutRefusal>> {
        let refused = |reason| Err(OpError::Refused(reason));
        let price = self.price(tx)?;
        if self.has_subscription(tx)? {
            return refused(CheckoutRefusal::AlreadySubscribed);
        }
        let account = self.buyer.account(tx)?;
        let customer = self.buyer.customer(tx, account.org_id)?;
        let wanted = serde_json::json!([
            account.org_id,
            self.wanted,
            price,
            self.quantity,
            self.success_url,
            self.cancel_url
        ]);
        let wanted = wanted.to_string();
        let make = |idempotency_key| Checkout::Make { account, idempotency_key, price, customer };
        match self.begun(tx)?.filter(|begun| self.now < begun.expires_at) {
            Some(Begun { url: Some(url), wanted: same, .. }) if same == wanted => Ok(Checkout::Open { url }),
            Some(begun) if begun.wanted == wanted => Ok(make(begun.idempotency_key)),
            Some(Begun { session_id: Some(session_id), .. }) => {
                Ok(Checkout::Close { account: self.buyer.account(tx)?, session_id })
            }
            Some(begun) if self.now - begun.created_at < MAKING => refused(CheckoutRefusal::UnderWay),
            _ => {
                let key = &self.idempotency_key;
                let (buyer, expires_at) = (self.buyer.key(), self.now + LIFETIME);
                let org_id = self.buyer.account(tx)?.org_id;
                tx.execute(BEGIN_CHECKOUT, values![&buyer, org_id, &wanted, key, expires_at, self.now])?;
                Ok(make(key.clone()))
            }
        }
    }
}

impl BeginCheckout {
    fn price(&self, tx: &mut WriteTx<'_>) -> Result<String, OpError<CheckoutRefusal>> {
        let price = |row: &Row<'_, '_>| row.get::<Option<String>>(1);
        let found = match self.buyer {
            CheckoutBuyer::User { service_id, .. } if looks_like_public_id(&self.wanted) => {
                tx.optional(PLAN_FOR_SALE, values![&self.wanted, service_id], price)?
            }
            CheckoutBuyer::User { .. } => None,
            CheckoutBuyer::Organization(_) => tx.optional(TIER_FOR_SALE, values![&self.wanted], price)?,
        };
        let price = found.ok_or(OpError::Refused(CheckoutRefusal::Unknown))?;
        price.ok_or(OpError::Refused(CheckoutRefusal::NotForSale))
    }

    fn has_subscription(&self, tx: &mut WriteTx<'_>) -> Result<bool, StoreError> {
        let found = match self.buyer {
            CheckoutBuyer::User { user_id, service_id, .. } => {
                tx.optional(LIVE_SUBSCRIPTION_OF_USER, values![user_id, service_id], |_| Ok(()))?
            }
            CheckoutBuyer::Organization(org_id) => {
                tx.optional(LIVE_SUBSCRIPTION_OF_ORGANIZATION, values![org_id], |_| Ok(()))?
            }
        };
        Ok(found.is_some())
    }

    fn begun(&self, tx: &mut WriteTx<'_>) -> Result<Option<Begun>, StoreError> {
        tx.optional(CHECKOUT, values![&self.buyer.key()], |row| {
            Ok(Begun {
                wanted: row.get(0)?,
                idempotency_key: row.get(1)?,
                session_id: row.get(2)?,
                url: row.get(3)?,
                expires_at: row.get(4)?,
                created_at: row.get(5)?,
            })
        })
    }
}

/// Stripe made the page.
#[derive(Debug, Clone)]
pub struct CheckoutIsOpen {
    /// Who buys.
    pub buyer: CheckoutBuyer,
    /// That of the purchase; another one has begun when it does not fit.
    pub idempotency_key: String,
    /// The page.
    pub session_id: String,
    /// Its address.
    pub url: String,
    /// When it closes by itself.
    pub expires_at: Millis,
}

impl WriteOp for CheckoutIsOpen {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        let buyer = self.buyer.key();
        let values = values![&self.session_id, &self.url, self.expires_at, &buyer, &self.idempotency_key];
        tx.execute(CHECKOUT_IS_OPEN, values)?;
        Ok(())
    }
}

/// Stripe refused to make the page. It would refuse the same key again, so another attempt gets another one.
#[derive(Debug, Clone)]
pub struct AbandonCheckout {
    /// Who buys.
    pub buyer: CheckoutBuyer,
    /// That of the purchase.
    pub idempotency_key: String,
}

impl WriteOp for AbandonCheckout {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        tx.execute(ABANDON_CHECKOUT, values![&self.buyer.key(), &self.idempotency_key])?;
        Ok(())
    }
}

/// Stripe closed the page.
#[derive(Debug, Clone)]
pub struct CheckoutIsClosed {
    /// Who was to buy.
    pub buyer: CheckoutBuyer,
    /// The page.
    pub session_id: String,
}

impl WriteOp for CheckoutIsClosed {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        tx.execute(DROP_CHECKOUT, values![&self.buyer.key(), &self.session_id])?;
        Ok(())
    }
}

/// Which account sells to a buyer, and which customer the buyer is there?
#[derive(Debug, Clone, Copy)]
pub struct CustomerOfBuyer {
    /// Who bought.
    pub buyer: CheckoutBuyer,
}

impl ReadOp for CustomerOfBuyer {
    type Output = (StripeAccount, Option<String>);

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let account = self.buyer.account(tx)?;
        let customer = self.buyer.customer(tx, account.org_id)?;
        Ok((account, customer))
    }
}
