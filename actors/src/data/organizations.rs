//! Organizations: registered by anybody, claimed by whoever proves the address, renamed by their administrators.

use serde_json::json;

use super::audit::{self, AuditContext, Happened};
use super::members::{self, Member};
use super::memberships::{Organization, Role};
use super::{growth, json_list, redirect_origins};
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

/// The columns of [`OrganizationOverview`].
macro_rules! overview_columns {
    () => {
        "SELECT o.id, o.public_id, o.slug, o.name, w.public_id, o.status, o.tier_id, \
         COALESCE(o.max_services, t.default_max_services), COALESCE(o.max_users, t.default_max_users), a.public_id, \
         o.approved_at, r.public_id, o.rejected_at, o.rejection_reason, o.created_at, o.updated_at, t.id, t.name, \
         t.display_name, t.default_max_services, t.default_max_users, t.features, t.price_cents, t.currency, \
         t.created_at, (SELECT COUNT(*) FROM memberships c WHERE c.org_id = o.id), \
         (SELECT COUNT(*) FROM services s WHERE s.org_id = o.id AND s.deleted_at IS NULL)"
    };
}

/// What those columns need beside the organization.
macro_rules! overview_joins {
    () => {
        " JOIN tiers t ON t.id = o.tier_id \
         LEFT JOIN memberships owner ON owner.org_id = o.id AND owner.role = 'owner' \
         LEFT JOIN users w ON w.id = owner.user_id LEFT JOIN users a ON a.id = o.approved_by \
         LEFT JOIN users r ON r.id = o.rejected_by "
    };
}

statements! {
    SEED_ORGANIZATION = "INSERT INTO organizations (public_id, slug, name, status, claim_email, created_at, \
        updated_at) VALUES ($1, $2, $3, 'active', $4, $5, $5) ON CONFLICT (slug) DO NOTHING";
    ORGANIZATION_ID_BY_SLUG = "SELECT id FROM organizations WHERE slug = $1";
    // What somebody deleted is not seeded again: its client id stays with its history.
    SEED_SERVICE = "INSERT INTO services (public_id, org_id, slug, name, service_type, client_id, redirect_uris, \
        created_at, updated_at) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $8 \
        WHERE NOT EXISTS (SELECT 1 FROM services WHERE client_id = $6 AND deleted_at IS NOT NULL) \
        ON CONFLICT (org_id, slug) WHERE deleted_at IS NULL DO UPDATE SET redirect_uris = excluded.redirect_uris, \
        updated_at = excluded.updated_at RETURNING id";
    INSERT_DEFAULT_PLAN = "INSERT INTO plans (public_id, service_id, name, features, is_default, created_at) \
        VALUES ($1, $2, 'free', '[]', TRUE, $3) ON CONFLICT (service_id, name) DO NOTHING";
    ANY_ORGANIZATION = "SELECT 1 FROM organizations LIMIT 1";
    REGISTER_ORGANIZATION = "INSERT INTO organizations (public_id, slug, name, status, claim_email, created_at, \
        updated_at) VALUES ($1, $2, $3, 'pending', $4, $5, $5) ON CONFLICT (slug) DO NOTHING RETURNING id";
    CLAIMABLE_ORGANIZATIONS = "SELECT o.id, o.public_id, u.public_id FROM organizations o \
        JOIN users u ON u.id = $1 AND u.email = o.claim_email \
        WHERE o.claim_email = $2 AND o.status <> 'rejected' ORDER BY o.id LIMIT $3";
    END_CLAIM = "UPDATE organizations SET claim_email = NULL, updated_at = $1 WHERE id = $2";
    ORGANIZATION_NAME = "SELECT name, public_id FROM organizations WHERE id = $1";
    RENAME_ORGANIZATION = "UPDATE organizations SET name = $1, updated_at = $2 WHERE id = $3";
    ORGANIZATION_OVERVIEW = concat!(
        overview_columns!(),
        " FROM organizations o",
        overview_joins!(),
        "WHERE o.id = $1 AND NOT o.is_platform"
    );
    ORGANIZATIONS_OF_MEMBER = concat!(
        overview_columns!(),
        " FROM memberships m JOIN organizations o ON o.id = m.org_id",
        overview_joins!(),
        "WHERE m.user_id = $1 AND (CAST($2 AS TEXT) IS NULL OR o.status = $2) ORDER BY m.id LIMIT $3 OFFSET $4"
    );
}

/// How many organizations one sign-in claims at most; the next sign-in claims the next ones.
pub const CLAIMS_PER_SIGN_IN: usize = 8;

/// Does the database answer? For readiness.
#[derive(Debug, Clone, Copy)]
pub struct Ping;

impl ReadOp for Ping {
    type Output = ();

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<(), StoreError> {
        tx.one(ANY_ORGANIZATION, values![], |_| Ok(()))
    }
}

