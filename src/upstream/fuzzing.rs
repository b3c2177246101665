//! Fuzz targets of what only this folder sees: see `crate::fuzzing`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a property that does not hold must fail")]

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::LazyLock;

use actix_tls::connect::Resolve;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use oauth2::http::Response;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use url::{Host, Url};

use super::address_policy::{AddressPolicy, is_public};
use super::client::Limits;
use super::github::{Email, GitHub, User};
use super::guarded::GuardedClient;
use super::id_token::{self, Claims, Expected, IssuerRule};
use super::jwks::{JwkSet, VerificationKeys};
use super::oauth::{Answer, Credentials};
use super::{ExternalIdentity, UpstreamError, discovery, oauth, oidc, revocation};
use crate::config::provider::ProviderKind;
use crate::config::secret::Secret;
use crate::fuzzing::{lines, text};

const ISSUER: &str = "https://id.test";
const CLIENT: &str = "client";
const NOW: i64 = 1_800_000_000;

struct Signer {
    key: EncodingKey,
    keys: VerificationKeys,
}

static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let key = EncodingKey::from_ec_der(pkcs8.as_ref());
    let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
    let set: JwkSet = serde_json::from_value(json!({ "keys": [jwk] })).unwrap();
    Signer { key, keys: set.into() }
});

/// What a provider told must be fit to store and to show, whatever it was.
fn check_identity(identity: &ExternalIdentity) {
    assert!(!identity.email_verified || identity.email.is_some());
    let plain = |text: &String| !text.is_empty() && !text.chars().any(char::is_control);
    assert!(identity.email.as_ref().is_none_or(|email| plain(email) && email.len() <= 254));
    assert!(identity.name.as_ref().is_none_or(|name| plain(name) && name.chars().count() <= 200));
    let web = |link: &String| Url::parse(link).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    assert!(identity.avatar_url.as_ref().is_none_or(web));
}

/// Claims of an `id_token` that the provider's key signed.
pub(crate) fn id_token(data: &[u8]) {
    let issuer = IssuerRule::Exact(ISSUER.to_owned());
    let expected =
        Expected { issuer: &issuer, client_id: CLIENT, nonce: "n", access_token: "token", now: NOW };
    if let Some(token) = text(data) {
        assert!(id_token::verify(token, &SIGNER.keys, &expected).is_err(), "a stranger signed it");
    }
    let Ok(claims) = serde_json::from_slice::<Value>(data) else { return };
    let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &SIGNER.key).unwrap();
    let Ok(read) = id_token::verify(&token, &SIGNER.keys, &expected) else { return };
    assert_eq!((claims["iss"].as_str(), claims["nonce"].as_str()), (Some(ISSUER), Some("n")));
    let aud = &claims["aud"];
    assert!(aud == CLIENT || aud.as_array().unwrap().iter().any(|one| one == CLIENT));
    assert!(claims["exp"].as_i64().unwrap() > NOW - 60);
    assert!((1..=255).contains(&read.sub.len()));
    for kind in [ProviderKind::Oidc, ProviderKind::Microsoft] {
        let read = id_token::verify(&token, &SIGNER.keys, &expected).unwrap();
        let identity = oidc::identity(kind, read);
        check_identity(&identity);
        let flag = if kind == ProviderKind::Microsoft { "xms_edov" } else { "email_verified" };
        assert!(!identity.email_verified || claims[flag] == true);
    }
}

/// A key set, and a token that one of its keys is to have signed.
pub(crate) fn provider_keys(data: &[u8]) {
    let Some([set, token]) = lines::<2>(data) else { return };
    let Ok(set) = serde_json::from_str::<JwkSet>(set) else { return };
    let keys = VerificationKeys::from(set);
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        assert!(keys.find(None, algorithm).is_none(), "a public key became a secret");
    }
    let issuer = IssuerRule::Exact(ISSUER.to_owned());
    let expected =
        Expected { issuer: &issuer, client_id: CLIENT, nonce: "n", access_token: "token", now: NOW };
    let _ = id_token::verify(token, &keys, &expected);
}

/// A configured issuer and a discovery document.
pub(crate) fn discovery(data: &[u8]) {
    let Some([issuer, document]) = lines::<2>(data) else { return };
    let is_issuer = Url::parse(issuer).is_ok_and(|url| url.has_host());
    if let Some(url) = discovery::document_url(issuer).ok().filter(|_| is_issuer) {
        assert!(
            url.path().ends_with("/.well-known/openid-configuration")
                || url.query().is_some()
                || url.fragment().is_some()
        );
    }
    for kind in [ProviderKind::Oidc, ProviderKind::Microsoft] {
        let Ok(document) = serde_json::from_str(document) else { return };
        let Ok(metadata) = discovery::check(kind, issuer, document) else { continue };
        for url in metadata.endpoints() {
            assert!(url.scheme() == "https" || (issuer.starts_with("http://") && url.scheme() == "http"));
            assert!(url.has_host() && url.username().is_empty() && url.password().is_none());
        }
        let other = format!("{issuer}x");
        assert!(!metadata.issuer.accepts(&other, None) && !metadata.issuer.may_send(&other));
    }
}

