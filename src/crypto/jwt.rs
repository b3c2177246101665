//! JSON Web Tokens: signing, verification, the published key set.
//!
//! Verification is strict about form because every token it accepts was made here: an exact header, exact types, no
//! member twice. Times are judged by our own clock, by the caller.

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::clock::{Clock, Millis};
use gatehouse_actors::data::client_registration::SigningAlgorithm;
use gatehouse_actors::data::signing_keys::{KEY_OVERLAP, SealedSigningKey, begins_at, succeeded_at};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

pub use super::claims::{AccessClaims, Audience, ClientClaims, Confirmation, IdClaims};
use super::sealed::Sealer;
pub use super::signing_key::KeyError;
use super::signing_key::SigningKey;
use super::verified::{Proof, Verified};

/// The largest token that is looked at, in bytes.
const MAX_TOKEN_LENGTH: usize = 8 * 1024;

/// The token was not made here, or is not what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the token is not valid")]
pub struct InvalidToken;

/// The header of every token that this service signs. A member more (`jku`, `x5u`, `jwk`, `crit`) and the token is not
/// ours.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnHeader {
    alg: String,
    typ: String,
    kid: String,
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

/// A key and the part of time in which it is good.
struct Dated {
    key: SigningKey,
    signs_from: Millis,
    /// When its successor begins; none for the newest.
    signs_until: Option<Millis>,
}

impl Dated {
    fn signs(&self, now: Millis) -> bool {
        self.signs_from <= now && self.signs_until.is_none_or(|end| now < end)
    }

    fn is_published(&self, now: Millis) -> bool {
        self.signs_until.is_none_or(|end| now < end + KEY_OVERLAP)
    }
}

/// Every key that was not withdrawn, parsed. Replaced as a whole when the stored keys change; nothing waits for that.
pub struct SigningKeys {
    clock: Arc<dyn Clock>,
    loaded: RwLock<Arc<Vec<Dated>>>,
    verified: Verified,
}

fn open_all(sealer: &Sealer, stored: &[SealedSigningKey]) -> Result<Arc<Vec<Dated>>, KeyError> {
    let live = stored.iter().enumerate().filter(|(_, key)| key.retired_at.is_none());
    let keys = live.map(|(index, sealed)| {
        let key = SigningKey::open(sealer, sealed)?;
        let signs_from = begins_at(stored, index).unwrap_or(sealed.signs_from);
        Ok(Dated { key, signs_from, signs_until: succeeded_at(stored, index) })
    });
    keys.collect::<Result<Vec<_>, _>>().map(Arc::new)
}

impl SigningKeys {
    /// Opens the stored keys, newest first.
    pub fn open(
        clock: Arc<dyn Clock>,
        sealer: &Sealer,
        stored: &[SealedSigningKey],
    ) -> Result<Self, KeyError> {
        let loaded = RwLock::new(open_all(sealer, stored)?);
        Ok(Self { clock, loaded, verified: Verified::default() })
    }

    /// Takes what is stored now instead of what was. On an error everything stays as it is.
    pub fn reload(&self, sealer: &Sealer, stored: &[SealedSigningKey]) -> Result<(), KeyError> {
        let opened = open_all(sealer, stored)?;
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = opened;
        // What a key that was withdrawn signed is genuine no longer.
        self.verified.forget();
        Ok(())
    }

    fn loaded(&self) -> Arc<Vec<Dated>> {
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Signs `claims` with the active ES256 key.
    pub fn sign(&self, token_type: TokenType, claims: &impl Serialize) -> Result<String, KeyError> {
        self.sign_with(SigningAlgorithm::Es256, token_type, claims)
    }

    /// Signs `claims` with the active key of an algorithm.
    pub fn sign_with(
        &self,
        algorithm: SigningAlgorithm,
        token_type: TokenType,
        claims: &impl Serialize,
    ) -> Result<String, KeyError> {
        let (keys, now) = (self.loaded(), self.clock.now());
        let mut usable = keys.iter().filter(|dated| dated.key.algorithm == algorithm);
        let key = &usable.find(|dated| dated.signs(now)).ok_or(KeyError::Generation)?.key;
        let header = json!({ "alg": algorithm.as_str(), "typ": token_type.name(), "kid": key.key_id });
        let claims = serde_json::to_vec(claims).map_err(|_| KeyError::Claims)?;
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        // RFC 7515, section 7.1.
        let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(&claims));
        let signature = key.sign(message.as_bytes())?;
        Ok(format!("{message}.{}", encode(&signature)))
    }

