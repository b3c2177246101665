//! What the caller allowed third-party services.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::consents::{Consent, ConsentsOf, NoSuchConsent, WithdrawConsent};
use serde_json::{Value, json};

use crate::error::{Code, Error};
use crate::http::caller::{Call, SignedIn};
use crate::http::management::audit_context;
use crate::state::{App, rfc3339};

type Answer = Result<HttpResponse, Error>;

/// `GET /api/user/consents`
pub async fn list(app: Data<App>, call: Call<SignedIn>) -> Answer {
    let consents = app.store.read(ConsentsOf { user_id: call.caller.subject.user_id }).await?;
    Ok(HttpResponse::Ok().json(consents.iter().map(view).collect::<Vec<_>>()))
}

fn view(consent: &Consent) -> Value {
    json!({
        "service_id": consent.service_public_id,
        "service": consent.service_slug,
        "service_name": consent.service_name,
        "client_id": consent.client_id,
        "scope": consent.scope,
        "created_at": rfc3339(consent.created_at),
        "updated_at": rfc3339(consent.updated_at),
    })
}

/// `DELETE /api/user/consents/{service_id}`
pub async fn withdraw(
    app: Data<App>,
    request: HttpRequest,
    path: Path<String>,
    call: Call<SignedIn>,
) -> Answer {
    let subject = call.caller.subject;
    let withdraw = WithdrawConsent {
        org_id: subject.org_id,
        user_id: subject.user_id,
        service_public_id: path.into_inner(),
        audit: audit_context(&app, &request, Some(&subject)),
    };
    app.store.write(withdraw).await.map_err(|error| {
        Error::from_op(error, |NoSuchConsent| {
            Error::new(Code::NotFound, "You allowed this service nothing that could be taken back.")
        })
    })?;
    Ok(HttpResponse::NoContent().finish())
}
