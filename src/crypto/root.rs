//! Keys derived from the root secret (`JWT_SECRET`), one per purpose, so that no key serves two.

use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::hmac;

use super::sealed::Sealer;
use crate::config::secret::Secret;

/// Every derived key.
pub struct RootKeys {
    /// Seals signing keys at rest.
    pub signing_keys: Sealer,
    /// Seals what the browser carries for us.
    pub cookies: Sealer,
    /// Derives the secret of a refresh token from its predecessor's.
    pub refresh_tokens: hmac::Key,
    /// Knows the operator's own commands.
    pub operator: hmac::Key,
    /// Seals stored secrets when `ENCRYPTION_KEY` names no key of its own.
    stored_secrets: [u8; 32],
    /// Hashes user codes: too short for a plain hash to hide them.
    pub user_codes: hmac::Key,
}

struct Length32;

impl KeyType for Length32 {
    fn len(&self) -> usize {
        32
    }
}

impl RootKeys {
    /// Derives every key (HKDF-SHA256, RFC 5869) with its purpose as the info.
    #[must_use]
    pub fn derive(root_secret: &[u8]) -> Self {
        let extracted = Salt::new(HKDF_SHA256, b"gatehouse root v1").extract(root_secret);
        let derive = |purpose: &'static str| {
            let mut key = [0; 32];
            let info = [purpose.as_bytes()];
            // Expanding to 32 bytes is within every bound that HKDF has, so this cannot fail.
            if let Ok(output) = extracted.expand(&info, Length32) {
                let _ = output.fill(&mut key);
            }
            key
        };
        Self {
            signing_keys: Sealer::new(&[derive("signing keys")]),
            cookies: Sealer::new(&[derive("cookies")]),
            refresh_tokens: hmac::Key::new(hmac::HMAC_SHA256, &derive("refresh tokens")),
            operator: hmac::Key::new(hmac::HMAC_SHA256, &derive("operator")),
            stored_secrets: derive("stored secrets"),
            user_codes: hmac::Key::new(hmac::HMAC_SHA256, &derive("user codes")),
        }
    }

    /// What seals stored secrets: the ring of `ENCRYPTION_KEY`, or a key derived from the root secret.
    #[must_use]
    pub fn stored_secrets(&self, ring: &[Secret<Vec<u8>>]) -> Sealer {
        let keys: Vec<[u8; 32]> =
            ring.iter().filter_map(|key| key.expose().as_slice().try_into().ok()).collect();
        if keys.is_empty() { Sealer::new(&[self.stored_secrets]) } else { Sealer::new(&keys) }
    }
}
