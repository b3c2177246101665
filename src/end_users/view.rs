//! Bodies of end users.

use gatehouse_actors::data::end_users::{EndUser, EndUserPage, UserIdentity, UserSubscription};
use serde::Serialize;

use crate::http::objects::UserBody;
use crate::http::page::Page;
use crate::state::rfc3339;

#[derive(Serialize)]
struct IdentityBody {
    provider: String,
    issuer: String,
    email: Option<String>,
    created_at: String,
    last_login_at: String,
}

impl From<UserIdentity> for IdentityBody {
    fn from(identity: UserIdentity) -> Self {
        Self {
            provider: identity.provider,
            issuer: identity.issuer,
            email: identity.email,
            created_at: rfc3339(identity.created_at),
            last_login_at: rfc3339(identity.last_login_at),
        }
    }
}

#[derive(Serialize)]
struct SubscriptionBody {
    id: String,
    service_id: String,
    service: String,
    service_name: String,
    plan_id: String,
    plan: String,
    features: Vec<String>,
    status: String,
    current_period_end: Option<String>,
    created_at: String,
}

impl From<UserSubscription> for SubscriptionBody {
    fn from(subscription: UserSubscription) -> Self {
        Self {
            id: subscription.public_id,
            service_id: subscription.service_public_id,
            service: subscription.service_slug,
            service_name: subscription.service_name,
            plan_id: subscription.plan_public_id,
            plan: subscription.plan_name,
            features: subscription.features,
            status: subscription.status,
            current_period_end: subscription.current_period_end.map(rfc3339),
            created_at: rfc3339(subscription.created_at),
        }
    }
}

/// `EndUser` of the contract.
#[derive(Serialize)]
pub(super) struct EndUserBody {
    user: UserBody,
    subscriptions: Vec<SubscriptionBody>,
    identities: Vec<IdentityBody>,
    session_count: i64,
    last_login_at: Option<String>,
}

pub(super) fn end_user(found: EndUser) -> EndUserBody {
    EndUserBody {
        last_login_at: found.last_login_at().map(rfc3339),
        user: found.user.into(),
        subscriptions: found.subscriptions.into_iter().map(SubscriptionBody::from).collect(),
        identities: found.identities.into_iter().map(IdentityBody::from).collect(),
        session_count: found.session_count,
    }
}

/// A page of them.
#[derive(Serialize)]
pub(super) struct EndUsersBody {
    users: Vec<EndUserBody>,
    total: i64,
    page: i64,
    limit: i64,
}

pub(super) fn page(found: EndUserPage, page: Page) -> EndUsersBody {
    EndUsersBody {
        users: found.users.into_iter().map(end_user).collect(),
        total: found.total,
        page: page.number,
        limit: page.limit,
    }
}

/// How many sessions were ended.
#[derive(Serialize)]
pub(super) struct RevokedBody {
    message: String,
    revoked_count: usize,
}

pub(super) fn revoked(count: usize) -> RevokedBody {
    let message = match count {
        1 => "1 session was ended.".to_owned(),
        count => format!("{count} sessions were ended."),
    };
    RevokedBody { message, revoked_count: count }
}
