//! Handlers of webhooks.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::webhooks::{
    CreateWebhook, DeleteWebhook, MAX_WEBHOOKS, RotateWebhookSecret, TooManyWebhooks, UnknownWebhook,
    UpdateWebhook, WebhookReference, Webhooks,
};
use serde_json::{Value, json};
use url::Url;

use super::{rules, view};
use crate::delivery::webhook::{SECRET_LENGTH, display_secret, seal_context};
use crate::error::{Code, Error};
use crate::http::caller::Call;
use crate::http::fields::Fields;
use crate::http::management::{Active, AtLeastAdmin, OrganizationCaller, audit_context};
use crate::state::{App, rfc3339};
use crate::upstream::{GuardedClient, UpstreamError};

type Answer = Result<HttpResponse, Error>;
/// Who may look.
pub(super) type Reader = OrganizationCaller<AtLeastAdmin>;
/// Who may change.
pub(super) type Admin = OrganizationCaller<AtLeastAdmin, Active>;

pub(super) fn unknown_webhook() -> Error {
    Error::new(Code::NotFound, "There is no such webhook.")
}

/// A webhook of the organization that the path names.
pub(super) fn reference(org_id: i64, public_id: String) -> WebhookReference {
    WebhookReference { org_id, public_id }
}

/// Refuses an address that we must not connect to. It is looked at again whenever something is sent.
async fn check(request: &HttpRequest, url: &Url) -> Result<(), Error> {
    let client = request.app_data::<GuardedClient>().ok_or_else(|| Error::internal("no guarded client"))?;
    client.check(url).await.map_err(|error| match error {
        UpstreamError::Forbidden => {
            Error::invalid("url", "url must be an https address that leads to a public host.")
        }
        _ => Error::invalid("url", "url names a host that cannot be found."),
    })
}

/// A fresh secret, and the same sealed for its webhook.
fn new_secret(app: &App, webhook_public_id: &str) -> Result<(String, Vec<u8>), Error> {
    let secret = app.random.bytes::<SECRET_LENGTH>();
    let context = seal_context(webhook_public_id);
    let sealed = app.keys.stored_secrets.seal(&app.random, &context, &secret);
    let sealed = sealed.ok_or_else(|| Error::internal("a webhook secret cannot be sealed"))?;
    Ok((display_secret(&secret), sealed))
}

/// `GET /api/organizations/{org}/webhooks`
pub async fn list(app: Data<App>, call: Call<Reader>) -> Answer {
    let organization = &call.caller.organization;
    let webhooks = app.store.read(Webhooks { org_id: organization.id }).await?;
    let webhooks: Vec<Value> =
        webhooks.iter().map(|webhook| view::webhook(webhook, &organization.public_id)).collect();
    Ok(HttpResponse::Ok().json(json!({ "webhooks": webhooks, "limit": MAX_WEBHOOKS })))
}

/// `POST /api/organizations/{org}/webhooks`. One of the two answers that ever hold a secret.
pub async fn create(app: Data<App>, request: HttpRequest, call: Call<Admin, Fields>) -> Answer {
    let organization = &call.caller.organization;
    let new = rules::new_webhook(call.input)?;
    check(&request, &new.url).await?;
    let public_id = app.random.uuid(app.clock.now());
    let (secret, secret_sealed) = new_secret(&app, &public_id)?;
    let create = CreateWebhook {
        org_id: organization.id,
        public_id,
        settings: new.settings,
        secret_sealed,
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    let webhook = app.store.write(create).await.map_err(|error| {
        Error::from_op(error, |TooManyWebhooks| {
            let message = format!("An organization may have {MAX_WEBHOOKS} webhooks. Delete one first.");
            Error::new(Code::Conflict, message)
        })
    })?;
    let webhook = view::webhook(&webhook, &organization.public_id);
    Ok(HttpResponse::Created().json(json!({ "webhook": webhook, "secret": secret })))
}

/// `GET /api/organizations/{org}/webhooks/{webhook}`
pub async fn show(app: Data<App>, path: Path<(String, String)>, call: Call<Reader>) -> Answer {
    let organization = &call.caller.organization;
    let question = reference(organization.id, path.into_inner().1);
    let webhook = app.store.read(question).await?.ok_or_else(unknown_webhook)?;
    Ok(HttpResponse::Ok().json(view::webhook(&webhook, &organization.public_id)))
}

/// `PATCH /api/organizations/{org}/webhooks/{webhook}`
pub async fn update(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: Call<Admin, Fields>,
) -> Answer {
    let organization = &call.caller.organization;
    let (changes, url) = rules::webhook_changes(call.input)?;
    if let Some(url) = &url {
        check(&request, url).await?;
    }
    let update = UpdateWebhook {
        webhook: reference(organization.id, path.into_inner().1),
        changes,
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    let updated = app.store.write(update).await;
    let updated = updated.map_err(|error| Error::from_op(error, |UnknownWebhook| unknown_webhook()))?;
    Ok(HttpResponse::Ok().json(view::webhook(&updated, &organization.public_id)))
}

/// `DELETE /api/organizations/{org}/webhooks/{webhook}`
pub async fn delete(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: Call<Admin>,
) -> Answer {
    let delete = DeleteWebhook {
        webhook: reference(call.caller.organization.id, path.into_inner().1),
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    let deleted = app.store.write(delete).await;
    deleted.map_err(|error| Error::from_op(error, |UnknownWebhook| unknown_webhook()))?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /api/organizations/{org}/webhooks/{webhook}/secret`
pub async fn rotate(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: Call<Admin>,
) -> Answer {
    let webhook = reference(call.caller.organization.id, path.into_inner().1);
    let (secret, secret_sealed) = new_secret(&app, &webhook.public_id)?;
    let rotate = RotateWebhookSecret {
        webhook,
        secret_sealed,
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    let rotated = app.store.write(rotate).await;
    let until = rotated.map_err(|error| Error::from_op(error, |UnknownWebhook| unknown_webhook()))?;
    let body = json!({ "secret": secret, "previous_secret_expires_at": rfc3339(until) });
    Ok(HttpResponse::Created().json(body))
}
