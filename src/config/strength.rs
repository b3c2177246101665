//! Is a secret one? Refuses what people type when they mean to come back to it later.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::problems::Wrong;
use super::secret::Secret;

/// The fewest bytes of text that the root secret may have.
const ROOT_SECRET_BYTES: usize = 32;

/// How many bytes an encryption key has.
pub(super) const ENCRYPTION_KEY_BYTES: usize = 32;

/// Random text of 32 hexadecimal digits has 14 different ones on average, and hardly ever fewer than 8.
const FEWEST_DIFFERENT: usize = 8;

const MAKE_ROOT_SECRET: &str =
    "set at least 32 random characters, such as the output of: openssl rand -base64 48";
const MAKE_ENCRYPTION_KEY: &str = "set the output of: openssl rand -base64 32";

/// Words that stand in examples and are copied from there.
const PLACEHOLDERS: [&str; 6] =
    ["changeme", "change-me", "change_me", "your-secret", "your_secret", "your-super"];

/// Checks the root secret, the text of `JWT_SECRET`.
pub(super) fn root_secret(text: &Secret<String>) -> Result<Secret<Vec<u8>>, Wrong> {
    let bytes = text.expose().as_bytes();
    if bytes.len() < ROOT_SECRET_BYTES {
        return Err(Wrong::new(format!("is too short: {} bytes", bytes.len()), MAKE_ROOT_SECRET));
    }
    if !varied(bytes) {
        return Err(Wrong::new("can be guessed: it repeats itself or counts up", MAKE_ROOT_SECRET));
    }
    let lower = Secret::new(text.expose().to_ascii_lowercase());
    if PLACEHOLDERS.iter().any(|word| lower.expose().contains(word)) {
        return Err(Wrong::new("is a placeholder from an example", MAKE_ROOT_SECRET));
    }
    Ok(Secret::new(bytes.to_vec()))
}

/// Parses the ring of encryption keys, the text of `ENCRYPTION_KEY`.
pub(super) fn encryption_keys(text: &Secret<String>) -> Result<Vec<Secret<Vec<u8>>>, Wrong> {
    let mut keys: Vec<Secret<Vec<u8>>> = Vec::new();
    for (index, item) in text.expose().split(',').enumerate() {
        let which = index + 1;
        let key = decode(item.trim()).filter(|key| key.expose().len() == ENCRYPTION_KEY_BYTES);
        let Some(key) = key else {
            return Err(Wrong::new(format!("key {which} is not base64 of 32 bytes"), MAKE_ENCRYPTION_KEY));
        };
        if !varied(key.expose()) {
            return Err(Wrong::new(format!("key {which} can be guessed"), MAKE_ENCRYPTION_KEY));
        }
        if keys.iter().any(|other| other.expose() == key.expose()) {
            return Err(Wrong::new(format!("key {which} is there twice"), "keep one of the two"));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn decode(text: &str) -> Option<Secret<Vec<u8>>> {
    // Both alphabets of RFC 4648 (sections 4 and 5), padded or not: tools differ, and no reading is ambiguous.
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabets = [&alphabet::STANDARD, &alphabet::URL_SAFE];
    let decoded = alphabets.into_iter().find_map(|one| GeneralPurpose::new(one, config).decode(text).ok());
    decoded.map(Secret::new)
}

/// False for text that follows a rule: few letters, a short piece repeated, or runs such as `abcdef`.
fn varied(bytes: &[u8]) -> bool {
    let different: BTreeSet<u8> = bytes.iter().copied().collect();
    let steps: BTreeSet<u8> =
        bytes.iter().zip(bytes.iter().skip(1)).map(|(a, b)| b.wrapping_sub(*a)).collect();
    let repeats = (1..=bytes.len() / 2)
        .any(|period| bytes.iter().skip(period).eq(bytes.iter().take(bytes.len() - period)));
    different.len() >= FEWEST_DIFFERENT && steps.len() >= FEWEST_DIFFERENT && !repeats
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn guessable_root_secrets_are_refused() {
        for bad in [
            "",
            "short but random 8fj2",
            "secretsecretsecretsecretsecretsecret",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
            "0123456789012345678901234567890123456789",
            "abcdefghijklmnopqrstuvwxyz0123456789",
            "your-super-secret-jwt-key-of-at-least-32-characters",
            "CHANGEME-8fj20fj20fj3209fj2039fj2039fj",
            "ababababbabaabababababbabaabbababababab",
        ] {
            assert!(root_secret(&secret(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_ring_keeps_its_order_and_takes_both_alphabets() {
        let first: Vec<u8> = (0..32_u8).map(|i| i.wrapping_mul(i).wrapping_mul(37) ^ 0xfb).collect();
        let second: Vec<u8> = (0..32_u8).map(|i| i.wrapping_mul(i).wrapping_mul(91) ^ 0x3e).collect();
        let text = format!("{}, {}", STANDARD.encode(&first), URL_SAFE_NO_PAD.encode(&second));
        let keys = encryption_keys(&secret(&text)).unwrap();
        assert_eq!(keys.iter().map(|key| key.expose().clone()).collect::<Vec<_>>(), [first.clone(), second]);

        let twice = format!("{0},{0}", STANDARD.encode(&first));
        assert!(encryption_keys(&secret(&twice)).is_err());
        for bad in
            ["", ",", "not base64!", "c2hvcnQ=", &STANDARD.encode([7_u8; 32]), &STANDARD.encode([7_u8; 33])]
        {
            assert!(encryption_keys(&secret(bad)).is_err(), "{bad}");
        }
    }

    proptest! {
        // 48 random bytes as base64: what the advice in the error message produces.
        #[test]
        fn random_secrets_are_accepted(bytes in prop::collection::vec(any::<u8>(), 48)) {
            let mut bytes = bytes;
            // Shrinking would walk to all-zero input, which is rightly refused: spread it.
            for (index, byte) in bytes.iter_mut().enumerate() {
                *byte ^= u8::try_from((index * index * 31 + 17 * index) % 251).unwrap();
            }
            prop_assume!(varied(STANDARD.encode(&bytes).as_bytes()));
            prop_assert!(root_secret(&secret(&STANDARD.encode(&bytes))).is_ok());
        }

        #[test]
        fn a_repeated_piece_is_never_accepted(piece in "[ -~]{1,20}", times in 2_usize..40) {
            prop_assert!(root_secret(&secret(&piece.repeat(times))).is_err());
        }
    }
}
