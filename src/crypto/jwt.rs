//! JSON Web Tokens: signing, verification, the published key set.
//!
//! Verification is strict about form because every token it accepts was made here: an exact header, exact types, no
//! member twice. Times are judged by our own clock, by the caller.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::signing_keys::SealedSigningKey;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use super::random::Random;
use super::sealed::Sealer;

/// Context under which signing keys are sealed.
const SEAL_CONTEXT: &str = "signing key";
/// The largest token that is looked at, in bytes.
const MAX_TOKEN_LENGTH: usize = 8 * 1024;

/// The signing keys could not be made ready.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The stored key does not open with this root secret.
    #[error(
        "the signing key {0} cannot be opened: JWT_SECRET is not the one that the database was written with"
    )]
    WrongSecret(String),
    /// What was opened is no key.
    #[error("the signing key {0} is damaged")]
    Damaged(String),
    /// No key could be made.
    #[error("no signing key could be made")]
    Generation,
}

/// The token was not made here, or is not what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the token is not valid")]
pub struct InvalidToken;

struct SigningKey {
    key_id: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    public_jwk: Value,
}

/// Every live key; the first signs.
pub struct SigningKeys {
    keys: Vec<SigningKey>,
}

/// The header of every token that this service signs. A member more and the token is not ours.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnHeader {
    alg: String,
    typ: String,
    kid: String,
}

/// RFC 9068 access token claims with the product's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Issuer: `BASE_URL`.
    pub iss: String,
    /// The user's public id.
    pub sub: String,
    /// The service's client id, or the management API.
    pub aud: String,
    /// Expiry, in seconds since the Unix epoch.
    pub exp: i64,
    /// Issue time, in seconds since the Unix epoch.
    pub iat: i64,
    /// Not before, in seconds since the Unix epoch. Never issued, but honoured (RFC 7519, section 4.1.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Unique id of this token.
    pub jti: String,
    /// The session's public id.
    pub sid: String,
    /// The client that the token was issued to.
    pub client_id: String,
    /// Granted scope, space-separated.
    pub scope: String,
    /// Always `access`.
    pub token_use: String,
    /// When the user signed in at the provider, in seconds since the Unix epoch.
    pub auth_time: i64,
    /// Verified address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether the user owns the platform. Informs; rights are read from the database.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_platform_owner: bool,
    /// The organization's slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// The service's slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The plan's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The plan's features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
    /// Seats, when the plan was bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seats: Option<i64>,
    /// Until when the subscription is paid, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_period_end: Option<i64>,
    /// When `plan` and `features` end by themselves, in seconds since the Unix epoch: past it the holder has the
    /// service's default plan, whether or not this token still lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entitlements_exp: Option<i64>,
    /// Grows with every change of what the user bought: a smaller one than `/api/subscription` shows is out of date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entitlements_version: Option<i64>,
}

/// What an `id_token` of ours says, as far as it is read back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct IdClaims {
    /// Issuer: `BASE_URL`.
    pub iss: String,
    /// The user's public id.
    pub sub: String,
    /// The client that it was made for.
    pub aud: String,
    /// The session's public id.
    pub sid: String,
}

/// What kind of token a header announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// `at+jwt` (RFC 9068, section 2.1).
    Access,
    /// `JWT` (OpenID Connect Core, section 2).
    Id,
    /// `logout+jwt` (OpenID Connect Back-Channel Logout, section 2.4).
    Logout,
}

impl TokenType {
    fn name(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Id => "JWT",
            Self::Logout => "logout+jwt",
        }
    }
}

/// Makes a new ES256 key, sealed for the database.
pub fn generate(random: &Random, sealer: &Sealer, now: Millis) -> Result<SealedSigningKey, KeyError> {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, random.source())
        .map_err(|_| KeyError::Generation)?;
    let private_sealed = sealer.seal(random, SEAL_CONTEXT, document.as_ref()).ok_or(KeyError::Generation)?;
    let key_id = URL_SAFE_NO_PAD.encode(random.bytes::<12>());
    Ok(SealedSigningKey { key_id, private_sealed, created_at: now })
}

