//! Proofs that a client holds a key (`DPoP`, RFC 9449). A token that is bound to the key opens nothing without one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use actix_web::HttpRequest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::clock::Millis;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::crypto::client_keys::{self, ALGORITHMS, verified_claims};
use crate::crypto::jwt::Confirmation;
use crate::crypto::thumbprint::thumbprint;
use crate::crypto::token::sha256;
use crate::error::{Code, Error};
use crate::state::App;

/// The header that carries a proof.
const HEADER: &str = "dpop";
/// How old a proof may be, and how far its clock may be ahead, in seconds.
const OLDEST: i64 = 60;
const AHEAD: i64 = 10;
const LONGEST_PROOF: usize = 4 * 1024;
const LONGEST_JTI: usize = 256;
/// Proofs that are remembered at most: some 24 MB.
const MOST_PROOFS: usize = 500_000;

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    jwk: Value,
    #[serde(default)]
    crit: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) jti: String,
    htm: String,
    htu: String,
    iat: i64,
    #[serde(default)]
    ath: Option<String>,
}

/// Proofs that were used. In memory is enough: a proof that is older than this process is not accepted, so that what a
/// restart forgets cannot be used again. How old that is does not depend on the clock, which may be set meanwhile.
pub struct UsedProofs {
    started: Instant,
    until: Mutex<HashMap<u128, i64>>,
}

impl Default for UsedProofs {
    fn default() -> Self {
        Self { started: Instant::now(), until: Mutex::default() }
    }
}

impl UsedProofs {
    /// When this process started, in seconds, by a clock that shows `now`.
    fn started_at(&self, now: Millis) -> i64 {
        let age = Millis::try_from(self.started.elapsed().as_millis()).unwrap_or(Millis::MAX);
        now.saturating_sub(age).div_euclid(1000)
    }

    /// Notes a proof of a moment in seconds; false when it was used before.
    fn claim(&self, proof: u128, now: i64) -> Result<bool, Error> {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= MOST_PROOFS {
            until.retain(|_, end| *end > now);
        }
        if until.len() >= MOST_PROOFS {
            let message = "Too many requests at once. Try again in a moment.";
            return Err(Error::new(Code::ServiceUnavailable, message).retry_after(5).for_load());
        }
        // As long as the proof itself would be accepted.
        Ok(until.insert(proof, now + OLDEST + AHEAD + 1).is_none_or(|end| end <= now))
    }
}

fn invalid(message: &'static str) -> Error {
    Error::bad_request(message).oauth("invalid_dpop_proof")
}

/// The service registered `dpop_bound_access_tokens` (RFC 9449, section 5.2).
#[must_use]
pub fn needed() -> Error {
    invalid("This service asks for tokens that are bound to a key: send a DPoP proof.")
}

/// An access token as a request presents it.
pub struct PresentedToken<'r> {
    /// The token.
    pub token: &'r str,
    /// Whether the scheme is `DPoP`, which announces a proof, and not `Bearer`.
    pub with_proof: bool,
}

/// A token that is bound to a key needs a proof of it, and one that is not takes none (RFC 9449, section 7.1 and 7.2).
pub fn check_binding(
    app: &App,
    request: &HttpRequest,
    presented: &PresentedToken<'_>,
    bound_to: Option<&Confirmation>,
) -> Result<(), Error> {
    let refused = |message: &'static str| Error::new(Code::JwtError, message);
    match (bound_to, presented.with_proof) {
        (None, false) => Ok(()),
        (None, true) => Err(refused("This access token is not bound to a key: send it as Bearer.")),
        // The reason why tokens are bound: who found one has no use for it.
        (Some(_), false) => {
            Err(refused("This access token is bound to a key: send it as DPoP, with a proof."))
        }
        (Some(key), true) => {
            let proved = proved_key(app, request, Some(presented.token)).map_err(|error| {
                let code = if error.code == Code::BadRequest { Code::JwtError } else { error.code };
                Error { code, ..error }
            })?;
            if proved.as_ref() == Some(&key.jkt) {
                return Ok(());
            }
            Err(refused("The access token needs a DPoP proof of the key that it is bound to."))
        }
    }
}

/// The thumbprint of the key that the request proves to hold; none when it carries no proof. `access_token` is the token
/// that the request presents, if it presents one.
pub fn proved_key(
    app: &App,
    request: &HttpRequest,
    access_token: Option<&str>,
) -> Result<Option<String>, Error> {
    let mut headers = request.headers().get_all(HEADER);
    let Some(header) = headers.next() else { return Ok(None) };
    // RFC 9449, section 4.3: exactly one.
    let text = header.to_str().ok().filter(|text| text.len() <= LONGEST_PROOF);
    let text = text.filter(|_| headers.next().is_none());
    let text = text.ok_or_else(|| invalid("Send one DPoP header with one proof."))?;
    let (claims, key) = read(text).ok_or_else(|| invalid("The DPoP proof is not valid."))?;
    let now_millis = app.clock.now();
    let now = now_millis.div_euclid(1000);
    let url = format!("{}{}", app.base_url, request.path());
    if claims.htm != request.method().as_str() || claims.htu.split(['?', '#']).next() != Some(url.as_str()) {
        return Err(invalid("The DPoP proof is for another request: htm and htu must name this one."));
    }
    let started = app.used_proofs.started_at(now_millis);
    if claims.iat > now + AHEAD || claims.iat < (now - OLDEST).max(started) {
        return Err(invalid("The DPoP proof is too old or from the future: make a new one."));
    }
    let ath = access_token.map(|token| URL_SAFE_NO_PAD.encode(sha256(token.as_bytes())));
    if ath.is_some() && claims.ath != ath {
        return Err(invalid("The DPoP proof is not for this access token: ath must be its hash."));
    }
    let hash = sha256(format!("{key}\n{}", claims.jti).as_bytes());
    let proof = u128::from_be_bytes(hash.first_chunk().copied().unwrap_or_default());
    if !app.used_proofs.claim(proof, now)? {
        return Err(invalid("The DPoP proof was used before: make a new one."));
    }
    Ok(Some(key))
}

/// The claims of a proof that the key in its header signed, and that key's thumbprint.
pub(super) fn read(text: &str) -> Option<(Claims, String)> {
    let header = URL_SAFE_NO_PAD.decode(text.split('.').next()?).ok()?;
    let header: Header = serde_json::from_slice(&header).ok()?;
    if header.typ != "dpop+jwt" || header.crit.is_some() || !ALGORITHMS.contains(&header.alg.as_str()) {
        return None;
    }
    // RFC 9449, section 4.3: a public key, and of the strength that every other key has to have.
    let set = client_keys::accept(&json!({ "keys": [header.jwk] })).ok()?;
    let key = set.get("keys")?.get(0)?;
    let claims: Claims = serde_json::from_slice(&verified_claims(key, &header.alg, text)?).ok()?;
    let named = (1..=LONGEST_JTI).contains(&claims.jti.len());
    Some((claims, thumbprint(key)?)).filter(|_| named)
}