/// A service to seed.
#[derive(Debug, Clone)]
pub struct SeedService {
    /// UUID for the outside, used when the service is new.
    pub public_id: String,
    /// UUID of its default plan.
    pub plan_public_id: String,
    /// Name in URLs.
    pub slug: String,
    /// Name on pages.
    pub name: String,
    /// `web`, `mobile`, `desktop` or `api`.
    pub service_type: &'static str,
    /// RFC 6749 client identifier.
    pub client_id: String,
    /// Replaces what is registered: the port may have changed since the last start.
    pub redirect_uris: Vec<String>,
}

/// Makes sure that an active organization with these services exists. Dev mode only; may run at every start.
#[derive(Debug, Clone)]
pub struct SeedOrganization {
    /// UUID for the outside, used when the organization is new.
    pub public_id: String,
    /// Name in URLs.
    pub slug: String,
    /// Name on pages.
    pub name: String,
    /// Whoever proves this address, normalized, owns it when it is new.
    pub claim_email: Option<String>,
    /// What it offers.
    pub services: Vec<SeedService>,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for SeedOrganization {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        let values = values![&self.public_id, &self.slug, &self.name, &self.claim_email, self.now];
        if tx.execute(SEED_ORGANIZATION, values)? == 1 {
            growth::organization_came(tx, self.now)?;
        }
        let org_id = tx.one(ORGANIZATION_ID_BY_SLUG, values![&self.slug], |row| row.get::<i64>(0))?;
        for service in &self.services {
            let redirect_uris = json_list(&service.redirect_uris);
            let values = values![
                &service.public_id,
                org_id,
                &service.slug,
                &service.name,
                service.service_type,
                &service.client_id,
                &redirect_uris,
                self.now,
            ];
            let Some(service_id) = tx.optional(SEED_SERVICE, values, |row| row.get::<i64>(0))? else {
                continue;
            };
            tx.execute(INSERT_DEFAULT_PLAN, values![&service.plan_public_id, service_id, self.now])?;
            redirect_origins::remember(tx, service_id, &service.redirect_uris)?;
        }
        Ok(())
    }
}

/// What an organization pays for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// `tier_free`, ...
    pub id: String,
    /// `free`, ...
    pub name: String,
    /// Name on pages.
    pub display_name: String,
    /// Services allowed; none means unlimited.
    pub default_max_services: Option<i64>,
    /// Members allowed; none means unlimited.
    pub default_max_users: Option<i64>,
    /// A JSON object.
    pub features: String,
    /// Price in minor units.
    pub price_cents: i64,
    /// ISO 4217 code.
    pub currency: String,
    /// When it was defined.
    pub created_at: Millis,
}

impl Tier {
    /// Reads nine columns of a row, in the order of the fields, from the column `first` on.
    pub(crate) fn from_columns(row: &Row<'_, '_>, first: usize) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(first)?,
            name: row.get(first + 1)?,
            display_name: row.get(first + 2)?,
            default_max_services: row.get(first + 3)?,
            default_max_users: row.get(first + 4)?,
            features: row.get(first + 5)?,
            price_cents: row.get(first + 6)?,
            currency: row.get(first + 7)?,
            created_at: row.get(first + 8)?,
        })
    }
}

/// An organization with its tier and the numbers that its limits are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationOverview {
    /// The organization.
    pub organization: Organization,
    /// Its tier.
    pub tier: Tier,
    /// Members, the owner among them.
    pub membership_count: i64,
    /// Services that are not deleted.
    pub service_count: i64,
}

impl OrganizationOverview {
    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            organization: Organization::from_row(row)?,
            tier: Tier::from_columns(row, 16)?,
            membership_count: row.get(25)?,
            service_count: row.get(26)?,
        })
    }
}

/// The organization in this row.
#[derive(Debug, Clone, Copy)]
pub struct OrganizationById {
    /// Row id.
    pub id: i64,
}

impl ReadOp for OrganizationById {
    type Output = OrganizationOverview;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.one(ORGANIZATION_OVERVIEW, values![self.id], OrganizationOverview::from_row)
    }
}

/// The organizations that a user is a member of, in the order of joining.
#[derive(Debug, Clone)]
pub struct OrganizationsOfMember {
    /// Row id of the user.
    pub user_id: i64,
    /// Only those of this status.
    pub status: Option<String>,
    /// The most to return.
    pub limit: i64,
    /// How many to skip.
    pub offset: i64,
}

impl ReadOp for OrganizationsOfMember {
    type Output = Vec<OrganizationOverview>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let values = values![self.user_id, &self.status, self.limit, self.offset];
        tx.all(ORGANIZATIONS_OF_MEMBER, values, OrganizationOverview::from_row)
    }
}

/// Who will own a new organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstOwner {
    /// A user of the platform realm, at once.
    User {
        /// Row id of the user.
        user_id: i64,
        /// UUID of the membership.
        membership_public_id: String,
    },
    /// Whoever signs in to the platform realm and proves this address, normalized.
    Claimant {
        /// The address.
        email: String,
    },
}

