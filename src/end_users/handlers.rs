//! From a request to an answer.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::end_users::{
    EndUserByPublicId, EndUsers, EraseUser, NoSuchUser, RevokeUserSessions,
};

use super::view;
use crate::error::{Code, Error};
use crate::http::caller::Call;
use crate::http::input::{Params, Query};
use crate::http::management::{
    Active, AnyMember, AtLeastAdmin, OnlyOwner, OrganizationCaller, audit_context,
};
use crate::http::page::Page;
use crate::state::App;

/// The longest address that can be looked for, in bytes.
const SEARCH_LENGTH: usize = 254;

fn no_such_user() -> Error {
    Error::new(Code::NotFound, "The organization has no such user.")
}

/// `GET /api/organizations/{org}/users`
pub async fn list(
    app: Data<App>,
    call: Call<OrganizationCaller<AnyMember, Active>, Query>,
) -> Result<HttpResponse, Error> {
    let Call { caller, input: Query(params) } = call;
    let page = Page::parse(&params)?;
    let question = EndUsers {
        org_id: caller.organization.id,
        email: filter(&params, "email")?,
        service_slug: filter(&params, "service_slug")?,
        limit: page.limit,
        offset: page.offset,
        now: app.clock.now(),
    };
    let found = app.store.read(question).await?;
    Ok(HttpResponse::Ok().json(view::page(found, page)))
}

fn filter(params: &Params, name: &'static str) -> Result<Option<String>, Error> {
    match params.get(name) {
        Some(text) if text.len() > SEARCH_LENGTH || text.chars().any(char::is_control) => {
            Err(Error::invalid(name, format!("{name} must be at most {SEARCH_LENGTH} characters of text.")))
        }
        text => Ok(text.map(ToOwned::to_owned)),
    }
}

/// `GET /api/organizations/{org}/users/{id}`
pub async fn show(
    app: Data<App>,
    path: Path<(String, String)>,
    call: Call<OrganizationCaller<AnyMember>>,
) -> Result<HttpResponse, Error> {
    let question = EndUserByPublicId {
        org_id: call.caller.organization.id,
        public_id: path.into_inner().1,
        now: app.clock.now(),
    };
    let found = app.store.read(question).await?.ok_or_else(no_such_user)?;
    Ok(HttpResponse::Ok().json(view::end_user(found)))
}

/// `DELETE /api/organizations/{org}/users/{id}/sessions`
pub async fn sign_out(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: Call<OrganizationCaller<AtLeastAdmin>>,
) -> Result<HttpResponse, Error> {
    let revoke = RevokeUserSessions {
        org_id: call.caller.organization.id,
        user_public_id: path.into_inner().1,
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    let count =
        app.store.write(revoke).await.map_err(|error| Error::from_op(error, |NoSuchUser| no_such_user()))?;
    Ok(HttpResponse::Ok().json(view::revoked(count)))
}

/// `DELETE /api/organizations/{org}/users/{id}`
pub async fn erase(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: Call<OrganizationCaller<OnlyOwner>>,
) -> Result<HttpResponse, Error> {
    let erase = EraseUser {
        org_id: call.caller.organization.id,
        user_public_id: path.into_inner().1,
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    app.store.write(erase).await.map_err(|error| Error::from_op(error, |NoSuchUser| no_such_user()))?;
    Ok(HttpResponse::NoContent().finish())
}
