//! Tokens of our own making, as somebody else presents them.

use std::sync::{Arc, LazyLock};

use gatehouse_actors::clock::TestClock;
use gatehouse_actors::data::client_registration::SigningAlgorithm;
use serde_json::{Value, json};

use super::{changed, text};
use crate::crypto::jwt::{SigningKeys, TokenType};
use crate::crypto::random::Random;
use crate::crypto::sealed::Sealer;
use crate::crypto::signing_key::generate;
use crate::crypto::token::{self, TokenKind};
use crate::http::client::Credential;

const ISSUER: &str = "https://id.test";

static KEYS: LazyLock<SigningKeys> = LazyLock::new(|| {
    let sealer = Sealer::new(&[[9; 32]]);
    let key = generate(&Random::default(), &sealer, SigningAlgorithm::Es256, (0, 0)).unwrap();
    SigningKeys::open(Arc::new(TestClock::at(0)), &sealer, &[key]).unwrap()
});

static GENUINE: LazyLock<String> = LazyLock::new(|| {
    let claims = json!({
        "iss": ISSUER, "sub": "u", "aud": "c", "exp": 10, "iat": 0, "jti": "1", "sid": "s", "client_id": "c",
        "scope": "openid", "token_use": "access", "auth_time": 0, "is_platform_owner": false,
    });
    let token = KEYS.sign(TokenType::Access, &claims).unwrap();
    assert!(KEYS.verify_access_token(ISSUER, &token).is_ok());
    token
});

fn nobody_takes(token: &str) {
    assert!(KEYS.verify_access_token(ISSUER, token).is_err());
    assert!(KEYS.verify_client_token(ISSUER, token).is_err());
    assert!(KEYS.verify_id_token(ISSUER, token).is_err());
}

/// `r` text: a token; `m` changes: to a genuine token; `c` claims that we signed.
pub(super) fn access_token(data: &[u8]) {
    match data.split_first() {
        Some((b'r', rest)) => {
            if let Some(token) = text(rest).filter(|token| *token != GENUINE.as_str()) {
                nobody_takes(token);
            }
        }
        Some((b'm', rest)) => {
            let forged = changed(GENUINE.as_bytes(), rest);
            if let Some(token) = text(&forged).filter(|token| *token != GENUINE.as_str()) {
                nobody_takes(token);
            }
        }
        Some((b'c', rest)) => {
            let Ok(claims) = serde_json::from_slice::<Value>(rest) else { return };
            let access = KEYS.sign(TokenType::Access, &claims).unwrap();
            assert!(KEYS.verify_id_token(ISSUER, &access).is_err());
            if let Ok(read) = KEYS.verify_access_token(ISSUER, &access) {
                assert_eq!((read.iss.as_str(), read.token_use.as_str()), (ISSUER, "access"));
                assert_eq!(
                    KEYS.verify_access_token(ISSUER, &access),
                    Ok(read),
                    "not the same when remembered"
                );
            }
            if let Ok(read) = KEYS.verify_client_token(ISSUER, &access) {
                assert_eq!((&read.iss, &read.sub), (&ISSUER.to_owned(), &read.client_id));
            }
            let id = KEYS.sign(TokenType::Id, &claims).unwrap();
            assert!(KEYS.verify_access_token(ISSUER, &id).is_err());
            assert!(KEYS.verify_client_token(ISSUER, &id).is_err());
            if let Ok(read) = KEYS.verify_id_token(ISSUER, &id) {
                assert_eq!(read.iss, ISSUER);
            }
        }
        _ => {}
    }
}

const KINDS: [TokenKind; 7] = [
    TokenKind::AuthorizationCode,
    TokenKind::DeviceCode,
    TokenKind::RefreshToken,
    TokenKind::Invitation,
    TokenKind::ClientSecret,
    TokenKind::BrowserSession,
    TokenKind::PushedRequest,
];

/// Opaque tokens, credentials, PKCE.
pub(super) fn opaque_token(data: &[u8]) {
    if let Some((id, secret)) = data.split_first_chunk::<8>()
        && let Some(secret) = secret.first_chunk::<32>()
    {
        let id = i64::from_be_bytes(*id);
        for kind in KINDS {
            let read = token::parse(kind, &token::compose(kind, id, secret));
            assert_eq!(read.map(|read| (read.id, read.secret)), (id > 0).then_some((id, *secret)));
        }
    }
    let Some(text) = text(data) else { return };
    let taken: Vec<_> =
        KINDS.into_iter().filter_map(|kind| Some((kind, token::parse(kind, text)?))).collect();
    assert!(taken.len() <= 1, "one token is of two kinds");
    for (kind, read) in taken {
        // One way to write a token: else a list of those that were used could be walked around.
        assert_eq!(token::compose(kind, read.id, &read.secret), text);
    }
    if let Some(credential) = Credential::parse(text) {
        assert_eq!(Credential::parse(&credential.to_string()), Some(credential));
    }
    assert!(token::is_code_challenge(&token::code_challenge(text)));
    if token::is_code_verifier(text) {
        assert!((43..=128).contains(&text.len()) && text.is_ascii());
    }
    if token::is_code_challenge(text) {
        assert!(text.len() == 43 && !text.contains(['=', '+', '/']));
    }
}
