//! Tokens on their way back to the provider that gave them. They wait beside their delivery in the outbox, sealed as
//! they were, together with a copy of the sealed data key: what erases an organization's own copy does not keep its
//! tokens alive at the provider. When the delivery is over, whatever came of it, a trigger takes them away.

use super::outbox::{self, Kind};
use super::provider_grants::Whose;
use crate::clock::Millis;
use crate::engine::{ReadTx, Statement, WriteTx};
use crate::error::StoreError;
use crate::message::ReadOp;
use crate::{statements, values};

/// Without its key nobody can open an organization's tokens: there is nothing to give back then.
macro_rules! revocable {
    () => {
        "FROM provider_grants g JOIN organization_keys k ON k.org_id = g.org_id "
    };
}

macro_rules! insert_targets {
    ($whose:literal) => {
        concat!(
            "INSERT INTO revocation_targets (org_id, provider) SELECT DISTINCT g.org_id, g.provider ",
            revocable!(),
            "WHERE NOT g.is_over AND ",
            $whose,
            " = $1 AND g.provider = COALESCE($2, g.provider) ON CONFLICT (org_id, provider) DO NOTHING"
        )
    };
}

macro_rules! insert_deliveries {
    ($whose:literal) => {
        concat!(
            "INSERT INTO outbox (kind, target_id, subject_id, org_id, payload, status, created_at, expires_at, \
             next_attempt_at) SELECT 'provider_revocation', t.id, g.id, g.org_id, '{}', 'pending', $1, $2, $1 ",
            revocable!(),
            "JOIN revocation_targets t ON t.org_id = g.org_id AND t.provider = g.provider WHERE NOT g.is_over AND ",
            $whose,
            " = $3 AND g.provider = COALESCE($4, g.provider)"
        )
    };
}

statements! {
    TARGETS_OF_USER = insert_targets!("g.user_id");
    TARGETS_OF_SERVICE = insert_targets!("g.service_id");
    TARGETS_OF_ORGANIZATION = insert_targets!("g.org_id");
    DELIVERIES_OF_USER = insert_deliveries!("g.user_id");
    DELIVERIES_OF_SERVICE = insert_deliveries!("g.service_id");
    DELIVERIES_OF_ORGANIZATION = insert_deliveries!("g.org_id");
    LAST_DELIVERY = "SELECT COALESCE(MAX(id), 0) FROM outbox";
    TARGETS_OF_DELIVERIES = "SELECT DISTINCT target_id FROM outbox WHERE id > $1 AND kind = 'provider_revocation'";
    KEEP_FOR_REVOCATION = concat!(
        "INSERT INTO provider_revocations (id, org_id, service_id, provider, issuer, subject, \
         credential_version, access_token_sealed, refresh_token_sealed, key_sealed) SELECT o.id, g.org_id, \
         g.service_id, g.provider, g.issuer, g.subject, g.credential_version, g.access_token_sealed, \
         g.refresh_token_sealed, k.key_sealed ",
        revocable!(),
        "JOIN outbox o ON o.subject_id = g.id WHERE o.id > $1 AND o.kind = 'provider_revocation'"
    );
    // A client of the platform's serves many organizations, each of which may have a grant of the same account.
    REVOCATION = "SELECT r.org_id, r.service_id, r.provider, r.issuer, r.subject, r.credential_version, \
        r.access_token_sealed, r.refresh_token_sealed, r.key_sealed, EXISTS (SELECT 1 FROM provider_grants g \
        WHERE g.issuer = r.issuer AND g.subject = r.subject AND g.provider = r.provider \
        AND COALESCE(g.credential_version, '') = COALESCE(r.credential_version, '') AND NOT g.is_over) \
        FROM provider_revocations r WHERE r.id = $1";
}

/// Has the tokens of grants revoked at their providers. Before the grants are deleted, in the same transaction, and with
/// a few statements however many there are.
pub(super) fn enqueue(tx: &mut WriteTx<'_>, whose: Whose<'_>, now: Millis) -> Result<(), StoreError> {
    let (targets, deliveries): (&Statement, &Statement) = match whose {
        Whose::User(_) | Whose::UserAt(..) => (TARGETS_OF_USER, DELIVERIES_OF_USER),
        Whose::Service(_) => (TARGETS_OF_SERVICE, DELIVERIES_OF_SERVICE),
        Whose::Organization(_) => (TARGETS_OF_ORGANIZATION, DELIVERIES_OF_ORGANIZATION),
    };
    let (id, provider) = whose.selection();
    let last = tx.one(LAST_DELIVERY, values![], |row| row.get::<i64>(0))?;
    tx.execute(targets, values![id, provider])?;
    let expires_at = now + Kind::ProviderRevocation.policy().lifetime;
    tx.execute(deliveries, values![now, expires_at, id, provider])?;
    tx.execute(KEEP_FOR_REVOCATION, values![last])?;
    for target in tx.all(TARGETS_OF_DELIVERIES, values![last], |row| row.get(0))? {
        outbox::wake(tx, Kind::ProviderRevocation, target, now)?;
    }
    Ok(())
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
