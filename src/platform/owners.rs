//! Platform owners, from a request to an answer.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::platform_owners::{
    AppointPlatformOwner, DemotePlatformOwner, OwnerRefusal, PlatformUser,
};

use super::view;
use crate::error::{Code, Error};
use crate::http::caller::Call;
use crate::http::email;
use crate::http::fields::Fields;
use crate::http::management::{PlatformOwner, audit_context};
use crate::state::App;

/// `POST /api/platform/owners`: 201 for a new owner, 200 for somebody who is one already.
pub async fn appoint(
    app: Data<App>,
    request: HttpRequest,
    call: Call<PlatformOwner, Fields>,
) -> Result<HttpResponse, Error> {
    let Call { caller: PlatformOwner { subject }, input: mut fields } = call;
    let user = named(&mut fields);
    fields.finish()?;
    let audit = audit_context(&app, &request, Some(&subject));
    let appoint = AppointPlatformOwner { user, appointed_by: subject.user_id, audit };
    let appointed = app.store.write(appoint).await.map_err(|error| Error::from_op(error, refused))?;
    let body = view::owner(appointed.user);
    Ok(if appointed.is_new { HttpResponse::Created().json(body) } else { HttpResponse::Ok().json(body) })
}

fn named(fields: &mut Fields) -> PlatformUser {
    match (fields.text("user_id", 36), fields.text("email", 254)) {
        (Some(public_id), None) => PlatformUser::PublicId(public_id),
        (None, Some(text)) => {
            let address = email::normalize(&text).unwrap_or_default();
            if address.is_empty() {
                fields.reject("email", "must be an e-mail address");
            }
            PlatformUser::Email(address)
        }
        _ => {
            fields.reject("user_id", "or email must be given, one of the two");
            PlatformUser::PublicId(String::new())
        }
    }
}

/// `DELETE /api/platform/owners/{user_id}`
pub async fn demote(
    app: Data<App>,
    request: HttpRequest,
    path: Path<String>,
    call: Call<PlatformOwner>,
) -> Result<HttpResponse, Error> {
    let subject = call.caller.subject;
    let audit = audit_context(&app, &request, Some(&subject));
    let demote =
        DemotePlatformOwner { user_public_id: path.into_inner(), demoted_by: subject.user_id, audit };
    app.store.write(demote).await.map_err(|error| Error::from_op(error, refused))?;
    Ok(HttpResponse::NoContent().finish())
}

fn refused(refusal: OwnerRefusal) -> Error {
    match refusal {
        OwnerRefusal::NoPlatformOwner => Error::new(Code::Forbidden, "Only platform owners may do this."),
        OwnerRefusal::NoSuchUser => {
            Error::new(Code::NotFound, "There is no such user among the administrators or owners.")
        }
        OwnerRefusal::Oneself => Error::bad_request("Nobody demotes themselves. Ask another platform owner."),
        OwnerRefusal::LastOwner => Error::bad_request("The last platform owner stays one."),
    }
}
