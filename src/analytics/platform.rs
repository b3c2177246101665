//! The platform as a whole, from a request to an answer.

use actix_web::HttpResponse;
use actix_web::web::Data;
use gatehouse_actors::data::platform_analytics::{
    CountOrganizations, PlatformOverview, PlatformTrend, RecentOrganizations, TopOrganizations,
};

use super::handlers::limit;
use super::view;
use crate::error::Error;
use crate::http::caller::Call;
use crate::http::days;
use crate::http::input::Query;
use crate::http::management::PlatformOwner;
use crate::state::App;

type Answer = Result<HttpResponse, Error>;

/// `GET /api/platform/analytics/overview`
pub async fn overview(app: Data<App>, _call: Call<PlatformOwner>) -> Answer {
    let overview = app.store.read(PlatformOverview { now: app.clock.now() }).await?;
    Ok(HttpResponse::Ok().json(view::OverviewBody::from(overview)))
}

/// `GET /api/platform/analytics/organization-status`
pub async fn statuses(app: Data<App>, _call: Call<PlatformOwner>) -> Answer {
    let statuses = app.store.read(CountOrganizations).await?;
    Ok(HttpResponse::Ok().json(view::StatusesBody::from(statuses)))
}

/// `GET /api/platform/analytics/growth-trends`
pub async fn growth(app: Data<App>, call: Call<PlatformOwner, Query>) -> Answer {
    let days = days::range(&call.input.0, app.clock.now())?;
    Ok(HttpResponse::Ok().json(view::growth(app.store.read(PlatformTrend { days }).await?)))
}

/// `GET /api/platform/analytics/login-activity`
pub async fn activity(app: Data<App>, call: Call<PlatformOwner, Query>) -> Answer {
    let days = days::range(&call.input.0, app.clock.now())?;
    Ok(HttpResponse::Ok().json(view::activity(app.store.read(PlatformTrend { days }).await?)))
}

/// `GET /api/platform/analytics/top-organizations`
pub async fn top(app: Data<App>, call: Call<PlatformOwner, Query>) -> Answer {
    let question = TopOrganizations { now: app.clock.now(), limit: limit(&call.input.0)? };
    Ok(HttpResponse::Ok().json(view::top(app.store.read(question).await?)))
}

/// `GET /api/platform/analytics/recent-organizations`
pub async fn recent(app: Data<App>, call: Call<PlatformOwner, Query>) -> Answer {
    let question = RecentOrganizations { limit: limit(&call.input.0)? };
    Ok(HttpResponse::Ok().json(view::recent_organizations(app.store.read(question).await?)))
}
