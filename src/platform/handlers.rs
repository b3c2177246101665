//! Organizations, from a request to an answer.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::platform::{
    Decide, Decision, DecisionRefusal, GovernedOrganizations, Limit, Tiers,
};

use super::view;
use crate::error::{Code, Error};
use crate::http::caller::Call;
use crate::http::fields::Fields;
use crate::http::input::{Params, Query};
use crate::http::management::{PlatformOwner, audit_context};
use crate::http::objects::TierBody;
use crate::http::page::Page;
use crate::state::App;

const STATUSES: [&str; 4] = ["pending", "active", "suspended", "rejected"];
/// The longest reason, in characters.
const REASON_LENGTH: usize = 500;
/// The longest id of a tier, in characters.
const TIER_LENGTH: usize = 64;
/// The longest text to look for, in characters.
const SEARCH_LENGTH: usize = 254;
/// The largest limit that can be set; no limit at all is what a tier may say.
const LARGEST_LIMIT: i64 = 1_000_000;

type Answer = Result<HttpResponse, Error>;

/// `GET /api/platform/tiers`
pub async fn tiers(app: Data<App>, _call: Call<PlatformOwner>) -> Answer {
    let tiers = app.store.read(Tiers).await?;
    let bodies = tiers.into_iter().map(TierBody::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(HttpResponse::Ok().json(bodies))
}

/// `GET /api/platform/organizations`
pub async fn list(app: Data<App>, call: Call<PlatformOwner, Query>) -> Answer {
    let Query(params) = call.input;
    let page = Page::parse(&params)?;
    let status = filter(&params, "status", TIER_LENGTH)?;
    if status.as_deref().is_some_and(|status| !STATUSES.contains(&status)) {
        return Err(Error::invalid("status", format!("status must be one of {}.", STATUSES.join(", "))));
    }
    let question = GovernedOrganizations {
        status,
        tier_id: filter(&params, "tier_id", TIER_LENGTH)?,
        search: filter(&params, "search", SEARCH_LENGTH)?,
        limit: page.limit,
        offset: page.offset,
    };
    Ok(HttpResponse::Ok().json(view::list(app.store.read(question).await?)?))
}

fn filter(params: &Params, name: &'static str, longest: usize) -> Result<Option<String>, Error> {
    match params.get(name) {
        Some(text) if text.chars().count() > longest || text.chars().any(char::is_control) => {
            Err(Error::invalid(name, format!("{name} must be plain text of at most {longest} characters.")))
        }
        text => Ok(text.map(ToOwned::to_owned)),
    }
}

/// `POST /api/platform/organizations/{id}/approve`
pub async fn approve(app: Data<App>, request: HttpRequest, call: Call<PlatformOwner, Fields>) -> Answer {
    let Call { caller, input: mut fields } = call;
    let tier_id = fields.text("tier_id", TIER_LENGTH);
    fields.finish()?;
    decide(&app, &request, &caller, Decision::Approve { tier_id }).await
}

/// `POST /api/platform/organizations/{id}/reject`
pub async fn reject(app: Data<App>, request: HttpRequest, call: Call<PlatformOwner, Fields>) -> Answer {
    let Call { caller, input: mut fields } = call;
    let reason = fields.required_text("reason", REASON_LENGTH);
    fields.finish()?;
    decide(&app, &request, &caller, Decision::Reject { reason }).await
}

/// `POST /api/platform/organizations/{id}/suspend`
pub async fn suspend(app: Data<App>, request: HttpRequest, call: Call<PlatformOwner, Fields>) -> Answer {
    let Call { caller, input: mut fields } = call;
    let reason = fields.text("reason", REASON_LENGTH);
    fields.finish()?;
    decide(&app, &request, &caller, Decision::Suspend { reason }).await
}

/// `POST /api/platform/organizations/{id}/activate`
pub async fn activate(app: Data<App>, request: HttpRequest, call: Call<PlatformOwner, Fields>) -> Answer {
    decide(&app, &request, &call.caller, Decision::Activate).await
}

/// `PATCH /api/platform/organizations/{id}/tier`. A limit that is left out stays, one that is null goes back to the
/// tier's.
pub async fn set_tier(app: Data<App>, request: HttpRequest, call: Call<PlatformOwner, Fields>) -> Answer {
    let Call { caller, input: mut fields } = call;
    let tier_id = fields.required_text("tier_id", TIER_LENGTH);
    let max_services = limit(&mut fields, "max_services", 0);
    // The owner is a member and takes a place.
    let max_users = limit(&mut fields, "max_users", 1);
    fields.finish()?;
    decide(&app, &request, &caller, Decision::SetTier { tier_id, max_services, max_users }).await
}

fn limit(fields: &mut Fields, name: &'static str, least: i64) -> Limit {
    match fields.integer(name, least..=LARGEST_LIMIT) {
        Some(limit) => Limit::Own(limit),
        None if fields.is_null(name) => Limit::OfTier,
        None => Limit::Unchanged,
    }
}

async fn decide(app: &App, request: &HttpRequest, caller: &PlatformOwner, decision: Decision) -> Answer {
    let decide = Decide {
        reference: request.match_info().get("id").unwrap_or_default().to_owned(),
        decision,
        decided_by: caller.subject.user_id,
        audit: audit_context(app, request, Some(&caller.subject)),
        audit_of_organization: audit_context(app, request, Some(&caller.subject)),
    };
    let decided = app.store.write(decide).await.map_err(|error| {
        Error::from_op(error, |refusal| match refusal {
            DecisionRefusal::NoPlatformOwner => {
                Error::new(Code::Forbidden, "Only platform owners may do this.")
            }
            DecisionRefusal::NoOrganization => Error::new(Code::NotFound, "There is no such organization."),
            DecisionRefusal::NoTier => Error::new(Code::NotFound, "There is no such tier."),
            DecisionRefusal::WrongState(status) => {
                Error::new(Code::Conflict, format!("The organization is {status}: this cannot be done now."))
            }
        })
    })?;
    Ok(HttpResponse::Ok().json(view::decided(decided)?))
}