/// A status and the body of an answer to a token request, or to a revocation.
pub(crate) fn token_answer(data: &[u8]) {
    let Some((status, body)) = data.split_first() else { return };
    if let Ok(answer) = serde_json::from_slice::<Answer>(body)
        && let Ok(read) = oauth::read(&answer)
    {
        assert!(read.tokens.scopes.iter().all(|scope| !scope.is_empty() && !scope.contains(',')));
        let shown = format!("{:?}", read.tokens);
        let secret = read.tokens.access_token.expose();
        assert!(secret.len() < 12 || !shown.contains(secret.as_str()), "a token shows itself");
    }
    let words = |error: &UpstreamError| {
        if let UpstreamError::Refused { error } = error {
            assert!(
                error.len() <= 100 && error.bytes().all(|byte| byte.is_ascii_graphic()),
                "{error:?} goes into a log"
            );
        }
    };
    words(&oauth::refusal_in(body));
    let response = Response::builder().status(200 + u16::from(*status)).body(body.to_vec()).unwrap();
    if let Err(error) = revocation::judge(&response) {
        words(&error);
    }
}

/// GitHub's user and addresses; or the subject of an `id_token` and the answer of the userinfo endpoint.
pub(crate) fn profile(data: &[u8]) {
    let Some([first, second]) = lines::<2>(data) else { return };
    if let (Ok(user), Ok(emails)) =
        (serde_json::from_str::<User>(first), serde_json::from_str::<Vec<Email>>(second))
    {
        let base = Url::parse("https://github.test").unwrap();
        let client_secret = Secret::new(String::new());
        let github = GitHub::new(&base, &base, Credentials { client_id: CLIENT.to_owned(), client_secret });
        check_identity(&github.identity(user, emails));
    }
    if let (Ok(claims), Ok(info)) = (serde_json::from_str::<Claims>(first), serde_json::from_str(second)) {
        let subject = claims.sub.clone();
        if let Ok(merged) = oidc::merge(claims, info) {
            assert_eq!(merged.sub, subject);
            check_identity(&oidc::identity(ProviderKind::Oidc, merged));
        }
    }
}

thread_local! {
    static FOUND: RefCell<Vec<SocketAddr>> = const { RefCell::new(Vec::new()) };
    static GUARDED: GuardedClient = GuardedClient::with(AddressPolicy::Public, Rc::new(Told), Limits::default());
}

/// Resolves every name to what the input says.
struct Told;

impl Resolve for Told {
    fn lookup<'a>(
        &'a self,
        _host: &'a str,
        _port: u16,
    ) -> LocalBoxFuture<'a, Result<Vec<SocketAddr>, Box<dyn std::error::Error>>> {
        Box::pin(std::future::ready(Ok(FOUND.with_borrow(Clone::clone))))
    }
}

/// An address that a tenant chose, and what its name resolves to, separated by commas.
pub(crate) fn address_policy(data: &[u8]) {
    let Some([url, found]) = lines::<2>(data) else { return };
    let found: Vec<IpAddr> = found.split(',').filter_map(|one| one.parse().ok()).collect();
    for address in &found {
        if let IpAddr::V4(v4) = address {
            // Every way to write an IPv4 address as one of IPv6 is refused, since it may lead anywhere.
            assert!(!is_public(v4.to_ipv6_mapped().into()) && !is_public(v4.to_ipv6_compatible().into()));
        }
        let inside = address.is_loopback() || address.is_unspecified() || address.is_multicast();
        assert!(!(inside && is_public(*address)));
    }
    let Ok(url) = Url::parse(url) else { return };
    FOUND.replace(found.iter().map(|address| SocketAddr::new(*address, 443)).collect());
    let judged = GUARDED.with(|guarded| guarded.check(&url).now_or_never()).unwrap();
    if judged.is_ok() {
        assert_eq!((url.scheme(), url.username(), url.password()), ("https", "", None));
        match url.host().unwrap() {
            Host::Ipv4(address) => assert!(is_public(address.into())),
            Host::Ipv6(address) => assert!(is_public(address.into())),
            Host::Domain(name) => {
                let name = name.trim_end_matches('.');
                assert!(name != "localhost" && !name.ends_with(".localhost"));
                assert!(!found.is_empty() && found.iter().all(|address| is_public(*address)));
            }
        }
    }
}
