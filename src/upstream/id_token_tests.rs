//! Tests of the `id_token` rules, with a real key.

use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::Jwk;
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;

use super::*;

const NOW: i64 = 1_800_000_000;
const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
const SHARED: &str = "https://login.test/common/v2.0";
const TEMPLATE: &str = "https://login.test/{tenantid}/v2.0";

struct Signer {
    key: EncodingKey,
    keys: VerificationKeys,
}

impl Signer {
    fn new(more: &Value) -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let key = EncodingKey::from_ec_der(pkcs8.as_ref());
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap()).unwrap();
        jwk["kid"] = json!("k");
        for (name, value) in more.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        let set: super::super::jwks::JwkSet = serde_json::from_value(json!({ "keys": [jwk] })).unwrap();
        Self { key, keys: set.into() }
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_with(&Header { kid: Some("k".to_owned()), ..Header::new(Algorithm::ES256) }, claims)
    }

    fn sign_with(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.key).unwrap()
    }
}

/// Good claims with changes; a change to null removes the claim.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": "https://id.test", "sub": "1", "aud": "client", "exp": NOW + 300, "iat": NOW, "nonce": "n",
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
    }
    claims
}

fn exact() -> IssuerRule {
    IssuerRule::Exact("https://id.test".to_owned())
}

fn expected(issuer: &IssuerRule) -> Expected<'_> {
    Expected { issuer, client_id: "client", nonce: "n", access_token: "token", now: NOW }
}

fn verdict(signer: &Signer, token: &str) -> Result<(), IdTokenError> {
    verify(token, &signer.keys, &expected(&exact())).map(|_| ())
}

#[test]
fn every_claim_is_checked() {
    let signer = Signer::new(&json!({}));
    let at_hash = {
        let digest = ring::digest::digest(&ring::digest::SHA256, b"token");
        URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16])
    };
    let cases: Vec<(Value, Result<(), IdTokenError>)> = vec![
        (json!({}), Ok(())),
        (json!({ "iss": "https://id.test/" }), Err(IdTokenError::Issuer)),
        (json!({ "iss": null }), Err(IdTokenError::Claims)),
        (json!({ "iss": ["https://id.test"] }), Err(IdTokenError::Claims)),
        (json!({ "sub": "" }), Err(IdTokenError::Subject)),
        (json!({ "sub": "a\u{0}" }), Err(IdTokenError::Subject)),
        (json!({ "sub": "a".repeat(256) }), Err(IdTokenError::Subject)),
        (json!({ "sub": 7 }), Err(IdTokenError::Claims)),
        (json!({ "aud": "other" }), Err(IdTokenError::Audience)),
        (json!({ "aud": [] }), Err(IdTokenError::Audience)),
        (json!({ "aud": null }), Err(IdTokenError::Claims)),
        (json!({ "aud": ["client"] }), Ok(())),
        (json!({ "aud": ["client", "other"] }), Err(IdTokenError::AuthorizedParty)),
        (json!({ "aud": ["client", "other"], "azp": "client" }), Ok(())),
        (json!({ "azp": "other" }), Err(IdTokenError::AuthorizedParty)),
        (json!({ "exp": NOW - 60 }), Err(IdTokenError::Expired)),
        (json!({ "exp": NOW - 59 }), Ok(())),
        (json!({ "exp": null }), Err(IdTokenError::Claims)),
        (json!({ "exp": 1.9e9 }), Err(IdTokenError::Claims)),
        (json!({ "exp": "1900000000" }), Err(IdTokenError::Claims)),
        (json!({ "exp": u64::MAX }), Err(IdTokenError::Claims)),
        (json!({ "iat": NOW + 60 }), Ok(())),
        (json!({ "iat": NOW + 61 }), Err(IdTokenError::NotYetValid)),
        (json!({ "iat": null }), Err(IdTokenError::Claims)),
        (json!({ "nbf": NOW + 61 }), Err(IdTokenError::NotYetValid)),
        (json!({ "nbf": i64::MIN }), Ok(())),
        (json!({ "nonce": "other" }), Err(IdTokenError::Nonce)),
        (json!({ "nonce": null }), Err(IdTokenError::Nonce)),
        (json!({ "at_hash": at_hash }), Ok(())),
        (json!({ "at_hash": "AAAA" }), Err(IdTokenError::AccessTokenHash)),
    ];
    for (changes, result) in cases {
        assert_eq!(verdict(&signer, &signer.sign(&claims(&changes))), result, "{changes}");
    }
}

#[test]
fn only_the_providers_keys_sign() {
    let (signer, stranger) = (Signer::new(&json!({})), Signer::new(&json!({})));
    let token = stranger.sign(&claims(&json!({})));
    assert_eq!(verdict(&signer, &token), Err(IdTokenError::Signature));
    let other_kid = Header { kid: Some("z".to_owned()), ..Header::new(Algorithm::ES256) };
    assert_eq!(
        verdict(&signer, &signer.sign_with(&other_kid, &claims(&json!({})))),
        Err(IdTokenError::UnknownKey)
    );
    let no_kid = signer.sign_with(&Header::new(Algorithm::ES256), &claims(&json!({})));
    assert_eq!(verdict(&signer, &no_kid), Ok(()));
}

