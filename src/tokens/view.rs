//! What introspection says of a token that is active (RFC 7662, section 2.2).

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::presented_refresh::RefreshTokenStanding;
use gatehouse_actors::data::sessions::Subject;
use serde::Serialize;

use crate::crypto::jwt::{Audience, ClientClaims, Confirmation};
use crate::http::access_token::Judged;
use crate::state::App;

/// A token that is active. What a kind of token does not have is left out.
#[derive(Default, Serialize)]
pub(super) struct Standing<'t> {
    active: bool,
    /// RFC 6749, section 7.1, has no word for a refresh token; `token_use` says what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    token_use: &'static str,
    client_id: &'t str,
    sub: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'t str>,
    scope: &'t str,
    iss: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<AudienceOf<'t>>,
    exp: i64,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    features: Option<&'t [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<&'t Confirmation>,
}

/// Whom a token is for: as its own claim says, or its client.
#[derive(Serialize)]
#[serde(untagged)]
enum AudienceOf<'t> {
    Claimed(&'t Audience),
    Client(&'t str),
}

/// What the token says, with plan and features as they are at this moment.
pub(super) fn access_token(judged: &Judged, now: Millis) -> Standing<'_> {
    let Judged { claims, subject } = judged;
    Standing {
        token_type: Some(token_type(claims.cnf.as_ref())),
        token_use: "access",
        iss: &claims.iss,
        aud: Some(AudienceOf::Claimed(&claims.aud)),
        exp: claims.exp,
        iat: claims.iat,
        jti: Some(&claims.jti),
        auth_time: Some(claims.auth_time),
        cnf: claims.cnf.as_ref(),
        ..of_person(subject, &claims.scope, now)
    }
}

/// The token of a service that acts for itself.
pub(super) fn client_token(claims: &ClientClaims) -> Standing<'_> {
    Standing {
        active: true,
        token_type: Some(token_type(claims.cnf.as_ref())),
        token_use: "access",
        client_id: &claims.client_id,
        sub: &claims.sub,
        scope: &claims.scope,
        iss: &claims.iss,
        aud: Some(AudienceOf::Claimed(&claims.aud)),
        exp: claims.exp,
        iat: claims.iat,
        jti: Some(&claims.jti),
        org: Some(&claims.org),
        service: Some(&claims.service),
        cnf: claims.cnf.as_ref(),
        ..Standing::default()
    }
}

/// A refresh token, as it stands.
pub(super) fn refresh_token<'t>(app: &'t App, standing: &'t RefreshTokenStanding) -> Standing<'t> {
    let subject = &standing.subject;
    Standing {
        token_use: "refresh",
        iss: &app.base_url,
        aud: Some(AudienceOf::Client(&subject.client_id)),
        exp: standing.expires_at.div_euclid(1000),
        iat: standing.created_at.div_euclid(1000),
        ..of_person(subject, &subject.scope, app.clock.now())
    }
}

/// RFC 9449, section 6.2: a resource server that asks must see that the token is bound to a key.
fn token_type(cnf: Option<&Confirmation>) -> &'static str {
    if cnf.is_some() { "DPoP" } else { "Bearer" }
}

fn of_person<'t>(subject: &'t Subject, scope: &'t str, now: Millis) -> Standing<'t> {
    let of_service = |slug: &'t str| (!subject.is_platform).then_some(slug);
    let entitlement = subject.entitlement(now);
    let plan = entitlement.plan_name();
    Standing {
        active: true,
        client_id: &subject.client_id,
        sub: &subject.user_public_id,
        sid: Some(&subject.session_public_id),
        scope,
        org: of_service(&subject.org_slug),
        service: of_service(&subject.service_slug),
        plan,
        features: plan.map(|_| entitlement.features()),
        ..Standing::default()
    }
}