impl SigningKeys {
    /// Opens the stored keys, newest first.
    pub fn open(sealer: &Sealer, random: &Random, stored: &[SealedSigningKey]) -> Result<Self, KeyError> {
        let keys = stored.iter().map(|key| open_key(sealer, random, key)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { keys })
    }

    /// Signs `claims` with the newest key.
    pub fn sign(&self, token_type: TokenType, claims: &impl Serialize) -> Result<String, KeyError> {
        let key = self.keys.first().ok_or(KeyError::Generation)?;
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(token_type.name().to_owned());
        header.kid = Some(key.key_id.clone());
        jsonwebtoken::encode(&header, claims, &key.encoding)
            .map_err(|_| KeyError::Damaged(key.key_id.clone()))
    }

    /// Checks the signature of an access token and that it was issued by `issuer`. Not whether it expired, and not
    /// whether its session lives: the caller has the clock and the store.
    pub fn verify_access_token(&self, issuer: &str, token: &str) -> Result<AccessClaims, InvalidToken> {
        // RFC 9068, section 4: the type must be checked, or an id_token would pass for an access token.
        let claims: AccessClaims = self.verify(TokenType::Access, token)?;
        if claims.iss != issuer || claims.token_use != "access" {
            return Err(InvalidToken);
        }
        Ok(claims)
    }

    /// Checks that an `id_token` was made here. Expired or not: as a hint it names somebody, it opens nothing
    /// (OpenID Connect Core, section 3.1.2.1).
    pub fn verify_id_token(&self, issuer: &str, token: &str) -> Result<IdClaims, InvalidToken> {
        let claims: IdClaims = self.verify(TokenType::Id, token)?;
        if claims.iss == issuer { Ok(claims) } else { Err(InvalidToken) }
    }

    /// Checks form, type and signature.
    fn verify<T: DeserializeOwned>(&self, token_type: TokenType, token: &str) -> Result<T, InvalidToken> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(InvalidToken);
        }
        let header = token.split('.').next().ok_or(InvalidToken)?;
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| InvalidToken)?;
        let header: OwnHeader = serde_json::from_slice(&header).map_err(|_| InvalidToken)?;
        if header.typ != token_type.name() || header.alg != "ES256" {
            return Err(InvalidToken);
        }
        let key = self.keys.iter().find(|key| key.key_id == header.kid).ok_or(InvalidToken)?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let token = jsonwebtoken::decode::<T>(token, &key.decoding, &validation);
        token.map(|token| token.claims).map_err(|_| InvalidToken)
    }

    /// The published key set (RFC 7517, section 5): public members only.
    #[must_use]
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.keys.iter().map(|key| &key.public_jwk).collect::<Vec<_>>() })
    }
}

