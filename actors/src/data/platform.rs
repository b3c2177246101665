//! What platform owners decide about organizations: let in, turn away, suspend, put on a tier.

use serde_json::{Map, Value as Json, json};

use super::PLATFORM_ORG_ID;
use super::audit::{self, AuditContext, Happened};
use super::browser_sessions;
use super::end_users::contains;
use super::memberships::{Organization, is_public_id};
use super::organizations::Tier;
use super::platform_owners::is_platform_owner;
use super::provider_grants::{self, Whose};
use super::users::User;
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{Lane, ReadOp, WriteOp};
use crate::{statements, values};

/// The columns of [`GovernedOrganization`].
macro_rules! select_governed {
    () => {
        "SELECT o.id, o.public_id, o.slug, o.name, w.public_id, o.status, o.tier_id, \
         COALESCE(o.max_services, t.default_max_services), COALESCE(o.max_users, t.default_max_users), a.public_id, \
         o.approved_at, r.public_id, o.rejected_at, o.rejection_reason, o.created_at, o.updated_at, t.id, t.name, \
         t.display_name, t.default_max_services, t.default_max_users, t.features, t.price_cents, t.currency, \
         t.created_at, w.public_id, w.email, w.name, w.avatar_url, w.created_at, o.max_services, o.max_users \
         FROM organizations o JOIN tiers t ON t.id = o.tier_id \
         LEFT JOIN memberships owner ON owner.org_id = o.id AND owner.role = 'owner' \
         LEFT JOIN users w ON w.id = owner.user_id LEFT JOIN users a ON a.id = o.approved_by \
         LEFT JOIN users r ON r.id = o.rejected_by"
    };
}

/// Which organizations a list holds. Every row after the platform's own: the range keeps the walk on the primary key.
macro_rules! matching_organizations {
    () => {
        " WHERE o.id > $1 AND (CAST($2 AS TEXT) IS NULL OR o.status = $2) \
         AND (CAST($3 AS TEXT) IS NULL OR o.tier_id = $3) \
         AND (CAST($4 AS TEXT) IS NULL OR LOWER(o.name) LIKE LOWER($4) ESCAPE '!' \
         OR o.slug LIKE LOWER($4) ESCAPE '!' OR w.email LIKE LOWER($4) ESCAPE '!')"
    };
}

statements! {
    TIERS = "SELECT id, name, display_name, default_max_services, default_max_users, features, price_cents, currency, \
        created_at FROM tiers ORDER BY price_cents, id";
    TIER_EXISTS = "SELECT 1 FROM tiers WHERE id = $1";
    GOVERNED_ORGANIZATIONS =
        concat!(select_governed!(), matching_organizations!(), " ORDER BY o.id DESC LIMIT $5 OFFSET $6");
    COUNT_GOVERNED_ORGANIZATIONS = concat!(
        "SELECT COUNT(*) FROM organizations o \
         LEFT JOIN memberships owner ON owner.org_id = o.id AND owner.role = 'owner' \
         LEFT JOIN users w ON w.id = owner.user_id",
        matching_organizations!()
    );
    GOVERNED_BY_SLUG = concat!(select_governed!(), " WHERE o.slug = $1 AND NOT o.is_platform");
    GOVERNED_BY_PUBLIC_ID = concat!(select_governed!(), " WHERE o.public_id = $1 AND NOT o.is_platform");
    APPROVE_ORGANIZATION = "UPDATE organizations SET status = 'active', tier_id = $1, approved_by = $2, \
        approved_at = $3, updated_at = $3 WHERE id = $4";
    REJECT_ORGANIZATION = "UPDATE organizations SET status = 'rejected', rejection_reason = $1, rejected_by = $2, \
        rejected_at = $3, updated_at = $3 WHERE id = $4";
    SET_ORGANIZATION_STATUS = "UPDATE organizations SET status = $1, updated_at = $2 WHERE id = $3";
    SET_ORGANIZATION_TIER = "UPDATE organizations SET tier_id = $1, max_services = $2, max_users = $3, \
        updated_at = $4 WHERE id = $5";
    END_SESSIONS_OF_ORGANIZATION = "UPDATE sessions SET ended_at = $1, ended_reason = 'organization_suspended' \
        WHERE org_id = $2 AND ended_at IS NULL AND expires_at > $1";
    DENY_DEVICE_CODES_OF_ORGANIZATION = "UPDATE device_codes SET status = 'denied' \
        WHERE org_id = $1 AND status IN ('pending', 'approved') AND expires_at > $2";
    EXPIRE_CODES_OF_ORGANIZATION = "UPDATE authorization_codes SET expires_at = 0 \
        WHERE org_id = $1 AND redeemed_at IS NULL AND expires_at > $2";
    CANCEL_INVITATIONS_OF_ORGANIZATION = "UPDATE invitations SET status = 'cancelled', decided_at = $1 \
        WHERE org_id = $2 AND status = 'pending' AND expires_at > $1";
}

