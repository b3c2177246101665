//! Bodies of organizations.

use gatehouse_actors::data::organizations::{OrganizationOverview, Registered};
use serde::Serialize;

use crate::error::Error;
use crate::http::objects::{MembershipBody, OrganizationBody, TierBody, UserBody};

/// `OrgResponse` of the contract.
#[derive(Serialize)]
pub(super) struct OverviewBody {
    organization: OrganizationBody,
    membership_count: i64,
    service_count: i64,
    tier: TierBody,
}

pub(super) fn overview(found: OrganizationOverview) -> Result<OverviewBody, Error> {
    Ok(OverviewBody {
        organization: found.organization.into(),
        membership_count: found.membership_count,
        service_count: found.service_count,
        tier: found.tier.try_into()?,
    })
}

/// The answer to a registration. Owner and membership are null until somebody claims the organization.
#[derive(Serialize)]
pub(super) struct RegisteredBody {
    organization: OrganizationBody,
    owner: Option<UserBody>,
    membership: Option<MembershipBody>,
}

pub(super) fn registered(registered: Registered) -> RegisteredBody {
    RegisteredBody {
        organization: registered.organization.into(),
        membership: registered.owner.as_ref().map(MembershipBody::from),
        owner: registered.owner.map(|member| member.user.into()),
    }
}
