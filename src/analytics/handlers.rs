//! An organization's sign-ins, from a request to an answer.

use actix_web::HttpResponse;
use actix_web::web::Data;
use gatehouse_actors::data::analytics::{
    LoginTrend, LoginsByProvider, LoginsByService, Outcomes, RecentLogins,
};

use super::view;
use crate::error::Error;
use crate::http::caller::Call;
use crate::http::days;
use crate::http::input::{Params, Query};
use crate::http::management::{AnyMember, OrganizationCaller};
use crate::http::page::number;
use crate::state::App;

/// How many rows a list of the latest or the largest has, when the request does not say.
const DEFAULT_LIMIT: i64 = 10;
const MAX_LIMIT: i64 = 100;

type Answer = Result<HttpResponse, Error>;
type Member = OrganizationCaller<AnyMember>;

/// `GET /api/organizations/{org}/analytics/login-trends`
pub async fn trends(app: Data<App>, call: Call<Member, Query>) -> Answer {
    let days = days::range(&call.input.0, app.clock.now())?;
    let trend = app.store.read(LoginTrend { org_id: call.caller.organization.id, days }).await?;
    Ok(HttpResponse::Ok().json(view::trend(trend)))
}

/// `GET /api/organizations/{org}/analytics/logins-by-service`
pub async fn by_service(app: Data<App>, call: Call<Member, Query>) -> Answer {
    let days = days::range(&call.input.0, app.clock.now())?;
    let services = app.store.read(LoginsByService { org_id: call.caller.organization.id, days }).await?;
    Ok(HttpResponse::Ok().json(view::by_service(services)))
}

/// `GET /api/organizations/{org}/analytics/logins-by-provider`
pub async fn by_provider(app: Data<App>, call: Call<Member, Query>) -> Answer {
    let days = days::range(&call.input.0, app.clock.now())?;
    let providers = app.store.read(LoginsByProvider { org_id: call.caller.organization.id, days }).await?;
    Ok(HttpResponse::Ok().json(view::by_provider(providers)))
}

/// `GET /api/organizations/{org}/analytics/recent-logins`. Sign-ins that made a session, unless `outcome` asks for
/// others.
pub async fn recent(app: Data<App>, call: Call<Member, Query>) -> Answer {
    let Query(params) = call.input;
    let question = RecentLogins {
        org_id: call.caller.organization.id,
        outcomes: outcomes(&params)?,
        limit: limit(&params)?,
    };
    Ok(HttpResponse::Ok().json(view::recent(app.store.read(question).await?)))
}

fn outcomes(params: &Params) -> Result<Outcomes, Error> {
    match params.get("outcome") {
        None | Some("success") => Ok(Outcomes::Success),
        Some("failure") => Ok(Outcomes::Failure),
        Some("all") => Ok(Outcomes::Both),
        Some(_) => Err(Error::invalid("outcome", "outcome must be success, failure or all.")),
    }
}

pub(super) fn limit(params: &Params) -> Result<i64, Error> {
    Ok(number(params, "limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT))
}