    /// Checks the signature of an access token and that it was issued by `issuer`. Not whether it expired, and not
    /// whether its session lives: the caller has the clock and the store.
    ///
    /// What was proved once is remembered until the token expires: the same bytes under the same keys.
    pub fn verify_access_token(&self, issuer: &str, token: &str) -> Result<Arc<AccessClaims>, InvalidToken> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(InvalidToken);
        }
        let (now, proof, keys_then) = (self.clock.now(), Proof::of(issuer, token), self.verified.keys());
        if let Some(claims) = self.verified.find(&proof, now) {
            return Ok(claims);
        }
        // RFC 9068, section 4: the type must be checked, or an id_token would pass for an access token.
        let (claims, good_until): (AccessClaims, _) = self.verify(TokenType::Access, token, |dated| {
            dated.key.algorithm == SigningAlgorithm::Es256 && dated.is_published(now)
        })?;
        if claims.iss != issuer || claims.token_use != "access" {
            return Err(InvalidToken);
        }
        let claims = Arc::new(claims);
        let until = good_until.unwrap_or(Millis::MAX).min(claims.exp.saturating_mul(1000));
        self.verified.keep(proof, &claims, until, keys_then);
        Ok(claims)
    }

    /// The same for the token of a service that acts for itself.
    pub fn verify_client_token(&self, issuer: &str, token: &str) -> Result<ClientClaims, InvalidToken> {
        let now = self.clock.now();
        let (claims, _): (ClientClaims, _) = self.verify(TokenType::Access, token, |dated| {
            dated.key.algorithm == SigningAlgorithm::Es256 && dated.is_published(now)
        })?;
        let own = claims.iss == issuer && claims.token_use == "access" && claims.sub == claims.client_id;
        if own { Ok(claims) } else { Err(InvalidToken) }
    }

    /// Checks that an `id_token` was made here. Expired or not, and also with a key that is retired by age: as a hint
    /// it names somebody, it opens nothing (OpenID Connect Core, section 3.1.2.1).
    pub fn verify_id_token(&self, issuer: &str, token: &str) -> Result<IdClaims, InvalidToken> {
        let (claims, _): (IdClaims, _) = self.verify(TokenType::Id, token, |_| true)?;
        if claims.iss == issuer { Ok(claims) } else { Err(InvalidToken) }
    }

    /// Checks form, type and signature, with a key that `is_good`. Returns the claims, and until when the key is
    /// published; none for the newest.
    fn verify<T: DeserializeOwned>(
        &self,
        token_type: TokenType,
        token: &str,
        is_good: impl Fn(&Dated) -> bool,
    ) -> Result<(T, Option<Millis>), InvalidToken> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(InvalidToken);
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidToken);
        let (message, signature) = token.rsplit_once('.').ok_or(InvalidToken)?;
        let (header, claims) = message.split_once('.').ok_or(InvalidToken)?;
        let header: OwnHeader = serde_json::from_slice(&decode(header)?).map_err(|_| InvalidToken)?;
        let keys = self.loaded();
        let named = keys.iter().find(|dated| dated.key.key_id == header.kid && is_good(dated));
        let Dated { key, signs_until, .. } = named.ok_or(InvalidToken)?;
        if header.typ != token_type.name() || header.alg != key.algorithm.as_str() {
            return Err(InvalidToken);
        }
        let (claims, signature) = (decode(claims)?, decode(signature)?);
        if !key.verifies(message.as_bytes(), &signature) {
            return Err(InvalidToken);
        }
        let claims = serde_json::from_slice(&claims).map_err(|_| InvalidToken)?;
        Ok((claims, signs_until.map(|end| end + KEY_OVERLAP)))
    }

    /// The published key set (RFC 7517, section 5): public members only, of every key that signs, will sign, or signed
    /// something that is still good.
    #[must_use]
    pub fn jwks(&self) -> Value {
        let (keys, now) = (self.loaded(), self.clock.now());
        let published = keys.iter().filter(|dated| dated.is_published(now));
        json!({ "keys": published.map(|dated| &dated.key.public_jwk).collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_actors::clock::TestClock;

    use super::super::random::Random;
    use super::super::signing_key::generate;
    use super::*;

    const SEALER: [[u8; 32]; 1] = [[9; 32]];

    fn key(algorithm: SigningAlgorithm, signs_from: Millis) -> SealedSigningKey {
        generate(&Random::default(), &Sealer::new(&SEALER), algorithm, (0, signs_from)).unwrap()
    }

    fn opened(clock: &Arc<TestClock>, stored: &[SealedSigningKey]) -> SigningKeys {
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(clock);
        SigningKeys::open(clock, &Sealer::new(&SEALER), stored).unwrap()
    }

    fn keys() -> SigningKeys {
        opened(&Arc::new(TestClock::at(0)), &[key(SigningAlgorithm::Es256, 0)])
    }

    fn key_ids(keys: &SigningKeys) -> Vec<String> {
        let published = keys.jwks();
        published["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect()
    }

    fn signed_by(token: &str) -> String {
        let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        header["kid"].as_str().unwrap().to_owned()
    }

    fn claims() -> AccessClaims {
        AccessClaims {
            iss: "https://id.test".to_owned(),
            sub: "user".to_owned(),
            aud: Audience::One("demo-web".to_owned()),
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
            cnf: None,
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
        for _ in 0..2 {
            assert_eq!(keys.verify_access_token("https://id.test", &token), Ok(Arc::new(claims())));
        }
        assert_eq!(keys.verify_access_token("https://other.test", &token), Err(InvalidToken));
    }

    #[test]
    fn an_id_token_is_no_access_token() {
        let keys = keys();
        let token = keys.sign(TokenType::Id, &claims()).unwrap();
        assert_eq!(keys.verify_access_token("https://id.test", &token), Err(InvalidToken));
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
    fn keys_follow_one_another_without_a_gap() {
        let clock = Arc::new(TestClock::at(0));
        let (old, new) = (key(SigningAlgorithm::Es256, 0), key(SigningAlgorithm::Es256, 1000));
        let keys = opened(&clock, &[new.clone(), old.clone()]);
        let issuer = "https://id.test";
        let early = keys.sign(TokenType::Access, &claims()).unwrap();
        assert_eq!((signed_by(&early), key_ids(&keys).len()), (old.key_id.clone(), 2));
        clock.advance(1000);
        let late = keys.sign(TokenType::Access, &claims()).unwrap();
        assert_eq!(signed_by(&late), new.key_id);
        for token in [&early, &late] {
            assert!(keys.verify_access_token(issuer, token).is_ok());
        }
        let hint = keys.sign(TokenType::Id, &claims()).unwrap();
        clock.advance(KEY_OVERLAP);
        assert_eq!(key_ids(&keys), std::slice::from_ref(&new.key_id));
        assert_eq!(keys.verify_access_token(issuer, &early), Err(InvalidToken));
        assert!(keys.verify_access_token(issuer, &late).is_ok());
        // Withdrawn, a key is worth nothing, not even as a hint.
        assert!(keys.verify_id_token(issuer, &hint).is_ok());
        let withdrawn = SealedSigningKey { retired_at: Some(1), ..new };
        keys.reload(&Sealer::new(&SEALER), &[withdrawn, old]).unwrap();
        assert_eq!(keys.verify_id_token(issuer, &hint), Err(InvalidToken));
        assert_eq!(keys.verify_access_token(issuer, &late), Err(InvalidToken));
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_the_first_key_to_sign() {
        let clock = Arc::new(TestClock::at(3_600_000));
        let (first, next) =
            (key(SigningAlgorithm::Es256, 3_600_000), key(SigningAlgorithm::Es256, 4_200_000));
        let keys = opened(&clock, &[next, first.clone()]);
        clock.advance(-3_600_000);
        let token = keys.sign(TokenType::Access, &claims()).unwrap();
        assert_eq!(signed_by(&token), first.key_id);
        assert!(keys.verify_access_token("https://id.test", &token).is_ok());
    }

    #[test]
    fn every_algorithm_signs_id_tokens_and_only_one_signs_access_tokens() {
        let stored = SigningAlgorithm::ALL.map(|algorithm| key(algorithm, 0));
        let keys = opened(&Arc::new(TestClock::at(0)), &stored);
        for algorithm in SigningAlgorithm::ALL {
            let id = keys.sign_with(algorithm, TokenType::Id, &claims()).unwrap();
            assert!(keys.verify_id_token("https://id.test", &id).is_ok());
            let access = keys.sign_with(algorithm, TokenType::Access, &claims()).unwrap();
            let accepted = keys.verify_access_token("https://id.test", &access).is_ok();
            assert_eq!(accepted, algorithm == SigningAlgorithm::Es256);
        }
    }
}
