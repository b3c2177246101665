//! Handlers of client secrets.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::client_secrets::{
    RemoveClientSecrets, RotateClientSecret, RotateRefusal, SECRET_GRACE,
};
use gatehouse_actors::data::service_admin::{ServiceReference, UnknownService};
use serde_json::json;

use super::handlers::unknown_service;
use crate::crypto::token::{TokenKind, TokenSecret, compose, sha256};
use crate::error::{Code, Error};
use crate::http::caller::Call;
use crate::http::fields::Fields;
use crate::http::management::{Active, AtLeastAdmin, OrganizationCaller, audit_context};
use crate::state::{App, rfc3339};

type Answer = Result<HttpResponse, Error>;
type Admin = Call<OrganizationCaller<AtLeastAdmin, Active>>;
type AdminWith = Call<OrganizationCaller<AtLeastAdmin, Active>, Fields>;

/// `POST /api/organizations/{org}/services/{svc}/client-secret`. The only answer that ever holds the secret. With
/// `grace_seconds: 0` the secrets before it stop at once, and the sessions of the client end with them.
pub async fn rotate(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: AdminWith,
) -> Answer {
    let mut fields = call.input;
    let grace =
        fields.integer("grace_seconds", 0..=SECRET_GRACE / 1000).unwrap_or(SECRET_GRACE / 1000) * 1000;
    fields.finish()?;
    let secret: TokenSecret = app.random.bytes();
    let rotate = RotateClientSecret {
        service: ServiceReference { org_id: call.caller.organization.id, reference: path.into_inner().1 },
        secret_hash: sha256(&secret),
        grace,
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    let created_at = rotate.audit.now;
    let rotated = app.store.write(rotate).await.map_err(|error| {
        Error::from_op(error, |refusal| match refusal {
            RotateRefusal::Unknown => unknown_service(),
            RotateRefusal::TooMany => Error::new(
                Code::Conflict,
                "Too many replaced secrets still work. Wait until one expires, or remove them all.",
            ),
            RotateRefusal::OtherMethod(method) => {
                let method = method.as_str();
                let message = format!(
                    "The service's token_endpoint_auth_method is {method}, which takes no secret. Change it first."
                );
                Error::new(Code::Conflict, message)
            }
        })
    })?;
    Ok(HttpResponse::Created().json(json!({
        "client_id": rotated.client_id,
        "client_secret": compose(TokenKind::ClientSecret, rotated.id, &secret),
        "created_at": rfc3339(created_at),
        "previous_secret_expires_at": rotated.previous_expires_at.map(rfc3339),
        "grace_seconds": rotated.previous_expires_at.map_or(0, |_| grace / 1000),
        "ended_sessions": rotated.ended_sessions,
    })))
}

/// `DELETE /api/organizations/{org}/services/{svc}/client-secret`. The sessions of the client end with its secrets.
pub async fn remove(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: Admin,
) -> Answer {
    let remove = RemoveClientSecrets {
        service: ServiceReference { org_id: call.caller.organization.id, reference: path.into_inner().1 },
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    let removed = app.store.write(remove).await;
    removed.map_err(|error| Error::from_op(error, |UnknownService| unknown_service()))?;
    Ok(HttpResponse::NoContent().finish())
}
