//! The rules an `id_token` must pass: OpenID Connect Core 1.0 section 3.1.3.7. Pure: keys, clock and expectations
//! come in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::Deserialize;
use serde_json::Value;

use super::jwks::VerificationKeys;
use crate::config::provider::ProviderKind;

/// Asymmetric only. Anything else, `none` and HMAC first of all, is refused (RFC 8725 section 3.1).
const ALGORITHMS: [Algorithm; 4] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA, Algorithm::PS256];

/// How far a provider's clock may be from ours, in seconds.
const LEEWAY: i64 = 60;

/// Core 1.0 section 2: a subject is at most this long.
const MAX_SUBJECT_BYTES: usize = 255;

/// The place of the tenant in the issuer of Microsoft's shared authorities.
const TENANT_PLACEHOLDER: &str = "{tenantid}";

/// Why an `id_token` was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum IdTokenError {
    /// The token answer has none, though `openid` was asked for.
    #[error("there is none")]
    Missing,
    /// Not a JWT, or its header names an algorithm that nobody knows (`none` among them).
    #[error("not a jwt")]
    Malformed,
    /// The header's `alg`, `typ` or `crit` is not allowed.
    #[error("header not allowed")]
    Header,
    /// No key of the provider fits the header.
    #[error("unknown key")]
    UnknownKey,
    /// The signature is wrong.
    #[error("wrong signature")]
    Signature,
    /// A required claim is missing or of the wrong type.
    #[error("claims not well formed")]
    Claims,
    /// `iss` is not the provider, or the key may not sign for it.
    #[error("wrong issuer")]
    Issuer,
    /// `sub` is empty, too long or not printable.
    #[error("unusable subject")]
    Subject,
    /// `aud` does not name us.
    #[error("wrong audience")]
    Audience,
    /// `azp` names another client, or is missing where there are several audiences.
    #[error("wrong authorized party")]
    AuthorizedParty,
    /// `exp` is past.
    #[error("expired")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("not yet valid")]
    NotYetValid,
    /// `nonce` is not the one that was sent.
    #[error("wrong nonce")]
    Nonce,
    /// `at_hash` belongs to another access token.
    #[error("wrong access token hash")]
    AccessTokenHash,
}

/// Which `iss` a provider may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IssuerRule {
    /// Exactly this one.
    Exact(String),
    /// Microsoft's shared authorities: the text around the tenant, which is the token's own `tid`.
    AnyTenant { before: String, after: String },
}

impl IssuerRule {
    /// Compares the issuer in the discovery document with the configured one; `None` when it is another. Microsoft's
    /// `common` and `organizations` authorities announce `{tenantid}` in their place.
    pub(super) fn new(kind: ProviderKind, configured: &str, documented: &str) -> Option<Self> {
        if configured == documented {
            return Some(Self::Exact(documented.to_owned()));
        }
        let (before, after) = documented.split_once(TENANT_PLACEHOLDER)?;
        let is_shared = ["common", "organizations"]
            .iter()
            .any(|authority| format!("{before}{authority}{after}") == configured);
        (kind == ProviderKind::Microsoft && is_shared && before.ends_with('/'))
            .then(|| Self::AnyTenant { before: before.to_owned(), after: after.to_owned() })
    }

    /// Whether a token with this `iss` and this `tid` is the provider's.
    pub(super) fn accepts(&self, iss: &str, tid: Option<&str>) -> bool {
        match self {
            Self::Exact(issuer) => iss == issuer,
            Self::AnyTenant { before, after } => {
                tid.is_some_and(|tid| is_tenant(tid) && iss == format!("{before}{tid}{after}"))
            }
        }
    }

    /// Whether a callback with this `iss` can be the provider's (RFC 9207 section 2.4). The tenant is not known yet.
    pub(super) fn may_send(&self, iss: &str) -> bool {
        match self {
            Self::Exact(issuer) => iss == issuer,
            Self::AnyTenant { before, after } => {
                let tenant =
                    iss.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after.as_str()));
                tenant.is_some_and(is_tenant)
            }
        }
    }
}

/// A tenant id is a UUID in its hyphenated form, the only one of 36 characters.
fn is_tenant(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

/// What the token must say.
#[derive(Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a IssuerRule,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) access_token: &'a str,
    /// Seconds since the Unix epoch.
    pub(super) now: i64,
}

/// The claims that are used. Times are integers and nothing else: a fraction or a text is not rounded into validity.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
    nonce: Option<String>,
    at_hash: Option<String>,
    tid: Option<String>,
    pub(super) email: Option<String>,
    pub(super) email_verified: Option<Value>,
    pub(super) xms_edov: Option<Value>,
    pub(super) name: Option<String>,
    pub(super) picture: Option<String>,
    pub(super) amr: Option<Value>,
    pub(super) auth_time: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Verifies signature and claims.
