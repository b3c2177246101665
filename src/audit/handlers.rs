//! From a request to an answer.

use actix_web::HttpResponse;
use actix_web::web::Data;
use gatehouse_actors::data::audit_log::AuditEntries;

use super::{rules, view};
use crate::error::Error;
use crate::http::caller::Call;
use crate::http::input::{Params, Query};
use crate::http::management::{AtLeastAdmin, OrganizationCaller, PlatformOwner};
use crate::http::page::Page;
use crate::state::App;

/// `GET /api/platform/audit-log`
pub async fn of_platform(app: Data<App>, call: Call<PlatformOwner, Query>) -> Result<HttpResponse, Error> {
    entries(&app, &call.input.0, None).await
}

/// `GET /api/organizations/{org}/audit-log`
pub async fn of_organization(
    app: Data<App>,
    call: Call<OrganizationCaller<AtLeastAdmin>, Query>,
) -> Result<HttpResponse, Error> {
    entries(&app, &call.input.0, Some(call.caller.organization.id)).await
}

async fn entries(app: &App, params: &Params, org_id: Option<i64>) -> Result<HttpResponse, Error> {
    let Page { limit, offset, .. } = Page::parse(params)?;
    let question = AuditEntries { org_id, filter: rules::filter(params)?, limit, offset };
    Ok(HttpResponse::Ok().json(view::log(app.store.read(question).await?)?))
}
