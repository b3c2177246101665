//! Signatures of webhooks: `Stripe-Signature: t=…,v1=…`.

use std::fmt::Write as _;

use gatehouse_actors::clock::Millis;
use ring::hmac;

use crate::config::secret::Secret;

/// How far the time of signing may lie from ours, either way, in seconds.
const TOLERANCE: i64 = 300;
/// More signatures than any rotation has; the rest is not looked at.
const MOST_SIGNATURES: usize = 16;

/// Why a delivery is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistrust {
    /// There is no header, or it is not one.
    Malformed,
    /// No secret made any of its signatures.
    Wrong,
    /// It is genuine, but signed too long ago, or in the future.
    Stale,
}

struct Header<'h> {
    timestamp: i64,
    /// As written: this text was signed.
    timestamp_text: &'h str,
    signatures: Vec<[u8; 32]>,
}

fn parse(header: &str) -> Option<Header<'_>> {
    let (mut timestamp, mut signatures) = (None, Vec::new());
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", _)) if timestamp.is_some() => return None,
            Some(("t", text)) => timestamp = Some(text),
            Some(("v1", hex)) if signatures.len() < MOST_SIGNATURES => signatures.extend(from_hex(hex)),
            // Other schemes, such as the test scheme v0, prove nothing.
            _ => {}
        }
    }
    let timestamp_text = timestamp?;
    let digits = !timestamp_text.is_empty() && timestamp_text.bytes().all(|byte| byte.is_ascii_digit());
    let timestamp = timestamp_text.parse().ok().filter(|_| digits)?;
    Some(Header { timestamp, timestamp_text, signatures })
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Checks that `body` was signed with one of `secrets`, and when.
pub(super) fn verify(
    header: Option<&str>,
    body: &[u8],
    secrets: &[Secret<String>],
    now: Millis,
) -> Result<(), Mistrust> {
    let header = header.and_then(parse).ok_or(Mistrust::Malformed)?;
    let signed = [header.timestamp_text.as_bytes(), b".", body].concat();
    // ring compares in constant time. Every secret is tried with every signature: which one fits stays untold.
    let mut genuine = false;
    for secret in secrets {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        for signature in &header.signatures {
            genuine |= hmac::verify(&key, &signed, signature).is_ok();
        }
    }
    if !genuine {
        return Err(Mistrust::Wrong);
    }
    let age = now.div_euclid(1000).saturating_sub(header.timestamp);
    if age.saturating_abs() > TOLERANCE { Err(Mistrust::Stale) } else { Ok(()) }
}

/// The header for a body, as Stripe makes it. For events of our own making, in dev mode.
pub(crate) fn sign(secret: &Secret<String>, body: &[u8], now: Millis) -> String {
    let timestamp = now.div_euclid(1000);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let tag = hmac::sign(&key, &[timestamp.to_string().as_bytes(), b".", body].concat());
    tag.as_ref().iter().fold(format!("t={timestamp},v1="), |mut header, byte| {
        let _ = write!(header, "{byte:02x}"); // writing to a String cannot fail
        header
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Millis = 1_800_000_000_000;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    /// Computed with the reference implementation: HMAC-SHA256 of `1492774577.{"id":"evt_1"}`.
    #[test]
    fn the_form_is_stripes() {
        let header = sign(&secret("whsec_test_secret"), br#"{"id":"evt_1"}"#, 1_492_774_577_000);
        let (head, tail) = header.split_once(",v1=").unwrap();
        assert_eq!((head, tail.len()), ("t=1492774577", 64));
        assert!(
            verify(Some(&header), br#"{"id":"evt_1"}"#, &[secret("whsec_test_secret")], 1_492_774_577_000)
                .is_ok()
        );
    }

    #[test]
    fn any_secret_and_any_v1_will_do() {
        let (old, new) = (secret("whsec_old_old_old_old"), secret("whsec_new_new_new_new"));
        let body = b"{}";
        let by_old = sign(&old, body, NOW);
        let both = format!("{by_old},v1={},v0=abc,x=y", sign(&new, body, NOW).split("v1=").nth(1).unwrap());
        let ring = [new, old];
        assert_eq!(verify(Some(&by_old), body, &ring, NOW), Ok(()));
        assert_eq!(verify(Some(&both), body, &ring[..1], NOW), Ok(()));
        assert_eq!(verify(Some(&by_old), body, &ring[..1], NOW), Err(Mistrust::Wrong));
        assert_eq!(verify(Some(&by_old.replace("v1=", "v0=")), body, &ring, NOW), Err(Mistrust::Wrong));
        assert_eq!(verify(Some(&by_old), body, &[], NOW), Err(Mistrust::Wrong));
    }

    #[test]
    fn five_minutes_either_way() {
        let key = secret("whsec_0123456789abcdef");
        for (age, verdict) in [
            (0, Ok(())),
            (300, Ok(())),
            (301, Err(Mistrust::Stale)),
            (-300, Ok(())),
            (-301, Err(Mistrust::Stale)),
        ] {
            let header = sign(&key, b"x", NOW - age * 1000);
            assert_eq!(verify(Some(&header), b"x", std::slice::from_ref(&key), NOW), verdict, "{age}");
        }
    }

    #[test]
    fn nonsense_is_malformed() {
        for header in
            ["", "t=", "v1=00", "t=1,t=2,v1=00", "t=+1,v1=00", "t=1 ,v1", "t=99999999999999999999,v1=0"]
        {
            let verdict = verify(Some(header), b"", &[secret("whsec_0123456789abcdef")], NOW);
            assert_ne!(verdict, Ok(()), "{header}");
        }
        assert_eq!(verify(None, b"", &[], NOW), Err(Mistrust::Malformed));
    }

    proptest! {
        #[test]
        fn one_changed_byte_is_enough(body in prop::collection::vec(any::<u8>(), 1..80), at in any::<prop::sample::Index>()) {
            let key = secret("whsec_0123456789abcdef");
            let header = sign(&key, &body, NOW);
            prop_assert_eq!(verify(Some(&header), &body, std::slice::from_ref(&key), NOW), Ok(()));
            let mut changed = body.clone();
            changed[at.index(body.len())] ^= 1;
            prop_assert_eq!(verify(Some(&header), &changed, &[key], NOW), Err(Mistrust::Wrong));
        }

        #[test]
        fn no_header_makes_it_panic(header in "\\PC{0,80}") {
            let _ = verify(Some(&header), b"x", &[secret("whsec_0123456789abcdef")], NOW);
        }
    }
}