fn open_key(sealer: &Sealer, random: &Random, stored: &SealedSigningKey) -> Result<SigningKey, KeyError> {
    let damaged = || KeyError::Damaged(stored.key_id.clone());
    let private = sealer
        .open(SEAL_CONTEXT, &stored.private_sealed)
        .ok_or_else(|| KeyError::WrongSecret(stored.key_id.clone()))?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private, random.source())
        .map_err(|_| damaged())?;
    // An uncompressed point: 0x04, x, y.
    let point = pair.public_key().as_ref();
    let (x, y) = point.get(1..).and_then(|rest| rest.split_at_checked(32)).ok_or_else(damaged)?;
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    Ok(SigningKey {
        key_id: stored.key_id.clone(),
        encoding: EncodingKey::from_ec_der(&private),
        decoding: DecodingKey::from_ec_components(&x, &y).map_err(|_| damaged())?,
        public_jwk: json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": stored.key_id, "x": x, "y": y,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> SigningKeys {
        let random = Random::default();
        let sealer = Sealer::new(&[[9; 32]]);
        let stored = generate(&random, &sealer, 0).unwrap();
        SigningKeys::open(&sealer, &random, &[stored]).unwrap()
    }

    fn claims() -> AccessClaims {
        AccessClaims {
            iss: "https://id.test".to_owned(),
            sub: "user".to_owned(),
            aud: "demo-web".to_owned(),
            exp: 10,
            iat: 0,
            nbf: None,
            jti: "1".to_owned(),
            sid: "s".to_owned(),
            client_id: "demo-web".to_owned(),
            scope: "openid".to_owned(),
            token_use: "access".to_owned(),
            auth_time: 0,
            email: None,
            is_platform_owner: false,
            org: Some("demo".to_owned()),
            service: Some("web".to_owned()),
            plan: Some("free".to_owned()),
            features: Some(Vec::new()),
            seats: None,
            current_period_end: None,
            entitlements_exp: None,
            entitlements_version: Some(0),
        }
    }

    #[test]
    fn a_signed_token_reads_back() {
        let keys = keys();
        let token = keys.sign(TokenType::Access, &claims()).unwrap();
        assert_eq!(keys.verify_access_token("https://id.test", &token), Ok(claims()));
        assert_eq!(keys.verify_access_token("https://other.test", &token), Err(InvalidToken));
    }

    #[test]
    fn an_id_token_is_no_access_token() {
        let keys = keys();
        let token = keys.sign(TokenType::Id, &claims()).unwrap();
        assert_eq!(keys.verify_access_token("https://id.test", &token), Err(InvalidToken));
        assert_eq!(
            keys.verify_id_token("https://id.test", &token).map(|claims| claims.sub),
            Ok("user".to_owned())
        );
        assert_eq!(keys.verify_id_token("https://other.test", &token), Err(InvalidToken));
        let access = keys.sign(TokenType::Access, &claims()).unwrap();
        assert_eq!(keys.verify_id_token("https://id.test", &access), Err(InvalidToken));
    }

    #[test]
    fn form_is_exact() {
        let keys = keys();
        let token = keys.sign(TokenType::Access, &claims()).unwrap();
        let [head, body, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
        let other_header = |json: &str| format!("{}.{body}.{signature}", URL_SAFE_NO_PAD.encode(json));
        for forged in [
            format!("{token}."),
            format!("{head}.{body}"),
            format!("{head}.{body}.{signature}="),
            format!("{head}.{body}.{signature}.{signature}"),
            format!("{head} .{body}.{signature}"),
            other_header(r#"{"alg":"none","typ":"at+jwt","kid":"x"}"#),
            other_header(r#"{"alg":"HS256","typ":"at+jwt","kid":"x"}"#),
            other_header(r#"{"alg":"ES256","typ":"at+jwt"}"#),
            other_header(r#"{"alg":"ES256","typ":"at+jwt","kid":"../../../dev/null"}"#),
            other_header(r#"{"alg":"ES256","typ":"at+jwt","kid":"x","jku":"https://evil.test"}"#),
            String::new(),
            "a".repeat(1_000_000),
        ] {
            assert_eq!(keys.verify_access_token("https://id.test", &forged), Err(InvalidToken));
        }
    }

    #[test]
    fn signed_claims_of_wrong_type_or_twice_are_refused() {
        let keys = keys();
        let mut wrong = serde_json::to_value(claims()).unwrap();
        wrong["exp"] = json!("10");
        let token = keys.sign(TokenType::Access, &wrong).unwrap();
        assert_eq!(keys.verify_access_token("https://id.test", &token), Err(InvalidToken));
        let once = serde_json::to_string(&claims()).unwrap();
        let twice = once.replacen("\"sub\":\"user\"", "\"sub\":\"user\",\"sub\":\"admin\"", 1);
        assert_ne!(once, twice);
        assert!(serde_json::from_str::<AccessClaims>(&twice).is_err());
    }

    #[test]
    fn another_root_secret_does_not_open_the_key() {
        let random = Random::default();
        let stored = generate(&random, &Sealer::new(&[[1; 32]]), 0).unwrap();
        let opened = SigningKeys::open(&Sealer::new(&[[2; 32]]), &random, &[stored]);
        assert!(matches!(opened, Err(KeyError::WrongSecret(_))));
    }
}
