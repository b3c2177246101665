//! A provider's public keys (RFC 7517), reduced to those that may verify an `id_token`.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

/// The JSON Web Key Set as it arrives. Keys are read one by one, so that one of an unknown kind (RFC 7517 section 5)
/// does not hide the others.
#[derive(Deserialize)]
pub(super) struct JwkSet {
    keys: Vec<serde_json::Value>,
}

/// The usable keys of one provider.
#[derive(Debug)]
pub(super) struct VerificationKeys(Vec<VerificationKey>);

/// One key and what it may be used for.
#[derive(Debug)]
pub(super) struct VerificationKey {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    /// Microsoft's extension: the only issuer that may sign with this key, perhaps with `{tenantid}` in it.
    pub(super) issuer: Option<String>,
    pub(super) key: DecodingKey,
}

impl From<JwkSet> for VerificationKeys {
    fn from(set: JwkSet) -> Self {
        Self(set.keys.into_iter().filter_map(VerificationKey::read).collect())
    }
}

impl VerificationKeys {
    /// Whether nothing can be verified with them.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that the token's header asks for. A header without `kid` is answered only when there is no choice
    /// (OpenID Connect Core 1.0 section 10.1).
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&VerificationKey> {
        let mut suitable = self.0.iter().filter(|key| key.algorithms.contains(&algorithm));
        if kid.is_some() {
            return suitable.find(|key| key.kid.as_deref() == kid);
        }
        match (suitable.next(), suitable.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }
}

impl VerificationKey {
    fn read(value: serde_json::Value) -> Option<Self> {
        let issuer = value.get("issuer").and_then(|issuer| issuer.as_str()).map(str::to_owned);
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let algorithms = algorithms(&jwk);
        if algorithms.is_empty() || !is_for_signatures(&jwk) {
            return None;
        }
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { kid: jwk.common.key_id, algorithms, issuer, key })
    }
}

/// The allowed algorithms that fit the key's type and curve, or the one that its `alg` names. Nothing symmetric is
/// ever among them: a public key must not become an HMAC secret (RFC 8725 section 2.1).
fn algorithms(jwk: &Jwk) -> Vec<Algorithm> {
    let by_type = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => vec![Algorithm::RS256, Algorithm::PS256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => vec![Algorithm::ES256],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        _ => Vec::new(),
    };
    let named = |algorithm: &Algorithm| {
        jwk.common.key_algorithm.is_none_or(|named| named == KeyAlgorithm::from(*algorithm))
    };
    by_type.into_iter().filter(named).collect()
}

/// RFC 7517 sections 4.2 and 4.3.
fn is_for_signatures(jwk: &Jwk) -> bool {
    let by_use = jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let by_operations = jwk.common.key_operations.as_ref();
    by_use && by_operations.is_none_or(|operations| operations.contains(&KeyOperations::Verify))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"; // RFC 7515 appendix A.3
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

    fn keys(keys: &serde_json::Value) -> VerificationKeys {
        serde_json::from_value::<JwkSet>(json!({ "keys": keys })).unwrap().into()
    }

    #[test]
    fn keys_are_found_by_kid_and_algorithm() {
        let keys = keys(&json!([
            { "kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": "a" },
            { "kty": "RSA", "n": X, "e": "AQAB", "kid": "b" },
            { "kty": "RSA", "n": X, "e": "AQAB", "kid": "c", "alg": "PS256" },
            { "kty": "OKP", "crv": "Ed25519", "x": X, "kid": "d" },
        ]));
        assert!(keys.find(Some("a"), Algorithm::ES256).is_some());
        assert!(keys.find(Some("a"), Algorithm::RS256).is_none());
        assert!(keys.find(Some("b"), Algorithm::RS256).is_some());
        assert!(keys.find(Some("c"), Algorithm::RS256).is_none());
        assert!(keys.find(Some("c"), Algorithm::PS256).is_some());
        assert!(keys.find(Some("d"), Algorithm::EdDSA).is_some());
        assert!(keys.find(Some("e"), Algorithm::ES256).is_none());
        for symmetric in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            assert!(keys.find(Some("b"), symmetric).is_none() && keys.find(None, symmetric).is_none());
        }
    }

    #[test]
    fn without_kid_there_must_be_no_choice() {
        let one = json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": "a" });
        assert!(keys(&json!([one])).find(None, Algorithm::ES256).is_some());
        assert!(keys(&json!([one, one])).find(None, Algorithm::ES256).is_none());
    }

    #[test]
    fn unusable_keys_are_skipped() {
        let keys = keys(&json!([
            { "kty": "oct", "k": X, "kid": "a", "alg": "HS256" },
            { "kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": "a", "use": "enc" },
            { "kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": "a", "key_ops": ["sign"] },
            { "kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": "a", "alg": "ES384" },
            { "kty": "EC", "crv": "P-384", "x": X, "y": Y, "kid": "a" },
            { "kty": "AKP", "kid": "a" },
            { "kty": 7 },
            "nonsense",
        ]));
        assert!(keys.0.is_empty());
    }
}
