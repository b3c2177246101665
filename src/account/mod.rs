//! The signed-in user.
//!
//! ```text
//! GET    /api/user                               -> user
//! GET    /api/user/identities                    -> identities::list
//! POST   /api/user/identities/{provider}/link    -> identities::link
//! DELETE /api/user/identities/{provider}         -> identities::unlink
//! ```

pub mod identities;

use actix_web::HttpResponse;
use gatehouse_actors::data::sessions::Subject;
use serde::Serialize;

use crate::http::caller::{Call, SignedIn};
use crate::state::rfc3339;

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
