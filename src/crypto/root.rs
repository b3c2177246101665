//! Keys derived from the root secret (`JWT_SECRET`), one per purpose, so that no key serves two.

use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::hmac;
use zeroize::Zeroizing;

use super::sealed::Sealer;
use super::user_codes::UserCodes;
use crate::config::Config;
use crate::config::secret::Secret;

/// Every derived key.
pub struct RootKeys {
    /// Seals signing keys at rest.
    pub signing_keys: Sealer,
    /// Seals what others entrusted to us: the keys of `ENCRYPTION_KEY`, or one that follows from the root secret.
    pub stored_secrets: Sealer,
    /// Seals what the browser carries for us.
    pub cookies: Sealer,
    /// Derives the secret of a refresh token from its predecessor's.
    pub refresh_tokens: hmac::Key,
    /// Knows the operator's own commands.
    pub operator: hmac::Key,
    /// Makes and reads user codes.
    pub user_codes: UserCodes,
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
    pub fn derive(root_secret: &[u8], previous: Option<&[u8]>, encryption_keys: &[Secret<Vec<u8>>]) -> Self {
        let derive = |purpose: &'static str| derive(root_secret, purpose);
        let sealer = |given: &[Secret<Vec<u8>>], purpose: &'static str| {
            // With room for all: what grows is moved, and would leave keys behind.
            let mut ring = Zeroizing::new(Vec::<[u8; 32]>::with_capacity(given.len() + 2));
            ring.extend(given.iter().filter_map(|key| <[u8; 32]>::try_from(key.expose().as_slice()).ok()));
            // The derived keys stand last: what was sealed before ENCRYPTION_KEY was set still opens.
            ring.push(*derive(purpose));
            ring.extend(previous.map(|previous| *self::derive(previous, purpose)));
            Sealer::new(&ring)
        };
        let mac = |purpose: &'static str| hmac::Key::new(hmac::HMAC_SHA256, derive(purpose).as_slice());
        Self {
            stored_secrets: sealer(encryption_keys, "stored secrets"),
            signing_keys: sealer(&[], "signing keys"),
            cookies: sealer(&[], "cookies"),
            refresh_tokens: mac("refresh tokens"),
            operator: mac("operator"),
            user_codes: UserCodes::new(&derive("user code permutations"), &derive("user codes")),
        }
    }

    /// The keys that the settings give.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let previous = config.previous_root_secret.as_ref().map(|secret| secret.expose().as_slice());
        Self::derive(config.root_secret.expose(), previous, &config.encryption_keys)
    }
}

fn derive(root_secret: &[u8], purpose: &'static str) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let info = [purpose.as_bytes()];
    let extracted = Salt::new(HKDF_SHA256, b"gatehouse root v1").extract(root_secret);
    // Expanding to 32 bytes is within every bound that HKDF has, so this cannot fail.
    if let Ok(output) = extracted.expand(&info, Length32) {
        let _ = output.fill(key.as_mut_slice());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::Random;

    fn keys(ring: &[u8]) -> RootKeys {
        let ring: Vec<_> = ring.iter().map(|byte| Secret::new(vec![*byte; 32])).collect();
        RootKeys::derive(b"a root secret of sufficient length", None, &ring)
    }

    #[test]
    fn the_ring_grows_at_the_front_and_loses_nothing() {
        let random = Random::default();
        let seal = |keys: &RootKeys| keys.stored_secrets.seal(&random, "x", b"kept").unwrap();
        let (derived, first, rotated, other) = (keys(&[]), keys(&[1]), keys(&[2, 1]), keys(&[3]));
        for opens in [&derived, &first, &rotated] {
            assert!(opens.stored_secrets.open("x", &seal(&derived)).is_some());
        }
        assert!(rotated.stored_secrets.open("x", &seal(&first)).is_some());
        assert!(first.stored_secrets.open("x", &seal(&rotated)).is_none(), "the first of the ring seals");
        assert!(other.stored_secrets.open("x", &seal(&first)).is_none(), "another key opens nothing");
    }
}
