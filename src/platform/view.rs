//! Bodies for platform owners.

use gatehouse_actors::data::platform::{Decided, GovernedOrganization};
use gatehouse_actors::data::users::User;
use serde::Serialize;

use crate::error::Error;
use crate::http::objects::{OrganizationBody, TierBody, UserBody};

/// An organization, flat, with its tier and its owner.
#[derive(Serialize)]
pub(super) struct GovernedBody {
    #[serde(flatten)]
    organization: OrganizationBody,
    tier: TierBody,
    owner: Option<UserBody>,
}

impl TryFrom<GovernedOrganization> for GovernedBody {
    type Error = Error;

    fn try_from(governed: GovernedOrganization) -> Result<Self, Error> {
        Ok(Self {
            organization: governed.organization.into(),
            tier: governed.tier.try_into()?,
            owner: governed.owner.map(UserBody::from),
        })
    }
}

#[derive(Serialize)]
pub(super) struct ListBody {
    organizations: Vec<GovernedBody>,
    total: i64,
}

pub(super) fn list((found, total): (Vec<GovernedOrganization>, i64)) -> Result<ListBody, Error> {
    let organizations = found.into_iter().map(GovernedBody::try_from).collect::<Result<_, _>>()?;
    Ok(ListBody { organizations, total })
}

#[derive(Serialize)]
struct RevokedBody {
    sessions: usize,
    device_codes: usize,
    authorization_codes: usize,
    invitations: usize,
    provider_grants: usize,
}

/// A decision: the organization flat and nested, because both kinds of client exist.
#[derive(Serialize)]
pub(super) struct DecidedBody {
    #[serde(flatten)]
    flat: GovernedBody,
    organization: GovernedBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<RevokedBody>,
}

pub(super) fn decided(decided: Decided) -> Result<DecidedBody, Error> {
    let Decided { organization, revoked } = decided;
    Ok(DecidedBody {
        flat: organization.clone().try_into()?,
        organization: organization.try_into()?,
        revoked: revoked.map(|revoked| RevokedBody {
            sessions: revoked.sessions,
            device_codes: revoked.device_codes,
            authorization_codes: revoked.authorization_codes,
            invitations: revoked.invitations,
            provider_grants: revoked.provider_grants,
        }),
    })
}

/// A platform owner.
#[derive(Serialize)]
pub(super) struct OwnerBody {
    #[serde(flatten)]
    user: UserBody,
    is_platform_owner: bool,
}

pub(super) fn owner(user: User) -> OwnerBody {
    OwnerBody { user: user.into(), is_platform_owner: true }
}
