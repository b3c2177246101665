//! AES-256-GCM with the key's id in front and the context as associated data, so that a ciphertext opens only where
//! it was made for.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::random::Random;
use crate::config::secret::Secret;

const KEY_ID_LENGTH: usize = 4;

/// A ring of keys: the first seals, all open.
pub struct Sealer {
    keys: Vec<([u8; KEY_ID_LENGTH], LessSafeKey)>,
}

impl Sealer {
    /// A ring of 256-bit keys.
    #[must_use]
    pub fn new(keys: &[[u8; 32]]) -> Self {
        let key = |bytes: &[u8; 32]| {
            let unbound = UnboundKey::new(&AES_256_GCM, bytes).ok()?;
            let id = digest(&SHA256, bytes).as_ref().first_chunk().copied()?;
            Some((id, LessSafeKey::new(unbound)))
        };
        Self { keys: keys.iter().filter_map(key).collect() }
    }

    /// A ring of one key; none when it has another length.
    #[must_use]
    pub fn of(key: &[u8]) -> Option<Self> {
        let key: Zeroizing<[u8; 32]> = Zeroizing::new(key.try_into().ok()?);
        Some(Self::new(std::slice::from_ref(&*key)))
    }

    /// Seals `plaintext` for `context`: key id, nonce, ciphertext, tag. `None` only for a ring without a key or a
    /// plaintext beyond 64 GiB.
    #[must_use]
    pub fn seal(&self, random: &Random, context: &str, plaintext: &[u8]) -> Option<Vec<u8>> {
        let (id, key) = self.keys.first()?;
        let nonce: [u8; NONCE_LEN] = random.bytes();
        // With room for the tag: what grows is moved, and would leave the plaintext behind.
        let mut body = Vec::with_capacity(plaintext.len() + AES_256_GCM.tag_len());
        body.extend_from_slice(plaintext);
        let aad = Aad::from(context.as_bytes());
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut body).ok()?;
        Some([id.as_slice(), &nonce, &body].concat())
    }

    /// Whether something was sealed with the key that seals now.
    #[must_use]
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        self.keys.first().is_some_and(|(id, _)| sealed.starts_with(id))
    }

    /// Opens what was sealed for the same `context`; `None` for anything else. What is opened is wiped after use.
    #[must_use]
    pub fn open(&self, context: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (id, rest) = sealed.split_first_chunk::<KEY_ID_LENGTH>()?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (_, key) = self.keys.iter().find(|(key_id, _)| key_id == id)?;
        let mut body = Zeroizing::new(body.to_vec());
        let aad = Aad::from(context.as_bytes());
        let plain = key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut body).ok()?.len();
        body.truncate(plain);
        Some(body)
    }

    /// The same for a secret that is text.
    #[must_use]
    pub fn open_text(&self, context: &str, sealed: &[u8]) -> Option<Secret<String>> {
        let plain = self.open(context, sealed)?;
        std::str::from_utf8(&plain).ok().map(|text| Secret::new(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_in_its_context_and_unchanged() {
        let random = Random::default();
        let sealer = Sealer::new(&[[7; 32]]);
        let sealed = sealer.seal(&random, "cookie", b"state").unwrap();
        assert_eq!(sealer.open("cookie", &sealed), Some(b"state".to_vec().into()));
        assert_eq!(sealer.open("other", &sealed), None);
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert_eq!(sealer.open("cookie", &changed), None, "byte {position} is not protected");
        }
        assert_eq!(sealer.open("cookie", &sealed[..15]), None);
    }

    #[test]
    fn no_nonce_is_used_twice() {
        let random = Random::default();
        let sealer = Sealer::new(&[[7; 32]]);
        let nonce = |_| sealer.seal(&random, "x", b"same").unwrap()[KEY_ID_LENGTH..][..NONCE_LEN].to_vec();
        assert_eq!((0..10_000).map(nonce).collect::<std::collections::BTreeSet<_>>().len(), 10_000);
    }

    #[test]
    fn an_older_key_still_opens() {
        let random = Random::default();
        let old = Sealer::new(&[[1; 32]]);
        let ring = Sealer::new(&[[2; 32], [1; 32]]);
        let sealed = old.seal(&random, "x", b"kept").unwrap();
        assert_eq!(ring.open("x", &sealed), Some(b"kept".to_vec().into()));
        assert!(old.is_current(&sealed) && !ring.is_current(&sealed));
        assert_eq!(old.open("x", &ring.seal(&random, "x", b"new").unwrap()), None);
    }
}
