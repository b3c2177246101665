//! Opaque tokens: the row's id in front of a 256-bit secret, in one base64url string. The database keeps the hash.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::device_code_batcher::{DeviceCodeMint, MintedDeviceCode};
use ring::digest::{SHA256, digest};
use ring::hmac;

use super::random::Random;
use super::user_codes::UserCodes;

/// What a token is for. Part of the token, so that one kind is never taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// RFC 6749, section 4.1.2.
    AuthorizationCode,
    /// RFC 8628, section 3.2.
    DeviceCode,
    /// RFC 6749, section 1.5.
    RefreshToken,
    /// The link of an invitation.
    Invitation,
    /// RFC 6749, section 2.3.1.
    ClientSecret,
    /// The cookie of a browser that is signed in to a realm.
    BrowserSession,
    /// RFC 9126, section 2.2.
    PushedRequest,
}

impl TokenKind {
    fn tag(self) -> u8 {
        match self {
            Self::AuthorizationCode => 1,
            Self::DeviceCode => 2,
            Self::RefreshToken => 3,
            Self::Invitation => 4,
            Self::ClientSecret => 5,
            Self::BrowserSession => 6,
            Self::PushedRequest => 10,
        }
    }
}

/// The secret half of a token.
pub type TokenSecret = [u8; 32];

/// A token that was presented: which row it names and the secret that must prove it.
#[derive(Clone, Copy)]
pub struct Presented {
    /// Row id.
    pub id: i64,
    /// The secret half.
    pub secret: TokenSecret,
}

/// Builds the string that is handed out.
#[must_use]
pub fn compose(kind: TokenKind, id: i64, secret: &TokenSecret) -> String {
    URL_SAFE_NO_PAD.encode([&[kind.tag()], id.to_be_bytes().as_slice(), secret].concat())
}

/// Reads a string that was presented. `None` for anything that this service did not make as this kind.
#[must_use]
pub fn parse(kind: TokenKind, text: &str) -> Option<Presented> {
    let bytes: [u8; 41] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let (tag, rest) = bytes.split_first()?;
    let (id, secret) = rest.split_first_chunk::<8>()?;
    let id = i64::from_be_bytes(*id);
    (*tag == kind.tag() && id > 0).then_some(Presented { id, secret: secret.try_into().ok()? })
}

/// SHA-256. Enough for secrets of 256 random bits; nothing shorter may be hashed with it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

/// The secret of the successor of a refresh token: follows from the predecessor's, for who holds the key.
#[must_use]
pub fn successor(key: &hmac::Key, secret: &TokenSecret) -> TokenSecret {
    hmac::sign(key, secret).as_ref().try_into().unwrap_or_default()
}

/// RFC 7636, section 4.1: 43 to 128 characters of the unreserved set.
#[must_use]
pub fn is_code_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// RFC 7636, section 4.2: the S256 challenge of a verifier.
#[must_use]
pub fn code_challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()))
}

/// Whether a text can be an S256 challenge: base64url of 32 bytes, without padding.
#[must_use]
pub fn is_code_challenge(text: &str) -> bool {
    text.len() == 43 && URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

/// The alphabet of user codes: no vowels, so no words; nothing that reads like something else (RFC 8628, section 6.1).
pub const USER_CODE_ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Letters in a user code, without the dash.
pub const USER_CODE_LENGTH: usize = 8;

/// What a person typed, as the code it means: any case, with or without dash or blanks.
#[must_use]
pub fn normalize_user_code(text: &str) -> Option<String> {
    if text.len() > 64 {
        return None;
    }
    let code: String = text
        .chars()
        .filter(|letter| !letter.is_whitespace() && *letter != '-')
        .map(|letter| letter.to_ascii_uppercase())
        .collect();
    let valid = code.len() == USER_CODE_LENGTH && code.bytes().all(|byte| USER_CODE_ALPHABET.contains(&byte));
    valid.then_some(code)
}

/// `BCDFGHJK` as `BCDF-GHJK`.
#[must_use]
pub fn display_user_code(code: &str) -> String {
    code.split_at_checked(USER_CODE_LENGTH / 2)
        .map_or_else(|| code.to_owned(), |(head, tail)| format!("{head}-{tail}"))
}

/// Makes device codes.
pub struct Mint {
    /// The random source.
    pub random: Random,
    /// What the user types.
    pub user_codes: UserCodes,
}

impl DeviceCodeMint for Mint {
    fn mint(&self) -> MintedDeviceCode {
        let secret: TokenSecret = self.random.bytes();
        MintedDeviceCode { secret, secret_hash: sha256(&secret) }
    }

    fn user_code(&self, id: i64, created_at: Millis) -> String {
        self.user_codes.of_row(id, created_at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_reads_back_as_its_kind_only(id in 1..i64::MAX, secret: [u8; 32]) {
            let text = compose(TokenKind::RefreshToken, id, &secret);
            let read = parse(TokenKind::RefreshToken, &text).unwrap();
            prop_assert_eq!((read.id, read.secret), (id, secret));
            prop_assert!(parse(TokenKind::DeviceCode, &text).is_none());
        }

        #[test]
        fn every_changed_character_changes_the_token(position in 0usize..55, id in 1..i64::MAX, secret: [u8; 32]) {
            let text = compose(TokenKind::RefreshToken, id, &secret);
            let mut changed = text.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let same = parse(TokenKind::RefreshToken, &changed)
                .is_some_and(|read| (read.id, read.secret) == (id, secret));
            prop_assert!(!same);
        }

        #[test]
        fn user_codes_survive_how_people_type(code in "[BCDFGHJKLMNPQRSTVWXZ]{8}") {
            let typed = format!(" {} ", display_user_code(&code).to_lowercase());
            let read = normalize_user_code(&typed);
            prop_assert_eq!(read.as_deref(), Some(code.as_str()));
        }

        #[test]
        fn arbitrary_text_is_no_token(text in ".{0,80}") {
            let _ = parse(TokenKind::AuthorizationCode, &text);
            let _ = normalize_user_code(&text);
            prop_assert!(is_code_challenge(&code_challenge(&text)));
        }
    }

    #[test]
    fn the_example_of_rfc_7636_holds() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert!(is_code_verifier(verifier));
        assert_eq!(code_challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn verifiers_are_bounded() {
        for (length, valid) in [(42, false), (43, true), (128, true), (129, false)] {
            assert_eq!(is_code_verifier(&"a".repeat(length)), valid, "{length} characters");
        }
        assert!(!is_code_verifier(&format!("{}!", "a".repeat(50))));
    }
}
