//! Tokens on their way back to the provider that gave them. They wait beside their delivery in the outbox, sealed as
//! they were, together with a copy of the sealed data key: what erases an organization's own copy does not keep its
//! tokens alive at the provider. When the delivery is over, whatever came of it, a trigger takes them away.

use serde_json::json;

use super::outbox::{self, Kind, NewDelivery};
use crate::clock::Millis;
use crate::engine::{ReadTx, WriteTx};
use crate::error::StoreError;
use crate::message::ReadOp;
use crate::{statements, values};

statements! {
    TARGET_OF_REVOCATION = "SELECT id FROM revocation_targets WHERE org_id = $1 AND provider = $2";
    INSERT_TARGET_OF_REVOCATION = "INSERT INTO revocation_targets (org_id, provider) VALUES ($1, $2) RETURNING id";
    ANY_KEY_OF_ORGANIZATION = "SELECT 1 FROM organization_keys WHERE org_id = $1";
    KEEP_FOR_REVOCATION = "INSERT INTO provider_revocations (id, org_id, service_id, provider, issuer, subject, \
        credential_version, access_token_sealed, refresh_token_sealed, key_sealed) SELECT $1, g.org_id, g.service_id, \
        g.provider, g.issuer, g.subject, g.credential_version, g.access_token_sealed, g.refresh_token_sealed, \
        k.key_sealed FROM provider_grants g JOIN organization_keys k ON k.org_id = g.org_id WHERE g.id = $2";
    // A client of the platform's serves many organizations, each of which may have a grant of the same account.
    REVOCATION = "SELECT r.org_id, r.service_id, r.provider, r.issuer, r.subject, r.credential_version, \
        r.access_token_sealed, r.refresh_token_sealed, r.key_sealed, EXISTS (SELECT 1 FROM provider_grants g \
        WHERE g.issuer = r.issuer AND g.subject = r.subject AND g.provider = r.provider \
        AND COALESCE(g.credential_version, '') = COALESCE(r.credential_version, '') AND NOT g.is_over) \
        FROM provider_revocations r WHERE r.id = $1";
}

/// A grant that is about to be forgotten.
pub(crate) struct LostGrant {
    pub(crate) id: i64,
    pub(crate) org_id: i64,
    pub(crate) provider: String,
}

/// Has the tokens of a grant revoked at its provider. Before the grant is deleted, in the same transaction.
pub(crate) fn enqueue(tx: &mut WriteTx<'_>, grant: &LostGrant, now: Millis) -> Result<(), StoreError> {
    // Without its key nobody can open them: there is nothing to give back.
    if tx.optional(ANY_KEY_OF_ORGANIZATION, values![grant.org_id], |_| Ok(()))?.is_none() {
        return Ok(());
    }
    let new = NewDelivery {
        kind: Kind::ProviderRevocation,
        target_id: target(tx, grant)?,
        subject_id: grant.id,
        org_id: grant.org_id,
        payload: &json!({}),
    };
    let delivery_id = outbox::enqueue(tx, &new, now)?;
    tx.execute(KEEP_FOR_REVOCATION, values![delivery_id, grant.id])?;
    Ok(())
}

fn target(tx: &mut WriteTx<'_>, grant: &LostGrant) -> Result<i64, StoreError> {
    let place = values![grant.org_id, &grant.provider];
    match tx.optional(TARGET_OF_REVOCATION, place, |row| row.get(0))? {
        Some(id) => Ok(id),
        None => tx.one(INSERT_TARGET_OF_REVOCATION, place, |row| row.get(0)),
    }
}

/// Tokens to be revoked.
#[derive(Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Row id of the organization.
    pub org_id: i64,
    /// Row id of the service.
    pub service_id: i64,
    /// The provider.
    pub provider: String,
    /// Who vouches for the account there.
    pub issuer: String,
    /// Which account there.
    pub subject: String,
    /// Which version of the organization's own client the tokens were given to; none: the platform's.
    pub credential_version: Option<String>,
    /// The access token, sealed.
    pub access_token_sealed: Vec<u8>,
    /// The refresh token, sealed.
    pub refresh_token_sealed: Option<Vec<u8>>,
    /// The data key that both are sealed with, sealed itself.
    pub key_sealed: Vec<u8>,
    /// Whether another grant of the same account through the same client is in use.
    pub is_shared: bool,
}

/// Without the ciphertexts.
impl std::fmt::Debug for Revocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revocation")
            .field("provider", &self.provider)
            .field("is_shared", &self.is_shared)
            .finish_non_exhaustive()
    }
}

/// The tokens that a delivery is about, until it is over.
#[derive(Debug, Clone, Copy)]
pub struct RevocationOfDelivery {
    /// Row id of the delivery.
    pub delivery_id: i64,
}

impl ReadOp for RevocationOfDelivery {
    type Output = Option<Revocation>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.optional(REVOCATION, values![self.delivery_id], |row| {
            Ok(Revocation {
                org_id: row.get(0)?,
                service_id: row.get(1)?,
                provider: row.get(2)?,
                issuer: row.get(3)?,
                subject: row.get(4)?,
                credential_version: row.get(5)?,
                access_token_sealed: row.get(6)?,
                refresh_token_sealed: row.get(7)?,
                key_sealed: row.get(8)?,
                is_shared: row.get(9)?,
            })
        })
    }
}
