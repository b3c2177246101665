//! Fuzz targets of what only this folder sees: see `crate::fuzzing`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a property that does not hold must fail")]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::client::basic;
use super::fields::Fields;
use super::input::Params;
use super::{client_assertion, dpop};
use crate::crypto::thumbprint::thumbprint;
use crate::fuzzing::{lines, text};

/// A key that signs whatever the input says, since a stranger may have one as well.
struct Signer {
    key: EcdsaKeyPair,
    public: Value,
}

static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
    let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    let point = key.public_key().as_ref();
    let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let public =
        json!({ "kty": "EC", "crv": "P-256", "x": coordinate(&point[1..33]), "y": coordinate(&point[33..]) });
    Signer { key, public }
});

impl Signer {
    fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A whole proof; or header and claims of one that is signed, with `"own"` for the key that signs it.
pub(crate) fn dpop(data: &[u8]) {
    if let Some(text) = text(data) {
        let _ = dpop::read(text);
    }
    let Some([header, claims]) = lines::<2>(data) else { return };
    let header = header.replace("\"own\"", &SIGNER.public.to_string());
    if let Some((claims, key)) = dpop::read(&SIGNER.sign(&header, claims)) {
        let header: Value = serde_json::from_str(&header).unwrap();
        assert_eq!((header["typ"].as_str(), header["alg"].as_str()), (Some("dpop+jwt"), Some("ES256")));
        assert!(header.get("crit").is_none_or(Value::is_null) && header["jwk"].get("d").is_none());
        assert_eq!(Some(key), thumbprint(&SIGNER.public));
        assert!((1..=256).contains(&claims.jti.len()));
    }
}

/// Header and claims of an assertion that is signed; or the parameters of a request with one.
pub(crate) fn client_assertion(data: &[u8]) {
    let jwks = json!({ "keys": [SIGNER.public] });
    if let Some(query) = text(data) {
        assert!(client_assertion::verify(Some(&jwks), query).is_none(), "a stranger signed it");
        if let Ok(params) = Params::from_query(query) {
            let _ = client_assertion::presented(&params);
        }
    }
    let Some([header, claims]) = lines::<2>(data) else { return };
    let assertion = SIGNER.sign(header, claims);
    assert!(client_assertion::verify(Some(&json!({ "keys": [] })), &assertion).is_none());
    if let Some((claims, key)) = client_assertion::verify(Some(&jwks), &assertion) {
        let header: Value = serde_json::from_str(header).unwrap();
        assert_eq!(header["alg"], "ES256");
        assert!(header.get("crit").is_none_or(Value::is_null));
        assert_eq!(Some(key), thumbprint(&SIGNER.public));
        let now = 1_800_000_000;
        if client_assertion::check_times(&claims, now).is_ok() {
            assert!((now + 1..=now + 660).contains(&claims.exp));
        }
        let query = format!(
            "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion={assertion}"
        );
        if let Ok(Some(presented)) = client_assertion::presented(&Params::from_query(&query).unwrap()) {
            assert_eq!(presented.client_id, claims.sub);
        }
    }
}

/// An `Authorization` header.
pub(crate) fn basic_credentials(data: &[u8]) {
    let Some(header) = text(data) else { return };
    let encoded = |id: &str, secret: &str| {
        let form = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        format!("Basic {}", STANDARD.encode(format!("{}:{}", form(id), form(secret))))
    };
    if let Some((id, secret)) = basic(header) {
        assert_eq!(basic(&encoded(&id, &secret)), Some((id, secret)));
    }
    // Whatever the two are, they arrive.
    if let Some((id, secret)) = header.split_once(':') {
        assert_eq!(basic(&encoded(id, secret)), Some((id.to_owned(), secret.to_owned())));
    }
}

/// One body in each way in which parameters arrive.
pub(crate) fn parameters(data: &[u8]) {
    let as_query = text(data).and_then(|query| Params::from_query(query).ok());
    for params in as_query.into_iter().chain(Params::from_form(data).ok()).chain(Params::from_json(data).ok())
    {
        let pairs = params.pairs();
        assert!(pairs.len() <= 64);
        let again = |name: &str| pairs.iter().filter(|(known, _)| known == name).count() > 1;
        assert!(
            !pairs.iter().any(|(name, _)| name != "resource" && again(name)),
            "a parameter is there twice"
        );
        let written = Params::from_query(&params.query_without(&[])).unwrap();
        assert_eq!(written.pairs(), pairs);
        assert!(pairs.iter().all(|(name, _)| params.get(name) != Some("")));
    }
    if let Ok(mut fields) = Fields::from_json(data) {
        let text = fields.text("name", 100);
        assert!(text.is_none_or(|text| Fields::is_readable_text(&text, 100) && text.trim() == text));
        let number = fields.integer("limit", 1..=5);
        assert!(number.is_none_or(|number| (1..=5).contains(&number)));
        let _ = (fields.texts("list"), fields.boolean("flag"), fields.number_text("price"));
        let _ = fields.finish();
    }
}