#[test]
fn headers_that_ask_for_less_are_refused() {
    let signer = Signer::new(&json!({}));
    let good = signer.sign(&claims(&json!({})));
    let payload = good.split('.').nth(1).unwrap();
    let with_header = |header: &Value, signature: &str| {
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(header.to_string()))
    };
    assert_eq!(verdict(&signer, &with_header(&json!({ "alg": "none" }), "")), Err(IdTokenError::Malformed));
    assert_eq!(
        verdict(&signer, &with_header(&json!({ "alg": "HS256", "kid": "k" }), "AAAA")),
        Err(IdTokenError::Header)
    );
    assert_eq!(
        verdict(&signer, &with_header(&json!({ "alg": "RS256", "kid": "k" }), "AAAA")),
        Err(IdTokenError::UnknownKey)
    );
    for header in [
        Header { typ: Some("at+jwt".to_owned()), ..Header::new(Algorithm::ES256) },
        Header { crit: Some(vec!["b64".to_owned()]), ..Header::new(Algorithm::ES256) },
    ] {
        let token = signer.sign_with(&header, &claims(&json!({})));
        assert_eq!(verdict(&signer, &token), Err(IdTokenError::Header));
    }
}

#[test]
fn microsofts_shared_authorities_stand_for_any_tenant() {
    let rule = IssuerRule::new(ProviderKind::Microsoft, SHARED, TEMPLATE).unwrap();
    let organizations = "https://login.test/organizations/v2.0";
    assert!(IssuerRule::new(ProviderKind::Microsoft, organizations, TEMPLATE).is_some());
    for (kind, configured) in [
        (ProviderKind::Oidc, SHARED),
        (ProviderKind::Microsoft, "https://login.test/consumers/v2.0"),
        (ProviderKind::Microsoft, "https://evil.test/common/v2.0"),
        (ProviderKind::Microsoft, "https://login.test/common/v1.0"),
    ] {
        assert_eq!(IssuerRule::new(kind, configured, TEMPLATE), None, "{configured}");
    }
    let iss = format!("https://login.test/{TENANT}/v2.0");
    assert!(rule.accepts(&iss, Some(TENANT)) && rule.may_send(&iss));
    assert!(!rule.accepts(&iss, None));
    assert!(!rule.accepts(&iss, Some("9188040d-6c67-4c5b-b112-36a304b66dad")));
    assert!(!rule.accepts(TEMPLATE, Some(TENANT)));
    assert!(!rule.accepts("https://login.test/{tenantid}/v2.0", Some("{tenantid}")));
    assert!(!rule.may_send(SHARED) && !rule.may_send("https://evil.test/"));
    assert!(!rule.accepts("https://login.test/a/b/v2.0", Some("a/b")));
}

#[test]
fn a_key_signs_only_for_its_own_issuer() {
    let rule = IssuerRule::new(ProviderKind::Microsoft, SHARED, TEMPLATE).unwrap();
    let iss = format!("https://login.test/{TENANT}/v2.0");
    let verdict = |key_issuer: &str| {
        let signer = Signer::new(&json!({ "issuer": key_issuer }));
        let token = signer.sign(&claims(&json!({ "iss": iss, "tid": TENANT })));
        verify(&token, &signer.keys, &expected(&rule)).map(|claims| claims.iss)
    };
    assert_eq!(verdict(TEMPLATE), Ok(iss.clone()));
    assert_eq!(verdict(&iss), Ok(iss.clone()));
    let consumers = "https://login.test/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0";
    assert_eq!(verdict(consumers), Err(IdTokenError::Issuer));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_damaged_token_passes(position in 0usize..4096, byte in 1u8..=255) {
        let signer = Signer::new(&json!({}));
        let mut token = signer.sign(&claims(&json!({}))).into_bytes();
        let position = position % token.len();
        token[position] ^= byte;
        if let Ok(text) = String::from_utf8(token) {
            prop_assert!(verdict(&signer, &text).is_err());
        }
    }

    #[test]
    fn no_text_panics(text in "[A-Za-z0-9_.{}\"-]{0,200}") {
        let verdict = verdict(&Signer::new(&json!({})), &text);
        prop_assert!(verdict.is_err());
    }

    #[test]
    fn a_token_lives_from_iat_to_exp(exp: i64, iat: i64, now: i64) {
        let value = claims(&json!({ "exp": exp, "iat": iat }));
        let claims: Claims = serde_json::from_value(value).unwrap();
        let rule = exact();
        let verdict = check_claims(&claims, &Expected { now, ..expected(&rule) });
        let lives = i128::from(exp) > i128::from(now) - 60 && i128::from(iat) <= i128::from(now) + 60;
        // At the ends of the range the leeway saturates, towards refusal for `exp`.
        prop_assume!(now > i64::MIN + 60 && now < i64::MAX - 60);
        prop_assert_eq!(verdict.is_ok(), lives);
    }
}
