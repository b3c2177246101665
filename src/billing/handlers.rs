//! Handlers for the users of services.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::sessions::Subject;

use super::view;
use crate::error::{Code, Error};
use crate::http::caller::{Call, Caller, SignedIn};
use crate::state::App;

/// Somebody signed in to a service of an organization. A platform token is for no service.
pub struct ServiceUser {
    /// The session.
    pub subject: Subject,
}

impl Caller for ServiceUser {
    const NAME: &'static str = "ServiceUser";

    async fn identify(request: &HttpRequest) -> Result<Self, Error> {
        let SignedIn { subject } = SignedIn::identify(request).await?;
        if subject.is_platform {
            let message =
                "This token is for the platform. Sign in to a service to see what you bought there.";
            return Err(Error::new(Code::Forbidden, message));
        }
        Ok(Self { subject })
    }
}

/// `GET /api/subscription`
pub async fn subscription(app: Data<App>, call: Call<ServiceUser>) -> HttpResponse {
    HttpResponse::Ok().json(view::subscription(&call.caller.subject, app.clock.now()))
}
