//! Bodies of a team.

use gatehouse_actors::data::members::{Member, MemberPage, TeamLimit};
use serde::Serialize;

use crate::http::objects::{MembershipBody, UserBody};
use crate::state::rfc3339;

/// A member, nested and flat: both kinds of client exist.
#[derive(Serialize)]
pub(super) struct MemberBody {
    user_id: String,
    email: Option<String>,
    role: &'static str,
    joined_at: String,
    membership: MembershipBody,
    user: UserBody,
}

pub(super) fn member(member: Member) -> MemberBody {
    MemberBody {
        user_id: member.user.public_id.clone(),
        email: member.user.email.clone(),
        role: member.role.as_str(),
        joined_at: rfc3339(member.created_at),
        membership: MembershipBody::from(&member),
        user: member.user.into(),
    }
}

#[derive(Serialize)]
struct LimitBody {
    current: i64,
    max: Option<i64>,
    source: &'static str,
}

/// A page of a team.
#[derive(Serialize)]
pub(super) struct MembersBody {
    members: Vec<MemberBody>,
    total: i64,
    limit: LimitBody,
}

pub(super) fn page(page: MemberPage) -> MembersBody {
    let TeamLimit { current, max, is_override } = page.limit;
    MembersBody {
        members: page.members.into_iter().map(member).collect(),
        total: page.total,
        limit: LimitBody { current, max, source: if is_override { "override" } else { "tier" } },
    }
}
