//! A logout token on its way to a service (OpenID Connect Back-Channel Logout 1.0).

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::client_registration::SigningAlgorithm;
use gatehouse_actors::data::ended_sessions::{LogoutTarget, LogoutTargetOfService};
use gatehouse_actors::data::outbox::Delivery;
use gatehouse_actors::outbox::Outcome;
use oauth2::HttpRequest;
use oauth2::http::{Method, Request, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, answered, not_ready, send};
use crate::crypto::jwt::TokenType;
use crate::state::App;
use crate::upstream::GuardedClient;

/// The member of `events` that makes a token a logout token (section 2.4).
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Seconds. Section 2.4 recommends at most two minutes.
const LIFETIME: i64 = 120;

/// What ended, as the outbox has it.
#[derive(Deserialize)]
struct Ended {
    sid: String,
    sub: String,
}

/// Tries once. The token is made now: every attempt has a fresh one, with a `jti` of its own, so that a receiver that
/// remembers those it has seen does not refuse a second attempt after it failed at the first.
pub(super) async fn deliver(app: &App, client: &GuardedClient, delivery: &Delivery) -> Outcome {
    let target = match app.store.read(LogoutTargetOfService { service_id: delivery.target_id }).await {
        Ok(target) => target,
        Err(error) => return not_ready(error),
    };
    let Some((target, uri)) = target.and_then(|target| target.uri.clone().map(|uri| (target, uri))) else {
        return Outcome::Gone { reason: "the service has no backchannel_logout_uri any more".to_owned() };
    };
    let request = match request(app, (&target, &uri), delivery) {
        Ok(request) => request,
        Err(reason) => return not_ready(reason),
    };
    match send(client, request).await {
        // Section 2.8: 200 is right; some frameworks turn an empty one into 204.
        Ok(Answer { status: status @ (200 | 204), .. }) => Outcome::Delivered { status },
        // Section 2.8: the request was invalid or the logout failed. The same again would fare no better.
        Ok(Answer { status: 400, .. }) => {
            Outcome::Refused { status: Some(400), reason: "answered 400".to_owned() }
        }
        Ok(answer) => answered(&answer),
        Err(outcome) => outcome,
    }
}

fn request(
    app: &App,
    (target, uri): (&LogoutTarget, &str),
    delivery: &Delivery,
) -> Result<HttpRequest, String> {
    let ended: Ended = serde_json::from_str(&delivery.payload).map_err(|error| error.to_string())?;
    let now = app.clock.now();
    let claims = claims(&app.base_url, &target.client_id, &ended, (now, &app.random.uuid(now)));
    let algorithm = SigningAlgorithm::parse(&target.algorithm).unwrap_or_default();
    let token = app.signing_keys.sign_with(algorithm, TokenType::Logout, &claims);
    let token = token.map_err(|error| error.to_string())?;
    // Section 2.5.
    let body =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", &token).finish();
    Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body.into_bytes())
        .map_err(|error| error.to_string())
}

/// Section 2.4: `sub` and `sid` both, and never a `nonce`, so that nobody can take it for an `id_token`.
fn claims(issuer: &str, client_id: &str, ended: &Ended, (now, jti): (Millis, &str)) -> Value {
    let issued_at = now.div_euclid(1000);
    json!({
        "iss": issuer,
        "aud": client_id,
        "iat": issued_at,
        "exp": issued_at + LIFETIME,
        "jti": jti,
        "sub": ended.sub,
        "sid": ended.sid,
        "events": { LOGOUT_EVENT: {} },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logout_token_says_what_ended_and_nothing_of_a_sign_in() {
        let ended = Ended { sid: "session".to_owned(), sub: "user".to_owned() };
        let claims = claims("https://id.test", "app", &ended, (5_999, "one"));
        let expected = json!({
            "iss": "https://id.test", "aud": "app", "iat": 5, "exp": 125, "jti": "one", "sub": "user",
            "sid": "session", "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        assert_eq!(claims, expected);
    }
}