/// Every tier, the cheapest first.
#[derive(Debug, Clone, Copy)]
pub struct Tiers;

impl ReadOp for Tiers {
    type Output = Vec<Tier>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.all(TIERS, values![], |row| Tier::from_columns(row, 0))
    }
}

/// An organization as platform owners see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GovernedOrganization {
    /// The organization.
    pub organization: Organization,
    /// Its tier.
    pub tier: Tier,
    /// Its owner; none while nobody claimed it.
    pub owner: Option<User>,
    /// Services allowed in place of what the tier allows.
    pub own_max_services: Option<i64>,
    /// Members allowed in place of what the tier allows.
    pub own_max_users: Option<i64>,
}

impl GovernedOrganization {
    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        let organization = Organization::from_row(row)?;
        let owner = organization.owner_user_id.is_some().then(|| User::from_columns(row, 25)).transpose()?;
        Ok(Self {
            organization,
            tier: Tier::from_columns(row, 16)?,
            owner,
            own_max_services: row.get(30)?,
            own_max_users: row.get(31)?,
        })
    }
}

/// All organizations but the platform's own, newest first.
#[derive(Debug, Clone)]
pub struct GovernedOrganizations {
    /// Only those of this status.
    pub status: Option<String>,
    /// Only those on this tier.
    pub tier_id: Option<String>,
    /// Only those with this text in name, slug or the owner's address, in either case of ASCII.
    pub search: Option<String>,
    /// The most to return.
    pub limit: i64,
    /// How many to skip.
    pub offset: i64,
}

impl ReadOp for GovernedOrganizations {
    /// A page, and how many there are on all pages.
    type Output = (Vec<GovernedOrganization>, i64);
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let pattern = self.search.as_deref().map(contains);
        let values = values![PLATFORM_ORG_ID, &self.status, &self.tier_id, &pattern, self.limit, self.offset];
        let found = tx.all(GOVERNED_ORGANIZATIONS, values, GovernedOrganization::from_row)?;
        let values = values![PLATFORM_ORG_ID, &self.status, &self.tier_id, &pattern];
        let total = tx.one(COUNT_GOVERNED_ORGANIZATIONS, values, |row| row.get(0))?;
        Ok((found, total))
    }
}

/// What platform owners may do to an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Let a pending one in, on this tier or on the one it has.
    Approve {
        /// The tier.
        tier_id: Option<String>,
    },
    /// Turn a pending one away, for good.
    Reject {
        /// What the organization is told.
        reason: String,
    },
    /// Lock an active one out.
    Suspend {
        /// For the audit log.
        reason: Option<String>,
    },
    /// Let a suspended one in again. Nothing that the suspension ended comes back.
    Activate,
    /// Put one in any state on a tier.
    SetTier {
        /// The tier.
        tier_id: String,
        /// Services allowed.
        max_services: Limit,
        /// Members allowed.
        max_users: Limit,
    },
}

/// What becomes of an organization's own limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// It stays.
    Unchanged,
    /// The tier's counts again.
    OfTier,
    /// This many.
    Own(i64),
}

