//! Keys derived from the root secret (`JWT_SECRET`), one per purpose, so that no key serves two.

use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::hmac;

use super::sealed::Sealer;

/// Every derived key.
pub struct RootKeys {
    /// Seals signing keys at rest.
    pub signing_keys: Sealer,
    /// Seals what the browser carries for us.
    pub cookies: Sealer,
    /// Derives the secret of a refresh token from its predecessor's.
    pub refresh_tokens: hmac::Key,
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
    /// Derives every key (HKDF-SHA256, RFC 5869) with its purpose as the info. What was sealed under the previous root
    /// secret still opens; nothing is sealed, hashed or derived with it any more.
    #[must_use]
    pub fn derive(root_secret: &[u8], previous: Option<&[u8]>) -> Self {
        let derive = |purpose: &'static str| derive(root_secret, purpose);
        let ring = |purpose: &'static str| {
            let old = previous.map(|previous| self::derive(previous, purpose));
            Sealer::new(&std::iter::once(derive(purpose)).chain(old).collect::<Vec<_>>())
        };
        Self {
            signing_keys: ring("signing keys"),
            cookies: ring("cookies"),
            refresh_tokens: hmac::Key::new(hmac::HMAC_SHA256, &derive("refresh tokens")),
            user_codes: hmac::Key::new(hmac::HMAC_SHA256, &derive("user codes")),
        }
    }
}

fn derive(root_secret: &[u8], purpose: &'static str) -> [u8; 32] {
    let mut key = [0; 32];
    let info = [purpose.as_bytes()];
    let extracted = Salt::new(HKDF_SHA256, b"gatehouse root v1").extract(root_secret);
    // Expanding to 32 bytes is within every bound that HKDF has, so this cannot fail.
    if let Ok(output) = extracted.expand(&info, Length32) {
        let _ = output.fill(&mut key);
    }
    key
}
