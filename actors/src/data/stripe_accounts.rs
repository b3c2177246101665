//! Organizations' own Stripe accounts. Their secrets are sealed before they come here.

use serde_json::json;

use super::audit::{AuditContext, Happened, append};
use super::looks_like_public_id;
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

/// The columns of [`OwnStripeAccount`].
macro_rules! select_account {
    () => {
        "SELECT a.org_id, o.public_id, o.status, a.secret_key_sealed, a.webhook_secrets_sealed, a.livemode, \
         a.created_at, a.updated_at FROM stripe_accounts a JOIN organizations o ON o.id = a.org_id"
    };
}

statements! {
    STRIPE_ACCOUNT = concat!(select_account!(), " WHERE a.org_id = $1");
    STRIPE_ACCOUNT_BY_SLUG = concat!(select_account!(), " WHERE o.slug = $1");
    STRIPE_ACCOUNT_BY_PUBLIC_ID = concat!(select_account!(), " WHERE o.public_id = $1");
    SAVE_STRIPE_ACCOUNT = "INSERT INTO stripe_accounts (org_id, secret_key_sealed, webhook_secrets_sealed, livemode, \
        created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (org_id) DO UPDATE SET \
        secret_key_sealed = excluded.secret_key_sealed, webhook_secrets_sealed = excluded.webhook_secrets_sealed, \
        livemode = excluded.livemode, updated_at = excluded.updated_at";
    DELETE_STRIPE_ACCOUNT = "DELETE FROM stripe_accounts WHERE org_id = $1";
}

/// An organization's own Stripe account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnStripeAccount {
    /// Row id of the organization.
    pub org_id: i64,
    /// UUID of the organization.
    pub org_public_id: String,
    /// The organization's status.
    pub org_status: String,
    /// Sealed.
    pub secret_key_sealed: Vec<u8>,
    /// Sealed; separated by commas.
    pub webhook_secrets_sealed: Vec<u8>,
    /// Whether the key is one of live mode.
    pub livemode: bool,
    /// Since when.
    pub created_at: Millis,
    /// When it was last changed.
    pub updated_at: Millis,
}

impl OwnStripeAccount {
    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            org_id: row.get(0)?,
            org_public_id: row.get(1)?,
            org_status: row.get(2)?,
            secret_key_sealed: row.get(3)?,
            webhook_secrets_sealed: row.get(4)?,
            livemode: row.get(5)?,
            created_at: row.get(6)?,
            updated_at: row.get(7)?,
        })
    }
}

/// The account of an organization.
#[derive(Debug, Clone, Copy)]
pub struct StripeAccountOfOrganization {
    /// Row id of the organization.
    pub org_id: i64,
}

impl ReadOp for StripeAccountOfOrganization {
    type Output = Option<OwnStripeAccount>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.optional(STRIPE_ACCOUNT, values![self.org_id], OwnStripeAccount::from_row)
    }
}

/// The account that a webhook's address names.
#[derive(Debug, Clone)]
pub struct StripeAccountByReference {
    /// Slug or public id of the organization.
    pub reference: String,
}

impl ReadOp for StripeAccountByReference {
    type Output = Option<OwnStripeAccount>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let by_public_id = looks_like_public_id(&self.reference);
        let statement = if by_public_id { STRIPE_ACCOUNT_BY_PUBLIC_ID } else { STRIPE_ACCOUNT_BY_SLUG };
        tx.optional(statement, values![&self.reference], OwnStripeAccount::from_row)
    }
}

/// Stores an organization's account, in place of the one before.
#[derive(Debug, Clone)]
pub struct SaveStripeAccount {
    /// Row id of the organization.
    pub org_id: i64,
    /// UUID of the organization.
    pub org_public_id: String,
    /// Sealed.
    pub secret_key_sealed: Vec<u8>,
    /// Sealed.
    pub webhook_secrets_sealed: Vec<u8>,
    /// Whether the key is one of live mode.
    pub livemode: bool,
    /// Who, from where, when.
    pub audit: AuditContext,
}

impl WriteOp for SaveStripeAccount {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        let values = values![
            self.org_id,
            self.secret_key_sealed.as_slice(),
            self.webhook_secrets_sealed.as_slice(),
            self.livemode,
            self.audit.now,
        ];
        tx.execute(SAVE_STRIPE_ACCOUNT, values)?;
        let happened = Happened {
            org_id: self.org_id,
            action: "stripe_account.saved",
            target: ("organization", &self.org_public_id),
            metadata: json!({ "livemode": self.livemode }),
        };
        append(tx, &self.audit, &happened)?;
        Ok(())
    }
}

/// Removes an organization's account. What was bought through it stays until it lapses.
#[derive(Debug, Clone)]
pub struct RemoveStripeAccount {
    /// Row id of the organization.
    pub org_id: i64,
    /// UUID of the organization.
    pub org_public_id: String,
    /// Who, from where, when.
    pub audit: AuditContext,
}

impl WriteOp for RemoveStripeAccount {
    /// Whether there was one.
    type Output = bool;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<bool, OpError<()>> {
        if tx.execute(DELETE_STRIPE_ACCOUNT, values![self.org_id])? == 0 {
            return Ok(false);
        }
        let happened = Happened {
            org_id: self.org_id,
            action: "stripe_account.removed",
            target: ("organization", &self.org_public_id),
            metadata: json!({}),
        };
        append(tx, &self.audit, &happened)?;
        Ok(true)
    }
}
