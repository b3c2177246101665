//! The signed-in user.
//!
//! ```text
//! GET    /api/user                               -> user
//! PATCH  /api/user                               -> change
//! GET    /api/user/identities                    -> identities::list
//! POST   /api/user/identities/{provider}/link    -> identities::link
//! DELETE /api/user/identities/{provider}         -> identities::unlink
//! ```

pub mod identities;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::own_profile::{ChangeProfile, ProfileRefusal};
use gatehouse_actors::data::sessions::Subject;
use serde::Serialize;

use crate::error::{Code, Error};
use crate::http::caller::{Call, SignedIn};
use crate::http::email;
use crate::http::fields::Fields;
use crate::http::management::audit_context;
use crate::state::{App, rfc3339};

/// The longest name, in characters.
const NAME_LENGTH: usize = 100;

#[derive(Serialize)]
struct User {
    id: String,
    email: Option<String>,
    name: Option<String>,
    avatar_url: Option<String>,
    org: String,
    service: String,
    is_platform_owner: bool,
    created_at: String,
}

/// `GET /api/user`
pub async fn user(call: Call<SignedIn>) -> HttpResponse {
    HttpResponse::Ok().json(view(call.caller.subject))
}

/// `PATCH /api/user`. An address changes only to one that an account of the user at a provider proves.
pub async fn change(
    app: Data<App>,
    request: HttpRequest,
    call: Call<SignedIn, Fields>,
) -> Result<HttpResponse, Error> {
    let Call { caller, input: mut fields } = call;
    let subject = caller.subject;
    let name = fields.has("name").then(|| fields.text("name", NAME_LENGTH));
    let address = address(&mut fields);
    fields.finish()?;
    let change = ChangeProfile {
        org_id: subject.org_id,
        user_id: subject.user_id,
        user_public_id: subject.user_public_id.clone(),
        name,
        email: address,
        audit: audit_context(&app, &request, Some(&subject)),
    };
    let profile = app.store.write(change).await.map_err(|error| Error::from_op(error, refused))?;
    Ok(HttpResponse::Ok().json(view(Subject { name: profile.name, email: profile.email, ..subject })))
}

fn address(fields: &mut Fields) -> Option<String> {
    let sent = fields.value("email")?;
    let normalized = sent.as_str().and_then(email::normalize);
    if normalized.is_none() {
        fields.reject("email", "must be an e-mail address");
    }
    normalized
}

fn refused(refusal: ProfileRefusal) -> Error {
    match refusal {
        ProfileRefusal::Unproven => Error::new(
            Code::Conflict,
            "None of your accounts at providers proves this address. Link one that does, then change it.",
        ),
        ProfileRefusal::InUse => Error::new(
            Code::Conflict,
            "Another account is known by this address. Sign in to that one, or change its address first.",
        ),
    }
}

fn view(subject: Subject) -> User {
    let of_service = |value: String| if subject.is_platform { String::new() } else { value };
    User {
        id: subject.user_public_id,
        email: subject.email,
        name: subject.name,
        avatar_url: subject.avatar_url,
        org: of_service(subject.org_slug),
        service: of_service(subject.service_slug),
        is_platform_owner: subject.is_platform && subject.is_platform_owner,
        created_at: rfc3339(subject.user_created_at),
    }
}
