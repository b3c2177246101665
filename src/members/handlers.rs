//! From a request to an answer.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::members::{
    Acting, ChangeRole, Heir, MemberRefusal, Members, RemoveMember, TransferOwnership,
};
use gatehouse_actors::data::memberships::Role;
use gatehouse_actors::error::OpError;

use super::view;
use crate::error::{Code, Error};
use crate::http::caller::Call;
use crate::http::email;
use crate::http::fields::Fields;
use crate::http::input::Query;
use crate::http::management::{AnyMember, OnlyOwner, OrganizationCaller, audit_context};
use crate::http::page::Page;
use crate::state::App;

const ROLES: &str = "must be owner, admin or member";

fn acting<R>(caller: &OrganizationCaller<R>) -> Acting {
    Acting { org_id: caller.organization.id, user_id: caller.subject.user_id }
}

fn refused(error: OpError<MemberRefusal>) -> Error {
    Error::from_op(error, |refusal| match refusal {
        MemberRefusal::NotAllowed => {
            Error::new(Code::Forbidden, "Your role in the organization does not allow this.")
        }
        MemberRefusal::NoSuchMember => Error::new(Code::NotFound, "There is no such member."),
        MemberRefusal::OwnerStays => {
            Error::bad_request("An organization always has an owner. Hand over ownership first.")
        }
        MemberRefusal::AlreadyOwner => Error::bad_request("This member owns the organization already."),
    })
}

/// `GET /api/organizations/{org}/members`
pub async fn list(
    app: Data<App>,
    call: Call<OrganizationCaller<AnyMember>, Query>,
) -> Result<HttpResponse, Error> {
    let Call { caller, input: Query(params) } = call;
    let Page { limit, offset, .. } = Page::parse(&params)?;
    let role = match params.get("role") {
        Some(text) => {
            Some(Role::parse(text).ok_or_else(|| Error::invalid("role", format!("role {ROLES}.")))?)
        }
        None => None,
    };
    let page = app.store.read(Members { org_id: caller.organization.id, role, limit, offset }).await?;
    Ok(HttpResponse::Ok().json(view::page(page)))
}

/// `PATCH /api/organizations/{org}/members/{user_id}`
pub async fn change_role(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: Call<OrganizationCaller<OnlyOwner>, Fields>,
) -> Result<HttpResponse, Error> {
    let Call { caller, input: mut fields } = call;
    let role = Role::parse(&fields.required_text("role", 20));
    if role.is_none() {
        fields.reject("role", ROLES);
    }
    fields.finish()?;
    let change = ChangeRole {
        acting: acting(&caller),
        user_public_id: path.into_inner().1,
        role: role.unwrap_or(Role::Member),
        audit: audit_context(&app, &request, Some(&caller.subject)),
    };
    let member = app.store.write(change).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(view::member(member)))
}

/// `POST` and `DELETE /api/organizations/{org}/members/{user_id}`
pub async fn remove(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: Call<OrganizationCaller<AnyMember>>,
) -> Result<HttpResponse, Error> {
    let remove = RemoveMember {
        acting: acting(&call.caller),
        user_public_id: path.into_inner().1,
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    app.store.write(remove).await.map_err(refused)?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /api/organizations/{org}/transfer-ownership`
pub async fn transfer(
    app: Data<App>,
    request: HttpRequest,
    call: Call<OrganizationCaller<OnlyOwner>, Fields>,
) -> Result<HttpResponse, Error> {
    let Call { caller, input: mut fields } = call;
    let heir = heir(&mut fields);
    fields.finish()?;
    let Some(heir) = heir else { return Err(Error::bad_request("Name the new owner.")) };
    let audit = audit_context(&app, &request, Some(&caller.subject));
    let transfer = TransferOwnership { acting: acting(&caller), heir, audit };
    let member = app.store.write(transfer).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(view::member(member)))
}

/// By user or by address, not both: they might not be the same person.
fn heir(fields: &mut Fields) -> Option<Heir> {
    let user_id = fields.text("new_owner_user_id", 36);
    let text = fields.text("new_owner_email", 254);
    match (user_id, text) {
        (Some(user_id), None) => Some(Heir::UserPublicId(user_id)),
        (None, Some(text)) => {
            let address = email::normalize(&text);
            if address.is_none() {
                fields.reject("new_owner_email", "must be an e-mail address");
            }
            address.map(Heir::Email)
        }
        (None, None) => {
            fields.reject("new_owner_user_id", "or new_owner_email is needed");
            None
        }
        (Some(_), Some(_)) => {
            fields.reject("new_owner_email", "must not be sent together with new_owner_user_id");
            None
        }
    }
}
