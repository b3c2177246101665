//! From a request to an answer.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::organizations::{
    FirstOwner, OrganizationById, OrganizationsOfMember, RegisterOrganization, RenameOrganization, SlugTaken,
};
use gatehouse_actors::data::sessions::Subject;

use super::{rules, view};
use crate::error::{Code, Error};
use crate::http::caller::Call;
use crate::http::email;
use crate::http::fields::Fields;
use crate::http::input::Query;
use crate::http::management::{
    Administrator, AnyMember, AtLeastAdmin, MaybeAdministrator, OrganizationCaller, audit_context,
};
use crate::http::page::Page;
use crate::http::throttle;
use crate::state::App;

/// The longest name, in characters.
const NAME_LENGTH: usize = 100;
const STATUSES: [&str; 4] = ["pending", "active", "suspended", "rejected"];

/// `POST /api/organizations`. The answer is the same whether or not a user has the address.
pub async fn register(
    app: Data<App>,
    request: HttpRequest,
    call: Call<MaybeAdministrator, Fields>,
) -> Result<HttpResponse, Error> {
    let Call { caller: MaybeAdministrator { subject }, input: mut fields } = call;
    let audit = audit_context(&app, &request, subject.as_deref());
    let slug = fields.required_text("slug", 100);
    if !slug.is_empty()
        && let Some(problem) = rules::slug_problem(&slug)
    {
        fields.reject("slug", problem);
    }
    let name = fields.required_text("name", NAME_LENGTH);
    let owner = first_owner(&app, subject.as_deref(), &mut fields);
    fields.finish()?;
    if subject.is_none() {
        pay_for_registration(&app, &request)?;
    }
    let public_id = app.random.uuid(audit.now);
    let register = RegisterOrganization { public_id, slug, name, owner, audit };
    let registered = app.store.write(register).await.map_err(|error| {
        Error::from_op(error, |SlugTaken| Error::new(Code::Conflict, "Another organization has this slug."))
    })?;
    Ok(HttpResponse::Created().json(view::registered(registered)))
}

/// Nobody in particular registers: what they can take is bounded.
fn pay_for_registration(app: &App, request: &HttpRequest) -> Result<(), Error> {
    let paid = app.limits.registrations.pay(throttle::payer(app, request), app.clock.now());
    paid.map_err(throttle::refusal(
        app,
        "registrations",
        "Too many organizations were registered of late. Wait, or sign in and register as yourself.",
    ))
}

fn first_owner(app: &App, subject: Option<&Subject>, fields: &mut Fields) -> FirstOwner {
    if let Some(subject) = subject {
        let membership_public_id = app.random.uuid(app.clock.now());
        return FirstOwner::User { user_id: subject.user_id, membership_public_id };
    }
    let text = fields.required_text("owner_email", 254);
    let address = email::normalize(&text).unwrap_or_default();
    if address.is_empty() && !text.is_empty() {
        fields.reject("owner_email", "must be an e-mail address");
    }
    FirstOwner::Claimant { email: address }
}

/// `GET /api/organizations`: those of the caller.
pub async fn list(app: Data<App>, call: Call<Administrator, Query>) -> Result<HttpResponse, Error> {
    let Call { caller: Administrator { subject }, input: Query(params) } = call;
    let page = Page::parse(&params)?;
    let status = match params.get("status") {
        Some(status) if !STATUSES.contains(&status) => {
            return Err(Error::invalid("status", format!("status must be one of {}.", STATUSES.join(", "))));
        }
        status => status.map(ToOwned::to_owned),
    };
    let question =
        OrganizationsOfMember { user_id: subject.user_id, status, limit: page.limit, offset: page.offset };
    let found = app.store.read(question).await?;
    let bodies = found.into_iter().map(view::overview).collect::<Result<Vec<_>, _>>()?;
    Ok(HttpResponse::Ok().json(bodies))
}

/// `GET /api/organizations/{org}`
pub async fn show(app: Data<App>, call: Call<OrganizationCaller<AnyMember>>) -> Result<HttpResponse, Error> {
    let found = app.store.read(OrganizationById { id: call.caller.organization.id }).await?;
    Ok(HttpResponse::Ok().json(view::overview(found)?))
}

/// `PATCH /api/organizations/{org}`
pub async fn rename(
    app: Data<App>,
    request: HttpRequest,
    call: Call<OrganizationCaller<AtLeastAdmin>, Fields>,
) -> Result<HttpResponse, Error> {
    let Call { caller, input: mut fields } = call;
    let name = fields.required_text("name", NAME_LENGTH);
    fields.finish()?;
    let audit = audit_context(&app, &request, Some(&caller.subject));
    let rename = RenameOrganization { id: caller.organization.id, name, audit };
    let renamed = app
        .store
        .write(rename)
        .await
        .map_err(|error| Error::from_op(error, |()| Error::internal("refused")))?;
    Ok(HttpResponse::Ok().json(view::overview(renamed)?))
}