/// Registers an organization. It is pending until a platform owner decides.
#[derive(Debug, Clone)]
pub struct RegisterOrganization {
    /// UUID for the outside.
    pub public_id: String,
    /// Name in URLs.
    pub slug: String,
    /// Name on pages.
    pub name: String,
    /// Who will own it.
    pub owner: FirstOwner,
    /// Who, from where.
    pub audit: AuditContext,
}

/// What a registration made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The organization.
    pub organization: Organization,
    /// Its owner; none until somebody claims it.
    pub owner: Option<Member>,
}

/// Another organization has the slug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlugTaken;

impl WriteOp for RegisterOrganization {
    type Output = Registered;
    type Refused = SlugTaken;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Registered, OpError<SlugTaken>> {
        let now = self.audit.now;
        let claim_email = match &self.owner {
            FirstOwner::Claimant { email } => Some(email.as_str()),
            FirstOwner::User { .. } => None,
        };
        let values = values![&self.public_id, &self.slug, &self.name, claim_email, now];
        let id = tx
            .optional(REGISTER_ORGANIZATION, values, |row| row.get::<i64>(0))?
            .ok_or(OpError::Refused(SlugTaken))?;
        growth::organization_came(tx, now)?;
        let owner = match &self.owner {
            FirstOwner::Claimant { .. } => None,
            FirstOwner::User { user_id, membership_public_id } => {
                Some(members::join(tx, (id, *user_id), (membership_public_id, Role::Owner), now)?)
            }
        };
        let happened = Happened {
            org_id: id,
            action: "organization.created",
            target: ("organization", &self.public_id),
            metadata: json!({ "after": { "slug": self.slug, "name": self.name, "claimed": owner.is_some() } }),
        };
        audit::append(tx, &self.audit, &happened)?;
        let OrganizationOverview { organization, .. } =
            tx.one(ORGANIZATION_OVERVIEW, values![id], OrganizationOverview::from_row)?;
        Ok(Registered { organization, owner })
    }
}

/// What claiming one organization needs that is not in the database yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClaim {
    /// UUID of the owner's membership.
    pub membership_public_id: String,
    /// From where. The actor is whoever signs in.
    pub audit: AuditContext,
}

/// Makes a user who just proved `email` the owner of organizations that wait for that address, oldest first, one per
/// entry of `claims`. Only the account that is known by the address may claim: an address that another account has
/// proves nothing. The owner may give a pending organization back, see [`members::RemoveMember`].
pub(crate) fn claim(
    tx: &mut WriteTx<'_>,
    user_id: i64,
    email: &str,
    claims: &[NewClaim],
) -> Result<(), StoreError> {
    let most = i64::try_from(claims.len()).unwrap_or(i64::MAX);
    let waiting = tx.all(CLAIMABLE_ORGANIZATIONS, values![user_id, email, most], |row| {
        Ok((row.get::<i64>(0)?, row.get::<String>(1)?, row.get::<String>(2)?))
    })?;
    for ((org_id, org_public_id, user_public_id), claim) in waiting.iter().zip(claims) {
        let audit = AuditContext { actor_user_id: Some(user_public_id.clone()), ..claim.audit.clone() };
        tx.execute(END_CLAIM, values![audit.now, *org_id])?;
        members::join(tx, (*org_id, user_id), (&claim.membership_public_id, Role::Owner), audit.now)?;
        let happened = Happened {
            org_id: *org_id,
            action: "organization.claimed",
            target: ("organization", org_public_id),
            metadata: json!({ "after": { "owner_user_id": user_public_id } }),
        };
        audit::append(tx, &audit, &happened)?;
    }
    Ok(())
}

/// Gives an organization another name for people. The slug stays.
#[derive(Debug, Clone)]
pub struct RenameOrganization {
    /// Row id.
    pub id: i64,
    /// The name.
    pub name: String,
    /// Who, from where.
    pub audit: AuditContext,
}

impl WriteOp for RenameOrganization {
    type Output = OrganizationOverview;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<OrganizationOverview, OpError<()>> {
        let (before, public_id) = tx.one(ORGANIZATION_NAME, values![self.id], |row| {
            Ok((row.get::<String>(0)?, row.get::<String>(1)?))
        })?;
        if before != self.name {
            tx.execute(RENAME_ORGANIZATION, values![&self.name, self.audit.now, self.id])?;
            let happened = Happened {
                org_id: self.id,
                action: "organization.renamed",
                target: ("organization", &public_id),
                metadata: json!({ "before": { "name": before }, "after": { "name": self.name } }),
            };
            audit::append(tx, &self.audit, &happened)?;
        }
        Ok(tx.one(ORGANIZATION_OVERVIEW, values![self.id], OrganizationOverview::from_row)?)
    }
}
