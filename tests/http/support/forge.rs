//! Tokens of the test's own making, signed with the server's own key: what a flaw in verification would let through.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::data::client_registration::SigningAlgorithm;
use gatehouse_actors::data::signing_keys::SigningKeys;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::Value;

use super::World;

/// The server's signing key.
pub(crate) struct Forge {
    pair: EcdsaKeyPair,
    pub(crate) key_id: String,
}

impl Forge {
    /// Opens the key as the server does: from the database, with the root secret.
    pub(crate) async fn of(world: &World) -> Self {
        let stored = world.app.store.read(SigningKeys).await.unwrap();
        let stored = stored.into_iter().find(|key| key.algorithm == SigningAlgorithm::Es256).unwrap();
        let private = world.app.keys.signing_keys.open("signing key", &stored.private_sealed).unwrap();
        Self { pair: pair(&private), key_id: stored.key_id }
    }

    /// A key that is not the server's, under the server's key id.
    pub(crate) fn foreign(key_id: &str) -> Self {
        let random = SystemRandom::new();
        let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self { pair: pair(private.as_ref()), key_id: key_id.to_owned() }
    }

    /// The header of a genuine access token.
    pub(crate) fn header(&self) -> String {
        format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{}"}}"#, self.key_id)
    }

    /// Signs any two texts, JSON or not.
    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Signs claims under a genuine header.
    pub(crate) fn access(&self, claims: &Value) -> String {
        self.sign(&self.header(), &claims.to_string())
    }
}

fn pair(private: &[u8]) -> EcdsaKeyPair {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private, &SystemRandom::new()).unwrap()
}

/// The claims inside a token.
pub(crate) fn claims_of(token: &str) -> Value {
    let body = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
}
