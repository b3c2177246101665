//! The token answer (RFC 6749, section 5.1) and the claims in it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::client_registration::SigningAlgorithm;
use gatehouse_actors::data::sessions::{Grant, Subject};
use ring::digest::{SHA256, SHA512, digest};
use serde::Serialize;
use serde_json::{Value, json};

use crate::crypto::jwt::{AccessClaims, Audience, Confirmation, TokenType};
use crate::crypto::token::{TokenKind, TokenSecret, compose};
use crate::error::Error;
use crate::http::{claims, scope};
use crate::state::App;

/// An access token lives this long, in seconds: 15 minutes.
pub(super) const ACCESS_LIFETIME: i64 = 15 * 60;

/// What a client gets.
#[derive(Serialize)]
pub(super) struct TokenAnswer {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    refresh_token: String,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

/// What the answer is made of.
pub(super) struct Granted {
    pub(super) grant: Grant,
    pub(super) refresh_secret: TokenSecret,
    /// Narrower than the session's, when the client asked for less (RFC 6749, section 6).
    pub(super) scope: Option<String>,
    pub(super) nonce: Option<String>,
    /// What the access token is for; empty: the client itself.
    pub(super) resources: Vec<String>,
    /// The key that the access token is bound to.
    pub(super) dpop_jkt: Option<String>,
}

pub(super) fn token_answer(app: &App, granted: &Granted) -> Result<TokenAnswer, Error> {
    let Granted { grant, refresh_secret, scope: narrowed, nonce, .. } = granted;
    let subject = &grant.subject;
    let scope = narrowed.clone().unwrap_or_else(|| subject.scope.clone());
    let now = app.clock.now().div_euclid(1000);
    let claims = access_claims(app, granted, &scope, now);
    let access_token = app.signing_keys.sign(TokenType::Access, &claims).map_err(Error::internal)?;
    let id_token = if scope::has(&scope, "openid") {
        let claims = id_claims(&claims, subject, nonce.as_deref(), &access_token);
        let signed = app.signing_keys.sign_with(subject.id_token_alg, TokenType::Id, &claims);
        Some(signed.map_err(Error::internal)?)
    } else {
        None
    };
    Ok(TokenAnswer {
        access_token,
        // RFC 9449, section 5.
        token_type: if claims.cnf.is_some() { "DPoP" } else { "Bearer" },
        expires_in: ACCESS_LIFETIME,
        refresh_token: compose(TokenKind::RefreshToken, grant.refresh_token_id, refresh_secret),
        scope,
        id_token,
    })
}

fn access_claims(app: &App, granted: &Granted, scope: &str, now: i64) -> AccessClaims {
    let subject = &granted.grant.subject;
    let of_service = |value: &str| (!subject.is_platform).then(|| value.to_owned());
    let entitlement = subject.entitlement(now * 1000);
    AccessClaims {
        iss: app.base_url.clone(),
        sub: subject.user_public_id.clone(),
        aud: Audience::of(&granted.resources, app.audience(subject)),
        exp: now + ACCESS_LIFETIME,
        iat: now,
        nbf: None,
        jti: app.random.uuid(now * 1000),
        sid: subject.session_public_id.clone(),
        client_id: subject.client_id.clone(),
        scope: scope.to_owned(),
        token_use: "access".to_owned(),
        auth_time: subject.authenticated_at.div_euclid(1000),
        email: subject.email.clone(),
        is_platform_owner: subject.is_platform && subject.is_platform_owner,
        org: of_service(&subject.org_slug),
        service: of_service(&subject.service_slug),
        plan: entitlement.plan_name().map(str::to_owned),
        features: entitlement.plan.map(|plan| plan.features.clone()),
        seats: entitlement.expires_at.and(entitlement.subscription).map(|subscription| subscription.quantity),
        current_period_end: entitlement
            .subscription
            .and_then(|subscription| subscription.current_period_end)
            .map(seconds),
        entitlements_exp: entitlement.expires_at.map(seconds),
        entitlements_version: entitlement.plan.map(|_| entitlement.version()),
        cnf: granted.dpop_jkt.clone().map(|jkt| Confirmation { jkt }),
    }
}

/// `NumericDate` (RFC 7519, section 2).
fn seconds(moment: Millis) -> i64 {
    moment.div_euclid(1000)
}

/// OpenID Connect Core, section 2 and section 5.1; what it tells of the person follows the granted scope.
fn id_claims(access: &AccessClaims, subject: &Subject, nonce: Option<&str>, access_token: &str) -> Value {
    let mut id = json!({
        "iss": access.iss,
        "sub": access.sub,
        // The client itself, also in the platform realm, where the access token is for the API.
        "aud": access.client_id,
        "exp": access.exp,
        "iat": access.iat,
        "auth_time": access.auth_time,
        "sid": access.sid,
        "at_hash": at_hash(subject.id_token_alg, access_token),
    });
    let mut put = |name: &str, value: Option<Value>| {
        if let (Some(members), Some(value)) = (id.as_object_mut(), value) {
            members.insert(name.to_owned(), value);
        }
    };
    put("nonce", nonce.map(Value::from));
    // RFC 8176: what the provider said. One that said nothing is not spoken for.
    put("amr", (!subject.amr.is_empty()).then(|| Value::from(subject.amr.clone())));
    for (name, value) in claims::of_person(subject, &access.scope) {
        put(&name, Some(value));
    }
    id
}

/// OpenID Connect Core, section 3.1.3.6: the left half of the hash that goes with the algorithm. Ed25519 hashes with
/// SHA-512 (RFC 8032, section 5.1).
fn at_hash(algorithm: SigningAlgorithm, access_token: &str) -> String {
    let hash = match algorithm {
        SigningAlgorithm::Es256 | SigningAlgorithm::Rs256 => digest(&SHA256, access_token.as_bytes()),
        SigningAlgorithm::EdDsa => digest(&SHA512, access_token.as_bytes()),
    };
    let (left, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}