impl Limit {
    fn applied_to(self, own: Option<i64>) -> Option<i64> {
        match self {
            Self::Unchanged => own,
            Self::OfTier => None,
            Self::Own(limit) => Some(limit),
        }
    }
}

impl Decision {
    /// The one state in which the decision can be made; none means any.
    fn required_state(&self) -> Option<&'static str> {
        match self {
            Self::Approve { .. } | Self::Reject { .. } => Some("pending"),
            Self::Suspend { .. } => Some("active"),
            Self::Activate => Some("suspended"),
            Self::SetTier { .. } => None,
        }
    }

    fn action(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "organization.approved",
            Self::Reject { .. } => "organization.rejected",
            Self::Suspend { .. } => "organization.suspended",
            Self::Activate => "organization.activated",
            Self::SetTier { .. } => "organization.tier_changed",
        }
    }

    fn tier_id(&self) -> Option<&str> {
        match self {
            Self::Approve { tier_id } => tier_id.as_deref(),
            Self::SetTier { tier_id, .. } => Some(tier_id),
            Self::Reject { .. } | Self::Suspend { .. } | Self::Activate => None,
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Reject { reason } => Some(reason),
            Self::Suspend { reason } => reason.as_deref(),
            Self::Approve { .. } | Self::Activate | Self::SetTier { .. } => None,
        }
    }
}

/// Makes a decision about an organization.
#[derive(Debug, Clone)]
pub struct Decide {
    /// Slug or public id of the organization.
    pub reference: String,
    /// What to do.
    pub decision: Decision,
    /// Row id of the platform owner.
    pub decided_by: i64,
    /// Who, from where: for the platform's chain.
    pub audit: AuditContext,
    /// The same with an id of its own, for the organization's chain: its administrators see what happened to it.
    pub audit_of_organization: AuditContext,
}

/// What a suspension ended, all in its own transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// Sessions that were alive.
    pub sessions: usize,
    /// Device codes that were pending or approved.
    pub device_codes: usize,
    /// Authorization codes that were not redeemed.
    pub authorization_codes: usize,
    /// Invitations that were pending.
    pub invitations: usize,
    /// What users had granted at providers.
    pub provider_grants: usize,
}

/// A decision that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The organization after it.
    pub organization: GovernedOrganization,
    /// What a suspension ended.
    pub revoked: Option<Revoked>,
}

/// Why a decision was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionRefusal {
    /// Whoever decides is no platform owner any more.
    NoPlatformOwner,
    /// There is no such organization.
    NoOrganization,
    /// There is no such tier.
    NoTier,
    /// The organization's status does not allow it.
    WrongState(String),
}

impl WriteOp for Decide {
    type Output = Decided;
    type Refused = DecisionRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Decided, OpError<DecisionRefusal>> {
        let refused = |refusal| Err(OpError::Refused(refusal));
        // Looked at here once more: another owner may have demoted this one since the request came in.
        if !is_platform_owner(tx, self.decided_by)? {
            return refused(DecisionRefusal::NoPlatformOwner);
        }
        let Some(before) = self.organization(tx)? else { return refused(DecisionRefusal::NoOrganization) };
        if let Some(tier_id) = self.decision.tier_id()
            && tx.optional(TIER_EXISTS, values![tier_id], |_| Ok(()))?.is_none()
        {
            return refused(DecisionRefusal::NoTier);
        }
        let status = &before.organization.status;
        if self.decision.required_state().is_some_and(|state| state != status) {
            return refused(DecisionRefusal::WrongState(status.clone()));
        }
        let revoked = self.change(tx, &before)?;
        let after = self
            .organization(tx)?
            .ok_or_else(|| StoreError::Failed("the organization of a decision is gone".to_owned()))?;
        self.note(tx, &before, &after, revoked)?;
        Ok(Decided { organization: after, revoked })
    }
}

impl Decide {
    fn organization(&self, tx: &mut WriteTx<'_>) -> Result<Option<GovernedOrganization>, StoreError> {
        let statement = if is_public_id(&self.reference) { GOVERNED_BY_PUBLIC_ID } else { GOVERNED_BY_SLUG };
        tx.optional(statement, values![&self.reference], GovernedOrganization::from_row)
    }

