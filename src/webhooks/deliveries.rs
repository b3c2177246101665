//! Handlers of what is sent to webhooks.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::events::place_of;
use gatehouse_actors::data::webhook_deliveries::{
    PingWebhook, ReplayDelivery, SendRefusal, WebhookDeliveries,
};
use serde_json::{Value, json};

use super::handlers::{Admin, Reader, reference, unknown_webhook};
use super::view;
use crate::error::{Code, Error};
use crate::http::caller::Call;
use crate::http::event;
use crate::http::input::Query;
use crate::http::management::audit_context;
use crate::http::page::Page;
use crate::http::throttle;
use crate::state::App;

type Answer = Result<HttpResponse, Error>;

fn refused(refusal: SendRefusal) -> Error {
    match refusal {
        SendRefusal::UnknownWebhook => unknown_webhook(),
        SendRefusal::UnknownDelivery => unknown_delivery(),
        SendRefusal::Disabled => {
            Error::new(Code::Conflict, "The webhook is switched off. Switch it on first.")
        }
        SendRefusal::Pending => Error::new(Code::Conflict, "The event is on its way already."),
    }
}

fn unknown_delivery() -> Error {
    Error::new(Code::NotFound, "Nothing is known about such an event having been sent to the webhook.")
}

/// `POST /api/organizations/{org}/webhooks/{webhook}/ping`
pub async fn ping(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: Call<Admin>,
) -> Answer {
    throttle::call_outside(&app, call.caller.subject.user_id)?;
    let organization = &call.caller.organization;
    let ping = PingWebhook {
        webhook: reference(organization.id, path.into_inner().1),
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    let ping = app.store.write(ping).await.map_err(|error| Error::from_op(error, refused))?;
    Ok(HttpResponse::Accepted().json(event::body(&ping, &organization.public_id)?))
}

/// `GET /api/organizations/{org}/webhooks/{webhook}/deliveries`
pub async fn list(app: Data<App>, path: Path<(String, String)>, call: Call<Reader, Query>) -> Answer {
    let organization = &call.caller.organization;
    let params = call.input.0;
    let before = params
        .get("before")
        .map(|id| {
            place_of(&organization.public_id, id)
                .map(|(sequence, _)| sequence)
                .ok_or_else(|| Error::invalid("before", "before must be the id of an event."))
        })
        .transpose()?;
    let question = WebhookDeliveries {
        webhook: reference(organization.id, path.into_inner().1),
        before,
        limit: Page::limit(&params)?,
    };
    let deliveries = app.store.read(question).await?.ok_or_else(unknown_webhook)?;
    let deliveries: Vec<Value> =
        deliveries.iter().map(|one| view::delivery(one, &organization.public_id)).collect();
    Ok(HttpResponse::Ok().json(json!({ "deliveries": deliveries })))
}

/// `POST /api/organizations/{org}/webhooks/{webhook}/deliveries/{event}/replay`
pub async fn replay(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String, String)>,
    call: Call<Admin>,
) -> Answer {
    let organization = &call.caller.organization;
    let (_, webhook, event) = path.into_inner();
    let replay = ReplayDelivery {
        webhook: reference(organization.id, webhook),
        sequence: place_of(&organization.public_id, &event).ok_or_else(unknown_delivery)?.0,
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    app.store.write(replay).await.map_err(|error| Error::from_op(error, refused))?;
    Ok(HttpResponse::Accepted().json(json!({ "event_id": event, "status": "pending" })))
}
