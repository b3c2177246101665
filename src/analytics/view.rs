//! Bodies of analytics.

use gatehouse_actors::data::analytics::{LoginDay, LoginRecord, ProviderLogins, ServiceLogins};
use gatehouse_actors::data::platform_analytics::{
    OrganizationStatuses, Overview, PlatformDay, RecentOrganization, TopOrganization,
};
use serde::Serialize;

use crate::http::days;
use crate::state::rfc3339;

/// A day: how many sign-ins, how many failed, how many distinct users that day and within 30 days.
#[derive(Serialize)]
pub(super) struct TrendBody {
    date: String,
    count: i64,
    failed: i64,
    unique_users: i64,
    active_users_30d: i64,
}

pub(super) fn trend(trend: Vec<LoginDay>) -> Vec<TrendBody> {
    let body = |day: LoginDay| TrendBody {
        date: days::written(day.day),
        count: day.count,
        failed: day.failed,
        unique_users: day.users,
        active_users_30d: day.active_users,
    };
    trend.into_iter().map(body).collect()
}

#[derive(Serialize)]
pub(super) struct ServiceBody {
    service_id: String,
    service_name: String,
    count: i64,
    failed: i64,
}

pub(super) fn by_service(services: Vec<ServiceLogins>) -> Vec<ServiceBody> {
    let body = |service: ServiceLogins| ServiceBody {
        service_id: service.service_public_id,
        service_name: service.service_name,
        count: service.count,
        failed: service.failed,
    };
    services.into_iter().map(body).collect()
}

#[derive(Serialize)]
pub(super) struct ProviderBody {
    provider: String,
    count: i64,
    failed: i64,
}

pub(super) fn by_provider(providers: Vec<ProviderLogins>) -> Vec<ProviderBody> {
    let body = |ProviderLogins { provider, count, failed }| ProviderBody { provider, count, failed };
    providers.into_iter().map(body).collect()
}

/// A sign-in, in lists and in exports alike.
#[derive(Serialize)]
pub(super) struct LoginBody {
    pub(super) id: String,
    pub(super) created_at: String,
    pub(super) outcome: &'static str,
    pub(super) reason: Option<String>,
    pub(super) method: String,
    pub(super) user_id: Option<String>,
    pub(super) email: Option<String>,
    pub(super) service_id: Option<String>,
    pub(super) service_name: Option<String>,
    pub(super) provider: String,
    pub(super) ip_address: String,
    pub(super) user_agent: String,
}

impl From<LoginRecord> for LoginBody {
    fn from(login: LoginRecord) -> Self {
        Self {
            id: login.public_id,
            created_at: rfc3339(login.created_at),
            outcome: if login.reason.is_none() { "success" } else { "failure" },
            reason: login.reason,
            method: login.method,
            user_id: login.user_public_id,
            email: login.email,
            service_id: login.service_public_id,
            service_name: login.service_name,
            provider: login.provider,
            ip_address: login.ip_address,
            user_agent: login.user_agent,
        }
    }
}

pub(super) fn recent(logins: Vec<LoginRecord>) -> Vec<LoginBody> {
    logins.into_iter().map(LoginBody::from).collect()
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names)] // the contract's names
pub(super) struct OverviewBody {
    total_organizations: i64,
    total_users: i64,
    total_end_users: i64,
    total_services: i64,
    total_logins_24h: i64,
    total_logins_30d: i64,
}

impl From<Overview> for OverviewBody {
    fn from(overview: Overview) -> Self {
        Self {
            total_organizations: overview.organizations,
            total_users: overview.users,
            total_end_users: overview.end_users,
            total_services: overview.services,
            total_logins_24h: overview.logins_24h,
            total_logins_30d: overview.logins_30d,
        }
    }
}

#[derive(Serialize)]
pub(super) struct StatusesBody {
    pending: i64,
    active: i64,
    suspended: i64,
    rejected: i64,
}

impl From<OrganizationStatuses> for StatusesBody {
    fn from(OrganizationStatuses { pending, active, suspended, rejected }: OrganizationStatuses) -> Self {
        Self { pending, active, suspended, rejected }
    }
}

#[derive(Serialize)]
pub(super) struct GrowthBody {
    date: String,
    new_organizations: i64,
    new_users: i64,
    new_end_users: i64,
}

pub(super) fn growth(trend: Vec<PlatformDay>) -> Vec<GrowthBody> {
    let body = |day: PlatformDay| GrowthBody {
        date: days::written(day.day),
        new_organizations: day.new_organizations,
        new_users: day.new_users,
        new_end_users: day.new_end_users,
    };
    trend.into_iter().map(body).collect()
}

#[derive(Serialize)]
pub(super) struct ActivityBody {
    date: String,
    count: i64,
    failed: i64,
}

pub(super) fn activity(trend: Vec<PlatformDay>) -> Vec<ActivityBody> {
    let body = |day: PlatformDay| ActivityBody {
        date: days::written(day.day),
        count: day.logins,
        failed: day.failed,
    };
    trend.into_iter().map(body).collect()
}

#[derive(Serialize)]
pub(super) struct TopBody {
    id: String,
    name: String,
    slug: String,
    user_count: i64,
    service_count: i64,
    login_count_30d: i64,
}

pub(super) fn top(organizations: Vec<TopOrganization>) -> Vec<TopBody> {
    let body = |organization: TopOrganization| TopBody {
        id: organization.public_id,
        name: organization.name,
        slug: organization.slug,
        user_count: organization.user_count,
        service_count: organization.service_count,
        login_count_30d: organization.login_count,
    };
    organizations.into_iter().map(body).collect()
}

#[derive(Serialize)]
pub(super) struct RecentOrganizationBody {
    id: String,
    name: String,
    slug: String,
    status: String,
    created_at: String,
}

pub(super) fn recent_organizations(organizations: Vec<RecentOrganization>) -> Vec<RecentOrganizationBody> {
    let body = |organization: RecentOrganization| RecentOrganizationBody {
        id: organization.public_id,
        name: organization.name,
        slug: organization.slug,
        status: organization.status,
        created_at: rfc3339(organization.created_at),
    };
    organizations.into_iter().map(body).collect()
}
