//! A client that authenticates with a signature (RFC 7523, section 3; OpenID Connect Core, section 9).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::services::Service;
use gatehouse_actors::data::used_assertions::{UseAssertion, UsedBefore};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::input::Params;
use crate::crypto::client_keys::{ALGORITHMS, verified_claims};
use crate::crypto::thumbprint::thumbprint;
use crate::crypto::token::sha256;
use crate::error::{Code, Error};
use crate::state::App;

/// The one type of assertion (RFC 7523, section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// An assertion may be good for this long at most: it is made for one request.
const LONGEST_LIFE: i64 = 10 * 60;
/// Clocks of clients may differ by this many seconds.
const LEEWAY: i64 = 60;
const LONGEST_JTI: usize = 256;
const LONGEST_ASSERTION: usize = 8 * 1024;

/// An assertion as it was sent.
pub(super) struct Assertion<'a> {
    text: &'a str,
    /// The client that it says it is from. Nothing is proved yet.
    pub(super) client_id: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    #[serde(deserialize_with = "one_or_many")]
    aud: Vec<String>,
    pub(super) exp: i64,
    jti: String,
    #[serde(default)]
    iat: Option<i64>,
    #[serde(default)]
    nbf: Option<i64>,
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::One(one) => vec![one],
        Either::Many(many) => many,
    })
}

fn refused(message: &'static str) -> Error {
    Error::new(Code::InvalidClient, message)
}

/// The assertion of a request, if there is one.
pub(super) fn presented(params: &Params) -> Result<Option<Assertion<'_>>, Error> {
    let (kind, text) = match (params.get("client_assertion_type"), params.get("client_assertion")) {
        (None, None) => return Ok(None),
        (Some(kind), Some(text)) => (kind, text),
        _ => {
            return Err(Error::bad_request("Send client_assertion and client_assertion_type together."));
        }
    };
    if kind != ASSERTION_TYPE {
        return Err(refused("The client_assertion_type is not the one of RFC 7523."));
    }
    if text.len() > LONGEST_ASSERTION {
        return Err(refused("The client_assertion is too long."));
    }
    // RFC 7521, section 4.2: client_id is optional here, and must name the same client.
    let client_id = match params.get("client_id") {
        Some(client_id) => client_id.to_owned(),
        None => unproved_subject(text).ok_or_else(|| refused(NOT_VALID))?,
    };
    Ok(Some(Assertion { text, client_id }))
}

const NOT_VALID: &str = "The client_assertion is not valid.";

fn unproved_subject(text: &str) -> Option<String> {
    let claims: Value = serde_json::from_slice(&decoded(text, 1)?).ok()?;
    claims.get("sub")?.as_str().map(ToOwned::to_owned)
}

/// Checks an assertion of `service` and uses it up. Returns the thumbprint of the key that signed it.
pub(super) async fn check(app: &App, service: &Service, assertion: &Assertion<'_>) -> Result<String, Error> {
    let now = app.clock.now().div_euclid(1000);
    let jwks = service.registration.jwks.as_ref();
    let (claims, key) = verify(jwks, assertion.text).ok_or_else(|| refused(NOT_VALID))?;
    // RFC 7523, section 3: iss and sub are the client itself.
    if claims.iss != service.client_id || claims.sub != service.client_id {
        return Err(refused("The client_assertion must name the client as iss and sub."));
    }
    if !is_for_us(app, &claims.aud) {
        return Err(refused("The aud of the client_assertion must be the issuer or the token endpoint."));
    }
    check_times(&claims, now).map_err(refused)?;
    if !(1..=LONGEST_JTI).contains(&claims.jti.len()) {
        return Err(refused("The client_assertion needs a jti of at most 256 characters."));
    }
    let used = UseAssertion {
        jti_hash: sha256(format!("{}\n{}", service.client_id, claims.jti).as_bytes()),
        expires_at: (claims.exp + LEEWAY) * 1000,
        now: Millis::from(now) * 1000,
    };
    app.store.write(used).await.map_err(|error| {
        Error::from_op(error, |UsedBefore| refused("This client_assertion was used before: make a new one."))
    })?;
    Ok(key)
}

/// RFC 7523, section 3, and RFC 9126, section 2: the issuer or an endpoint that takes assertions. Several audiences
/// would let another server use the assertion here.
fn is_for_us(app: &App, aud: &[String]) -> bool {
    let base = &app.base_url;
    let [aud] = aud else { return false };
    aud == base
        || ["/oauth/token", "/auth/token", "/oauth/par"]
            .iter()
            .any(|path| aud.strip_prefix(base.as_str()) == Some(*path))
}

pub(super) fn check_times(claims: &Claims, now: i64) -> Result<(), &'static str> {
    if claims.exp <= now {
        return Err("The client_assertion expired.");
    }
    if claims.exp > now + LONGEST_LIFE + LEEWAY {
        return Err("The client_assertion is good for too long: at most ten minutes.");
    }
    if claims.iat.max(claims.nbf).is_some_and(|from| from > now + LEEWAY) {
        return Err("The client_assertion is not valid yet.");
    }
    Ok(())
}

/// The claims of an assertion that one of the registered keys signed, and that key's thumbprint. What the header says
/// about where to find a key (`jku`, `x5u`, `jwk`) is never looked at.
pub(super) fn verify(jwks: Option<&Value>, text: &str) -> Option<(Claims, String)> {
    let header: Header = serde_json::from_slice(&decoded(text, 0)?).ok()?;
    // RFC 7515, section 4.1.11: what must be understood and is not.
    if header.crit.is_some() || !ALGORITHMS.contains(&header.alg.as_str()) {
        return None;
    }
    let keys = jwks?.get("keys")?.as_array()?;
    let named = |key: &&Value| match &header.kid {
        Some(key_id) => key.get("kid").and_then(Value::as_str) == Some(key_id.as_str()),
        None => keys.len() == 1,
    };
    let key = keys.iter().find(named)?;
    let claims = verified_claims(key, &header.alg, text)?;
    Some((serde_json::from_slice(&claims).ok()?, thumbprint(key)?))
}

/// A part of a token that nothing is proved of yet.
fn decoded(text: &str, part: usize) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.split('.').nth(part)?).ok()
}
