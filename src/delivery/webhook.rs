//! An event on its way to a webhook: body and signature as Standard Webhooks describes them, so that receivers check
//! them with a library that they already have.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::outbox::Delivery;
use gatehouse_actors::data::webhook_deliveries::{WebhookForDelivery, WebhookTarget};
use gatehouse_actors::outbox::Outcome;
use oauth2::HttpRequest;
use oauth2::http::{Method, Request, header};
use ring::hmac;

use super::{Answer, answered, not_ready, send};
use crate::http::event;
use crate::state::App;
use crate::upstream::GuardedClient;

/// What stands before a secret, so that scanners find one that leaked.
const SECRET_PREFIX: &str = "whsec_";
/// Bytes of a secret.
pub const SECRET_LENGTH: usize = 32;

/// A secret as its receiver sees it.
#[must_use]
pub fn display_secret(secret: &[u8; SECRET_LENGTH]) -> String {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(secret))
}

/// What a webhook's secret is sealed for: this webhook and no other.
#[must_use]
pub fn seal_context(webhook_public_id: &str) -> String {
    format!("webhook secret {webhook_public_id}")
}

/// Tries once. The body and its id are the same at every attempt; time and signature are of this one.
pub(super) async fn deliver(app: &App, client: &GuardedClient, delivery: &Delivery) -> Outcome {
    let now = app.clock.now();
    let question = WebhookForDelivery {
        webhook_id: delivery.target_id,
        org_id: delivery.org_id,
        sequence: delivery.subject_id,
        now,
    };
    let target = match app.store.read(question).await {
        Ok(Some(target)) => target,
        Ok(None) => return Outcome::Gone { reason: "the webhook is deleted or switched off".to_owned() },
        Err(error) => return not_ready(error),
    };
    let request = match request(app, &target, now) {
        Ok(request) => request,
        Err(reason) => return not_ready(reason),
    };
    match send(client, request).await {
        Ok(Answer { status: status @ 200..=299, .. }) => Outcome::Delivered { status },
        Ok(Answer { status: 410, .. }) => Outcome::Gone { reason: "its receiver answered 410".to_owned() },
        Ok(answer) => answered(&answer),
        Err(outcome) => outcome,
    }
}

fn request(app: &App, target: &WebhookTarget, now: Millis) -> Result<HttpRequest, String> {
    let body =
        event::body(&target.event, &target.org_public_id).map_err(|error| error.to_string())?.to_string();
    let id = target.event.id(&target.org_public_id);
    let timestamp = now.div_euclid(1000);
    let context = seal_context(&target.public_id);
    let signatures: Option<Vec<String>> = target
        .secrets_sealed
        .iter()
        .map(|sealed| app.keys.stored_secrets.open(&context, sealed))
        .map(|secret| secret.map(|secret| sign(&secret, &id, timestamp, &body)))
        .collect();
    let signatures = signatures
        .filter(|signatures| !signatures.is_empty())
        .ok_or("a webhook secret does not open with this ENCRYPTION_KEY")?;
    Request::builder()
        .method(Method::POST)
        .uri(&target.url)
        .header(header::CONTENT_TYPE, "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signatures.join(" "))
        .body(body.into_bytes())
        .map_err(|error| error.to_string())
}

/// One signature: HMAC-SHA256 over id, time and body.
fn sign(secret: &[u8], id: &str, timestamp: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_of_the_signature_holds() {
        // The example of the Standard Webhooks specification.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let signature = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
