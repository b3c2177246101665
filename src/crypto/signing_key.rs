//! One key that signs tokens, parsed once and kept so: the parsing costs more than a signature.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::client_registration::SigningAlgorithm;
use gatehouse_actors::data::signing_keys::SealedSigningKey;
use serde_json::{Value, json};
use thiserror::Error;
use zeroize::Zeroizing;

use super::random::Random;
use super::sealed::Sealer;

/// Context under which signing keys are sealed.
pub const SEAL_CONTEXT: &str = "signing key";

/// The signing keys could not be made ready.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The stored key does not open with this root secret.
    #[error(
        "the signing key {0} cannot be opened: JWT_SECRET is not the one that the database was written with; set the old \
         one as JWT_SECRET_PREVIOUS and run gatehouse secrets reencrypt"
    )]
    WrongSecret(String),
    /// What was opened is no key.
    #[error("the signing key {0} is damaged")]
    Damaged(String),
    /// No key could be made, or none of this algorithm exists.
    #[error("no signing key could be made")]
    Generation,
    /// The claims could not be written as JSON.
    #[error("the claims cannot be signed")]
    Claims,
}

enum Pair {
    Curve(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Edwards(Ed25519KeyPair),
}

/// A parsed key.
pub struct SigningKey {
    /// Its `kid`.
    pub key_id: String,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// The public half (RFC 7517).
    pub public_jwk: Value,
    pair: Pair,
    public: ParsedPublicKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// Makes a new key, sealed for the database, that signs from `signs_from` on.
pub fn generate(
    random: &Random,
    sealer: &Sealer,
    algorithm: SigningAlgorithm,
    (now, signs_from): (Millis, Millis),
) -> Result<SealedSigningKey, KeyError> {
    let failed = || KeyError::Generation;
    let source = SystemRandom::new();
    let document: Zeroizing<Vec<u8>> = Zeroizing::new(match algorithm {
        SigningAlgorithm::Es256 => {
            let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &source);
            made.map_err(|_| failed())?.as_ref().to_vec()
        }
        SigningAlgorithm::EdDsa => {
            Ed25519KeyPair::generate_pkcs8(&source).map_err(|_| failed())?.as_ref().to_vec()
        }
        SigningAlgorithm::Rs256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| failed())?;
            AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair)
                .map_err(|_| failed())?
                .as_ref()
                .to_vec()
        }
    });
    let private_sealed = sealer.seal(random, SEAL_CONTEXT, &document).ok_or_else(failed)?;
    let key_id = URL_SAFE_NO_PAD.encode(random.bytes::<12>());
    Ok(SealedSigningKey { key_id, algorithm, private_sealed, created_at: now, signs_from, retired_at: None })
}

impl SigningKey {
    /// Opens a stored key.
    pub fn open(sealer: &Sealer, stored: &SealedSigningKey) -> Result<Self, KeyError> {
        let private = sealer
            .open(SEAL_CONTEXT, &stored.private_sealed)
            .ok_or_else(|| KeyError::WrongSecret(stored.key_id.clone()))?;
        Self::parse(stored, &private).ok_or_else(|| KeyError::Damaged(stored.key_id.clone()))
    }

    fn parse(stored: &SealedSigningKey, private: &[u8]) -> Option<Self> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (pair, public, mut public_jwk) = match stored.algorithm {
            SigningAlgorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private).ok()?;
                let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key()).ok()?;
                // An uncompressed point: 0x04, x, y.
                let (x, y) = pair.public_key().as_ref().get(1..)?.split_at_checked(32)?;
                let jwk = json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) });
                (Pair::Curve(pair), public, jwk)
            }
            SigningAlgorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(private).ok()?;
                let key = pair.public_key();
                let public = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).ok()?;
                let modulus = encode(key.modulus().big_endian_without_leading_zero());
                let exponent = encode(key.exponent().big_endian_without_leading_zero());
                let jwk = json!({ "kty": "RSA", "n": modulus, "e": exponent });
                (Pair::Rsa(pair), public, jwk)
            }
            SigningAlgorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(private).ok()?;
                let public = ParsedPublicKey::new(&ED25519, pair.public_key()).ok()?;
                // RFC 8037, section 2.
                let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) });
                (Pair::Edwards(pair), public, jwk)
            }
        };
        let algorithm = stored.algorithm;
        public_jwk.as_object_mut()?.extend(
            [("use", "sig"), ("alg", algorithm.as_str()), ("kid", stored.key_id.as_str())]
                .map(|(name, value)| (name.to_owned(), Value::from(value))),
        );
        Some(Self { key_id: stored.key_id.clone(), algorithm, public_jwk, pair, public })
    }

    /// Signs bytes.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let damaged = || KeyError::Damaged(self.key_id.clone());
        match &self.pair {
            Pair::Curve(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| damaged())?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let source = SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &source, message, &mut signature).map_err(|_| damaged())?;
                Ok(signature)
            }
            Pair::Edwards(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// Whether this key made the signature.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_signs_and_is_published_without_its_secret() {
        let (random, sealer) = (Random::default(), Sealer::new(&[[9; 32]]));
        for algorithm in SigningAlgorithm::ALL {
            let stored = generate(&random, &sealer, algorithm, (5, 7)).unwrap();
            assert_eq!((stored.created_at, stored.signs_from, stored.algorithm), (5, 7, algorithm));
            let key = SigningKey::open(&sealer, &stored).unwrap();
            let signature = key.sign(b"message").unwrap();
            assert!(key.verifies(b"message", &signature));
            assert!(!key.verifies(b"another", &signature));
            let members: Vec<&String> = key.public_jwk.as_object().unwrap().keys().collect();
            assert!(!members.iter().any(|name| ["d", "p", "q", "dp", "dq", "qi"].contains(&name.as_str())));
            assert_eq!(key.public_jwk["alg"], algorithm.as_str());
            assert!(crate::crypto::client_keys::accept(&json!({ "keys": [key.public_jwk] })).is_ok());
        }
    }

    #[test]
    fn another_root_secret_does_not_open_the_key() {
        let random = Random::default();
        let made = generate(&random, &Sealer::new(&[[1; 32]]), SigningAlgorithm::Es256, (0, 0)).unwrap();
        let opened = SigningKey::open(&Sealer::new(&[[2; 32]]), &made);
        assert!(matches!(opened, Err(KeyError::WrongSecret(_))));
        let broken = SealedSigningKey { algorithm: SigningAlgorithm::Rs256, ..made };
        let opened = SigningKey::open(&Sealer::new(&[[1; 32]]), &broken);
        assert!(matches!(opened, Err(KeyError::Damaged(_))));
    }
}
