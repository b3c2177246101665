//! Who administers an organization.

use crate::clock::Millis;
use crate::engine::{ReadTx, Row};
use crate::error::StoreError;
use crate::message::ReadOp;
use crate::{statements, values};

statements! {
    ORGANIZATION_FOR_CALLER_BY_SLUG = "SELECT o.id, o.public_id, o.slug, o.name, w.public_id, o.status, o.tier_id, \
        COALESCE(o.max_services, t.default_max_services), COALESCE(o.max_users, t.default_max_users), a.public_id, \
        o.approved_at, r.public_id, o.rejected_at, o.rejection_reason, o.created_at, o.updated_at, m.role \
        FROM organizations o JOIN tiers t ON t.id = o.tier_id \
        LEFT JOIN memberships m ON m.org_id = o.id AND m.user_id = $1 \
        LEFT JOIN memberships owner ON owner.org_id = o.id AND owner.role = 'owner' \
        LEFT JOIN users w ON w.id = owner.user_id LEFT JOIN users a ON a.id = o.approved_by \
        LEFT JOIN users r ON r.id = o.rejected_by WHERE o.slug = $2 AND NOT o.is_platform";
    ORGANIZATION_FOR_CALLER_BY_PUBLIC_ID = "SELECT o.id, o.public_id, o.slug, o.name, w.public_id, o.status, \
        o.tier_id, COALESCE(o.max_services, t.default_max_services), COALESCE(o.max_users, t.default_max_users), \
        a.public_id, o.approved_at, r.public_id, o.rejected_at, o.rejection_reason, o.created_at, o.updated_at, m.role \
        FROM organizations o JOIN tiers t ON t.id = o.tier_id \
        LEFT JOIN memberships m ON m.org_id = o.id AND m.user_id = $1 \
        LEFT JOIN memberships owner ON owner.org_id = o.id AND owner.role = 'owner' \
        LEFT JOIN users w ON w.id = owner.user_id LEFT JOIN users a ON a.id = o.approved_by \
        LEFT JOIN users r ON r.id = o.rejected_by WHERE o.public_id = $2 AND NOT o.is_platform";
}

/// A role in an organization. Ordered: each may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
    Member,
    /// Manages.
    Admin,
    /// Decides. Exactly one per organization.
    Owner,
}

impl Role {
    /// The word in the database and in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Member, Self::Admin, Self::Owner].into_iter().find(|role| role.as_str() == text)
    }

    /// Reads the column of a row.
    pub(crate) fn from_column(text: &str) -> Result<Self, StoreError> {
        Self::parse(text).ok_or_else(|| StoreError::Inconsistent {
            table: "memberships",
            column: "role",
            found: text.to_owned(),
        })
    }
}

/// An organization with its limits worked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Row id.
    pub id: i64,
    /// UUID for the outside.
    pub public_id: String,
    /// Name in URLs.
    pub slug: String,
    /// Name on pages.
    pub name: String,
    /// Public id of the owner; none while nobody claimed it.
    pub owner_user_id: Option<String>,
    /// `pending`, `active`, `suspended` or `rejected`.
    pub status: String,
    /// The tier.
    pub tier_id: String,
    /// Services allowed: the override, else the tier's; none means unlimited.
    pub max_services: Option<i64>,
    /// Members allowed: the override, else the tier's; none means unlimited.
    pub max_users: Option<i64>,
    /// Public id of the platform owner who approved it.
    pub approved_by: Option<String>,
    /// When.
    pub approved_at: Option<Millis>,
    /// Public id of the platform owner who rejected it.
    pub rejected_by: Option<String>,
    /// When.
    pub rejected_at: Option<Millis>,
    /// Why.
    pub rejection_reason: Option<String>,
    /// When it was registered.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

impl Organization {
    /// Reads the first sixteen columns of a row, in the order of the fields.
    pub(crate) fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            public_id: row.get(1)?,
            slug: row.get(2)?,
            name: row.get(3)?,
            owner_user_id: row.get(4)?,
            status: row.get(5)?,
            tier_id: row.get(6)?,
            max_services: row.get(7)?,
            max_users: row.get(8)?,
            approved_by: row.get(9)?,
            approved_at: row.get(10)?,
            rejected_by: row.get(11)?,
            rejected_at: row.get(12)?,
            rejection_reason: row.get(13)?,
            created_at: row.get(14)?,
            updated_at: row.get(15)?,
        })
    }
}

/// Whether a path names an organization by its public id, not by its slug: a slug never has this shape.
pub(crate) fn is_public_id(reference: &str) -> bool {
    reference.len() == 36 && reference.matches('-').count() == 4
}

/// The organization that a path names, and what the caller is in it.
#[derive(Debug, Clone)]
pub struct OrganizationForCaller {
    /// Slug or public id. A slug is never a UUID: it is shorter or has no such shape.
    pub reference: String,
    /// Row id of the calling user.
    pub user_id: i64,
}

impl ReadOp for OrganizationForCaller {
    type Output = Option<(Organization, Option<Role>)>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let statement = if is_public_id(&self.reference) {
            ORGANIZATION_FOR_CALLER_BY_PUBLIC_ID
        } else {
            ORGANIZATION_FOR_CALLER_BY_SLUG
        };
        tx.optional(statement, values![self.user_id, &self.reference], |row| {
            let role = row.get::<Option<String>>(16)?.map(|role| Role::from_column(&role)).transpose()?;
            Ok((Organization::from_row(row)?, role))
        })
    }
}
