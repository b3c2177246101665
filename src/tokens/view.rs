//! What introspection says of a token that is active (RFC 7662, section 2.2).

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::presented_refresh::RefreshTokenStanding;
use gatehouse_actors::data::sessions::Subject;
use serde_json::{Map, Value, json};

use crate::crypto::jwt::{ClientClaims, Confirmation};
use crate::http::access_token::Judged;
use crate::state::App;

/// What the token says, with plan and features as they are at this moment.
pub(super) fn access_token(judged: &Judged, now: Millis) -> Map<String, Value> {
    let Judged { claims, subject } = judged;
    let mut body = common(subject, &claims.scope, now);
    body.extend(members(json!({
        "token_type": token_type(claims.cnf.as_ref()),
        "token_use": "access",
        "iss": claims.iss,
        "aud": claims.aud,
        "exp": claims.exp,
        "iat": claims.iat,
        "jti": claims.jti,
        "auth_time": claims.auth_time,
    })));
    body.extend(confirmation(claims.cnf.as_ref()));
    body
}

/// The token of a service that acts for itself.
pub(super) fn client_token(claims: &ClientClaims) -> Map<String, Value> {
    let mut body = members(json!({
        "active": true,
        "token_type": token_type(claims.cnf.as_ref()),
        "token_use": "access",
        "client_id": claims.client_id,
        "sub": claims.sub,
        "scope": claims.scope,
        "iss": claims.iss,
        "aud": claims.aud,
        "exp": claims.exp,
        "iat": claims.iat,
        "jti": claims.jti,
        "org": claims.org,
        "service": claims.service,
    }));
    body.extend(confirmation(claims.cnf.as_ref()));
    body
}

/// RFC 9449, section 6.2: a resource server that asks must see that the token is bound to a key.
fn token_type(cnf: Option<&Confirmation>) -> &'static str {
    if cnf.is_some() { "DPoP" } else { "Bearer" }
}

fn confirmation(cnf: Option<&Confirmation>) -> Map<String, Value> {
    cnf.map_or_else(Map::new, |cnf| members(json!({ "cnf": cnf })))
}

/// `token_type` has no word for a refresh token, so it is left out; `token_use` says what it is.
pub(super) fn refresh_token(app: &App, standing: &RefreshTokenStanding) -> Map<String, Value> {
    let subject = &standing.subject;
    let mut body = common(subject, &subject.scope, app.clock.now());
    body.extend(members(json!({
        "token_use": "refresh",
        "iss": app.base_url,
        "aud": subject.client_id,
        "exp": standing.expires_at.div_euclid(1000),
        "iat": standing.created_at.div_euclid(1000),
    })));
    body
}

fn common(subject: &Subject, scope: &str, now: Millis) -> Map<String, Value> {
    let mut body = members(json!({
        "active": true,
        "client_id": subject.client_id,
        "sub": subject.user_public_id,
        "sid": subject.session_public_id,
        "scope": scope,
    }));
    if !subject.is_platform {
        body.extend(members(json!({ "org": subject.org_slug, "service": subject.service_slug })));
    }
    let entitlement = subject.entitlement(now);
    if let Some(plan) = entitlement.plan_name() {
        body.extend(members(json!({ "plan": plan, "features": entitlement.features() })));
    }
    body
}

fn members(value: Value) -> Map<String, Value> {
    if let Value::Object(members) = value { members } else { Map::new() }
}
