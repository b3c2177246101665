//! The contract's common objects, as several slices show them.

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::members::Member;
use gatehouse_actors::data::memberships::Organization;
use gatehouse_actors::data::organizations::Tier;
use gatehouse_actors::data::users::User;
use serde::Serialize;
use serde_json::Value;

use crate::error::Error;
use crate::state::rfc3339;

/// A user, as others see them.
#[derive(Debug, Serialize)]
pub struct UserBody {
    id: String,
    email: Option<String>,
    name: Option<String>,
    avatar_url: Option<String>,
    created_at: String,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            id: user.public_id,
            email: user.email,
            name: user.name,
            avatar_url: user.avatar_url,
            created_at: rfc3339(user.created_at),
        }
    }
}

/// An organization.
#[derive(Debug, Serialize)]
pub struct OrganizationBody {
    id: String,
    slug: String,
    name: String,
    owner_user_id: Option<String>,
    status: String,
    tier_id: String,
    max_services: Option<i64>,
    max_users: Option<i64>,
    approved_by: Option<String>,
    approved_at: Option<String>,
    rejected_by: Option<String>,
    rejected_at: Option<String>,
    rejection_reason: Option<String>,
    created_at: String,
    updated_at: String,
}

impl From<Organization> for OrganizationBody {
    fn from(organization: Organization) -> Self {
        let moment = |moment: Option<Millis>| moment.map(rfc3339);
        Self {
            id: organization.public_id,
            slug: organization.slug,
            name: organization.name,
            owner_user_id: organization.owner_user_id,
            status: organization.status,
            tier_id: organization.tier_id,
            max_services: organization.max_services,
            max_users: organization.max_users,
            approved_by: organization.approved_by,
            approved_at: moment(organization.approved_at),
            rejected_by: organization.rejected_by,
            rejected_at: moment(organization.rejected_at),
            rejection_reason: organization.rejection_reason,
            created_at: rfc3339(organization.created_at),
            updated_at: rfc3339(organization.updated_at),
        }
    }
}

/// A tier.
#[derive(Debug, Serialize)]
pub struct TierBody {
    id: String,
    name: String,
    display_name: String,
    default_max_services: Option<i64>,
    default_max_users: Option<i64>,
    features: Value,
    price_cents: i64,
    currency: String,
    created_at: String,
}

impl TryFrom<Tier> for TierBody {
    type Error = Error;

    fn try_from(tier: Tier) -> Result<Self, Error> {
        Ok(Self {
            features: serde_json::from_str(&tier.features).map_err(Error::internal)?,
            id: tier.id,
            name: tier.name,
            display_name: tier.display_name,
            default_max_services: tier.default_max_services,
            default_max_users: tier.default_max_users,
            price_cents: tier.price_cents,
            currency: tier.currency,
            created_at: rfc3339(tier.created_at),
        })
    }
}

/// A membership.
#[derive(Debug, Serialize)]
pub struct MembershipBody {
    id: String,
    org_id: String,
    user_id: String,
    role: &'static str,
    created_at: String,
}

impl From<&Member> for MembershipBody {
    fn from(member: &Member) -> Self {
        Self {
            id: member.public_id.clone(),
            org_id: member.org_public_id.clone(),
            user_id: member.user.public_id.clone(),
            role: member.role.as_str(),
            created_at: rfc3339(member.created_at),
        }
    }
}