pub(super) fn verify(
    token: &str,
    keys: &VerificationKeys,
    expected: &Expected<'_>,
) -> Result<Claims, IdTokenError> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| IdTokenError::Malformed)?;
    check_header(&header)?;
    let key = keys.find(header.kid.as_deref(), header.alg).ok_or(IdTokenError::UnknownKey)?;
    let claims = jsonwebtoken::decode::<Claims>(token, &key.key, &signature_only(header.alg))
        .map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::Json(_) => IdTokenError::Claims,
            _ => IdTokenError::Signature,
        })?
        .claims;
    check_claims(&claims, expected)?;
    let key_may_sign = |issuer: &String| key_issuer_fits(issuer, &claims);
    if !key.issuer.as_ref().is_none_or(key_may_sign) {
        return Err(IdTokenError::Issuer);
    }
    check_access_token_hash(&claims, header.alg, expected.access_token)?;
    Ok(claims)
}

fn check_header(header: &Header) -> Result<(), IdTokenError> {
    // RFC 8725 section 3.11: no token of another kind, such as an access or a logout token, in its place.
    let is_jwt = header.typ.as_deref().is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"));
    // RFC 7515 section 4.1.11: extensions that are not understood must not be ignored.
    if !ALGORITHMS.contains(&header.alg) || !is_jwt || header.crit.is_some() {
        return Err(IdTokenError::Header);
    }
    Ok(())
}

/// jsonwebtoken checks the signature; the claims are ours, because it asks the machine's clock and takes fractions.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

/// Core 1.0 section 3.1.3.7, in its order.
fn check_claims(claims: &Claims, expected: &Expected<'_>) -> Result<(), IdTokenError> {
    if !expected.issuer.accepts(&claims.iss, claims.tid.as_deref()) {
        return Err(IdTokenError::Issuer);
    }
    let audiences = match &claims.aud {
        Audience::One(audience) => std::slice::from_ref(audience),
        Audience::Several(audiences) => audiences.as_slice(),
    };
    if !audiences.iter().any(|audience| audience == expected.client_id) {
        return Err(IdTokenError::Audience);
    }
    match claims.azp.as_deref() {
        Some(azp) if azp != expected.client_id => return Err(IdTokenError::AuthorizedParty),
        None if audiences.len() > 1 => return Err(IdTokenError::AuthorizedParty),
        _ => {}
    }
    if claims.exp <= expected.now.saturating_sub(LEEWAY) {
        return Err(IdTokenError::Expired);
    }
    let latest = expected.now.saturating_add(LEEWAY);
    if claims.iat > latest || claims.nbf.is_some_and(|nbf| nbf > latest) {
        return Err(IdTokenError::NotYetValid);
    }
    if claims.nonce.as_deref() != Some(expected.nonce) {
        return Err(IdTokenError::Nonce);
    }
    let sub_fits = (1..=MAX_SUBJECT_BYTES).contains(&claims.sub.len());
    if !sub_fits || claims.sub.chars().any(char::is_control) {
        return Err(IdTokenError::Subject);
    }
    Ok(())
}

/// Microsoft publishes the keys of several issuers in one set and marks each with the issuer it is for.
fn key_issuer_fits(key_issuer: &str, claims: &Claims) -> bool {
    key_issuer.replace(TENANT_PLACEHOLDER, claims.tid.as_deref().unwrap_or(TENANT_PLACEHOLDER)) == claims.iss
}

/// Core 1.0 section 3.1.3.6: the left half of the access token's hash, with the hash of the signature algorithm.
fn check_access_token_hash(
    claims: &Claims,
    algorithm: Algorithm,
    access_token: &str,
) -> Result<(), IdTokenError> {
    let Some(at_hash) = &claims.at_hash else { return Ok(()) };
    let hash = match algorithm {
        Algorithm::EdDSA => &ring::digest::SHA512, // Ed25519 hashes with SHA-512 (RFC 8032 section 5.1)
        _ => &ring::digest::SHA256,
    };
    let digest = ring::digest::digest(hash, access_token.as_bytes());
    let left_half = digest.as_ref().get(..digest.as_ref().len() / 2).unwrap_or_default();
    if URL_SAFE_NO_PAD.encode(left_half) == *at_hash { Ok(()) } else { Err(IdTokenError::AccessTokenHash) }
}

#[cfg(test)]
#[path = "id_token_tests.rs"]
mod tests;
