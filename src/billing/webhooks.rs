//! Where Stripe delivers its events. Stored before they are answered; what follows from them is the actor's work.

use actix_web::dev::Payload;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::PLATFORM_ORG_ID;
use gatehouse_actors::data::stripe_accounts::StripeAccountByReference;
use gatehouse_actors::data::stripe_effects::unusable;
use gatehouse_actors::data::stripe_inbox::StoreStripeEvent;
use gatehouse_actors::stripe::event::Event;
use serde_json::json;

use super::signature::{Mistrust, verify};
use crate::config::secret::Secret;
use crate::error::{Code, Error};
use crate::http::caller::{Anonymous, Call};
use crate::http::input::{Input, raw_body};
use crate::state::App;

type Answer = Result<HttpResponse, Error>;

/// Larger than any event that Stripe sends.
const BODY_LIMIT: usize = 1024 * 1024;

/// A delivery as it was sent: its bytes were signed, not what they mean.
pub struct Delivery {
    body: Vec<u8>,
    signature: Option<String>,
}

impl Input for Delivery {
    async fn parse(request: &HttpRequest, payload: &mut Payload) -> Result<Self, Error> {
        let body = raw_body(request, payload, BODY_LIMIT).await?.to_vec();
        let header = request.headers().get("stripe-signature").and_then(|value| value.to_str().ok());
        Ok(Self { body, signature: header.map(ToOwned::to_owned) })
    }
}

/// `POST /webhooks/stripe`
pub async fn of_platform(app: Data<App>, call: Call<Anonymous, Delivery>) -> Answer {
    let secrets = &app.config.billing.webhook_secrets;
    if secrets.is_empty() {
        let message = "No secret is configured for this webhook. Set STRIPE_WEBHOOK_SECRET.";
        return Err(Error::new(Code::ServiceUnavailable, message).retry_after(300));
    }
    receive(&app, PLATFORM_ORG_ID, secrets, call.input).await
}

/// `POST /webhooks/stripe/{org}`
pub async fn of_organization(app: Data<App>, path: Path<String>, call: Call<Anonymous, Delivery>) -> Answer {
    let account = app.store.read(StripeAccountByReference { reference: path.into_inner() }).await?;
    let none = || Error::new(Code::NotFound, "There is nothing at this address.");
    let account = account.ok_or_else(none)?;
    let sealed = &account.webhook_secrets_sealed;
    let opened = app.stripe_keys.open(account.org_id, "webhook secrets", sealed);
    let opened = opened.ok_or_else(|| Error::internal("webhook secrets cannot be opened"))?;
    let secrets: Vec<_> = opened.expose().split(',').map(|secret| Secret::new(secret.to_owned())).collect();
    receive(&app, account.org_id, &secrets, call.input).await
}

/// Believes a delivery or not, and keeps it.
async fn receive(app: &App, org_id: i64, secrets: &[Secret<String>], delivery: Delivery) -> Answer {
    let now = app.clock.now();
    let Delivery { body, signature } = delivery;
    verify(signature.as_deref(), &body, secrets, now).map_err(|mistrust| {
        log::warn!(org_id = org_id, reason:? = mistrust; "stripe event refused");
        Error::bad_request(match mistrust {
            Mistrust::Malformed => "The Stripe-Signature header is missing or malformed.",
            Mistrust::Wrong => "The signature is not of this webhook's secret.",
            Mistrust::Stale => "The signature is older than five minutes, or from the future.",
        })
    })?;
    let event = Event::parse(&body)
        .map_err(|_| Error::bad_request("The body is not an event: it has no id and type of its own."))?;
    let store = StoreStripeEvent {
        ignored: unusable(&event, org_id, app.config.billing.rules()),
        org_id,
        queue_key: event.queue_key(),
        event_id: event.id,
        event_type: event.event_type,
        created_at: event.created_at.unwrap_or(now),
        payload: body,
        now,
    };
    let refused = |()| Error::internal("refused");
    app.store.keep_stripe_event(store).await.map_err(|error| Error::from_op(error, refused))?;
    Ok(HttpResponse::Ok().json(json!({ "received": true })))
}