    fn change(
        &self,
        tx: &mut WriteTx<'_>,
        before: &GovernedOrganization,
    ) -> Result<Option<Revoked>, StoreError> {
        let (org_id, now) = (before.organization.id, self.audit.now);
        match &self.decision {
            Decision::Approve { tier_id } => {
                let tier_id = tier_id.as_deref().unwrap_or(&before.organization.tier_id);
                tx.execute(APPROVE_ORGANIZATION, values![tier_id, self.decided_by, now, org_id])?;
            }
            Decision::Reject { reason } => {
                tx.execute(REJECT_ORGANIZATION, values![reason, self.decided_by, now, org_id])?;
            }
            Decision::Suspend { .. } => {
                tx.execute(SET_ORGANIZATION_STATUS, values!["suspended", now, org_id])?;
                return revoke(tx, org_id, now).map(Some);
            }
            Decision::Activate => {
                tx.execute(SET_ORGANIZATION_STATUS, values!["active", now, org_id])?;
            }
            Decision::SetTier { tier_id, max_services, max_users } => {
                let max_services = max_services.applied_to(before.own_max_services);
                let max_users = max_users.applied_to(before.own_max_users);
                tx.execute(SET_ORGANIZATION_TIER, values![tier_id, max_services, max_users, now, org_id])?;
            }
        }
        Ok(None)
    }

    /// One entry in the platform's chain, one in the organization's.
    fn note(
        &self,
        tx: &mut WriteTx<'_>,
        before: &GovernedOrganization,
        after: &GovernedOrganization,
        revoked: Option<Revoked>,
    ) -> Result<(), StoreError> {
        let mut metadata = Map::new();
        metadata.insert("before".to_owned(), state_of(before));
        metadata.insert("after".to_owned(), state_of(after));
        if let Some(reason) = self.decision.reason() {
            metadata.insert("reason".to_owned(), json!(reason));
        }
        if let Some(revoked) = revoked {
            let counts = json!({
                "sessions": revoked.sessions,
                "device_codes": revoked.device_codes,
                "authorization_codes": revoked.authorization_codes,
                "invitations": revoked.invitations,
                "provider_grants": revoked.provider_grants,
            });
            metadata.insert("revoked".to_owned(), counts);
        }
        let Organization { id, public_id, .. } = &before.organization;
        for (context, org_id) in [(&self.audit, PLATFORM_ORG_ID), (&self.audit_of_organization, *id)] {
            let happened = Happened {
                org_id,
                action: self.decision.action(),
                target: ("organization", public_id),
                metadata: Json::Object(metadata.clone()),
            };
            audit::append(tx, context, &happened)?;
        }
        Ok(())
    }
}

fn state_of(governed: &GovernedOrganization) -> Json {
    json!({
        "status": governed.organization.status,
        "tier_id": governed.organization.tier_id,
        "max_services": governed.own_max_services,
        "max_users": governed.own_max_users,
    })
}

/// Ends whatever could outlive a suspension. What is gone stays gone: activation brings none of it back.
fn revoke(tx: &mut WriteTx<'_>, org_id: i64, now: Millis) -> Result<Revoked, StoreError> {
    browser_sessions::end_all_of_organization(tx, org_id, "organization_suspended", now)?;
    Ok(Revoked {
        sessions: tx.execute(END_SESSIONS_OF_ORGANIZATION, values![now, org_id])?,
        device_codes: tx.execute(DENY_DEVICE_CODES_OF_ORGANIZATION, values![org_id, now])?,
        authorization_codes: tx.execute(EXPIRE_CODES_OF_ORGANIZATION, values![org_id, now])?,
        invitations: tx.execute(CANCEL_INVITATIONS_OF_ORGANIZATION, values![now, org_id])?,
        provider_grants: provider_grants::forget(tx, Whose::Organization(org_id), now)?,
    })
}
