//! OpenID Connect Discovery 1.0: from an issuer to its endpoints and keys.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatehouse_actors::clock::{Clock, Millis};
use serde::Deserialize;
use url::Url;

use super::client::HttpClient;
use super::error::UpstreamError;
use super::id_token::IssuerRule;
use super::jwks::{JwkSet, VerificationKeys};
use super::oauth::{ClientAuth, Server};
use crate::config::provider::ProviderKind;

/// After this, a document or key set is asked for again.
const FRESH_FOR: Millis = 60 * 60 * 1000;
/// An unknown `kid` has the keys fetched again at most this often, so that nobody makes us flood the provider.
const KEYS_AT_MOST_EVERY: Millis = 60 * 1000;

/// The provider's metadata document (Discovery 1.0 section 3), as far as it is used.
#[derive(Deserialize)]
pub(super) struct Document {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    userinfo_endpoint: Option<Url>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// RFC 8414 section 2.
    revocation_endpoint: Option<Url>,
    revocation_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// What we know about a provider, checked.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) issuer: IssuerRule,
    pub(super) server: Server,
    pub(super) userinfo_endpoint: Option<Url>,
    /// Where tokens are given back (RFC 7009), and how we prove who we are there.
    pub(super) revocation: Option<(Url, ClientAuth)>,
    /// RFC 9207 section 3: the callback always carries `iss`.
    pub(super) sends_iss: bool,
    jwks_uri: Url,
}

impl Metadata {
    /// Every address that the document names and that is used.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Url> {
        let server = [&self.server.authorization_endpoint, &self.server.token_endpoint, &self.jwks_uri];
        let revocation = self.revocation.as_ref().map(|(url, _)| url);
        server.into_iter().chain(&self.userinfo_endpoint).chain(revocation)
    }
}

/// Finds a provider and remembers what it found. The lock is held for moments only, never across a request.
#[derive(Debug)]
pub(super) struct Discovery {
    kind: ProviderKind,
    issuer: String,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    metadata: Option<(Millis, Arc<Metadata>)>,
    keys: Option<(Millis, Arc<VerificationKeys>)>,
    keys_asked_at: Option<Millis>,
}

impl Discovery {
    pub(super) fn new(kind: ProviderKind, issuer: String) -> Self {
        Self { kind, issuer, found: Mutex::default() }
    }

    /// The provider's metadata, at most an hour old.
    pub(super) async fn metadata(
        &self,
        http: &HttpClient,
        clock: &dyn Clock,
    ) -> Result<Arc<Metadata>, UpstreamError> {
        if let Some(known) = fresh(self.found().metadata.as_ref(), clock.now()) {
            return Ok(known);
        }
        let document: Document = http.get_json(&document_url(&self.issuer)?, None).await?;
        let metadata = Arc::new(check(self.kind, &self.issuer, document)?);
        self.found().metadata = Some((clock.now(), Arc::clone(&metadata)));
        log::info!(provider = self.kind.as_str(); "provider discovered");
        Ok(metadata)
    }

    /// The provider's keys, at most an hour old.
    pub(super) async fn keys(
        &self,
        http: &HttpClient,
        clock: &dyn Clock,
        metadata: &Metadata,
    ) -> Result<Arc<VerificationKeys>, UpstreamError> {
        if let Some(known) = fresh(self.found().keys.as_ref(), clock.now()) {
            return Ok(known);
        }
        self.fetch_keys(http, clock, metadata).await
    }

    /// The provider's keys fetched again because a token names one that is not among them (Core 1.0 section 10.1.1);
    /// `None` when that was done less than a minute ago.
    pub(super) async fn newer_keys(
        &self,
        http: &HttpClient,
        clock: &dyn Clock,
        metadata: &Metadata,
    ) -> Result<Option<Arc<VerificationKeys>>, UpstreamError> {
        let asked_at = self.found().keys_asked_at;
        if asked_at.is_some_and(|at| is_within(at, clock.now(), KEYS_AT_MOST_EVERY)) {
            return Ok(None);
        }
        log::info!(provider = self.kind.as_str(); "signing key unknown, fetching the keys again");
        self.fetch_keys(http, clock, metadata).await.map(Some)
    }

    async fn fetch_keys(
        &self,
        http: &HttpClient,
        clock: &dyn Clock,
        metadata: &Metadata,
    ) -> Result<Arc<VerificationKeys>, UpstreamError> {
        self.found().keys_asked_at = Some(clock.now());
        let set: JwkSet = http.get_json(&metadata.jwks_uri, None).await?;
        let keys = Arc::new(VerificationKeys::from(set));
        self.found().keys = Some((clock.now(), Arc::clone(&keys)));
        Ok(keys)
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner) // only whole values are ever stored
    }
}

fn fresh<T>(known: Option<&(Millis, Arc<T>)>, now: Millis) -> Option<Arc<T>> {
    known.filter(|(at, _)| is_within(*at, now, FRESH_FOR)).map(|(_, value)| Arc::clone(value))
}

/// A moment in the future counts as long ago: the clock was set back, and nothing may live longer for it.
fn is_within(at: Millis, now: Millis, span: Millis) -> bool {
    (0..span).contains(&now.saturating_sub(at))
}

/// Discovery 1.0 section 4.1: a terminating slash is removed before the well-known path is appended.
pub(super) fn document_url(issuer: &str) -> Result<Url, UpstreamError> {
    let text = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    text.parse().map_err(|_| UpstreamError::BadAnswer("issuer is not a url"))
}

pub(super) fn check(
    kind: ProviderKind,
    configured: &str,
    document: Document,
) -> Result<Metadata, UpstreamError> {
    // Discovery 1.0 section 4.3: or anybody could speak for the issuer.
    let issuer = IssuerRule::new(kind, configured, &document.issuer)
        .ok_or(UpstreamError::BadAnswer("discovery document is of another issuer"))?;
    let plain_http = configured.starts_with("http://");
    let endpoints =
        [&document.authorization_endpoint, &document.token_endpoint, &document.jwks_uri].into_iter();
    let endpoints = endpoints.chain(&document.userinfo_endpoint).chain(&document.revocation_endpoint);
    if !endpoints.into_iter().all(|url| is_endpoint(url, plain_http)) {
        return Err(UpstreamError::BadAnswer("endpoint is not an https address"));
    }
    let methods = document.token_endpoint_auth_methods_supported.as_deref();
    // Who says nothing of that endpoint takes there what it takes at the token endpoint (RFC 7009 section 2.1).
    let methods_of_revocation = document.revocation_endpoint_auth_methods_supported.as_deref().or(methods);
    Ok(Metadata {
        issuer,
        server: Server {
            authorization_endpoint: document.authorization_endpoint,
            token_endpoint: document.token_endpoint,
            client_auth: client_auth(methods),
        },
        revocation: document.revocation_endpoint.map(|url| (url, client_auth(methods_of_revocation))),
        userinfo_endpoint: document.userinfo_endpoint,
        sends_iss: document.authorization_response_iss_parameter_supported,
        jwks_uri: document.jwks_uri,
    })
}

/// https, or http where the operator configured an http issuer (a stand-in on the same machine); without a fragment
/// (RFC 6749 section 3.1) and without somebody's password in it.
fn is_endpoint(url: &Url, plain_http: bool) -> bool {
    let scheme = url.scheme() == "https" || (plain_http && url.scheme() == "http");
    scheme
        && url.has_host()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

/// `client_secret_basic` is the default (Discovery 1.0 section 3) and keeps the secret out of bodies.
fn client_auth(supported: Option<&[String]>) -> ClientAuth {
    let offers = |method: &str| supported.is_some_and(|methods| methods.iter().any(|m| m == method));
    if offers("client_secret_post") && !offers("client_secret_basic") {
        ClientAuth::Post
    } else {
        ClientAuth::Basic
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn document(changes: &Value) -> Document {
        let mut document = json!({
            "issuer": "https://id.test",
            "authorization_endpoint": "https://id.test/authorize",
            "token_endpoint": "https://id.test/token",
            "jwks_uri": "https://keys.test/jwks",
        });
        for (name, value) in changes.as_object().unwrap() {
            document[name] = value.clone();
        }
        serde_json::from_value(document).unwrap()
    }

    fn checked(issuer: &str, changes: &Value) -> Result<Metadata, UpstreamError> {
        check(ProviderKind::Oidc, issuer, document(changes))
    }

    #[test]
    fn the_issuer_must_be_the_configured_one_exactly() {
        assert!(checked("https://id.test", &json!({})).is_ok());
        for issuer in ["https://id.test/", "https://ID.test", "http://id.test", "https://id.test.evil.test"] {
            assert_eq!(
                checked(issuer, &json!({})).unwrap_err(),
                UpstreamError::BadAnswer("discovery document is of another issuer")
            );
        }
    }

    #[test]
    fn endpoints_are_https_unless_the_issuer_is_not() {
        for endpoint in [
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "userinfo_endpoint",
            "revocation_endpoint",
        ] {
            for address in
                ["http://id.test/x", "file:///etc/x", "https://id.test/x#y", "https://u:p@id.test/"]
            {
                assert!(checked("https://id.test", &json!({ endpoint: address })).is_err(), "{address}");
            }
            let plain = json!({ "issuer": "http://id.test", endpoint: "http://id.test/x" });
            assert!(checked("http://id.test", &plain).is_ok());
        }
    }

    #[test]
    fn the_secret_goes_into_the_body_only_where_nothing_else_is_offered() {
        let auth = |methods: Option<&[&str]>| {
            client_auth(methods.map(|m| m.iter().map(ToString::to_string).collect::<Vec<_>>()).as_deref())
        };
        assert_eq!(auth(None), ClientAuth::Basic);
        assert_eq!(auth(Some(&["private_key_jwt"])), ClientAuth::Basic);
        assert_eq!(auth(Some(&["client_secret_post", "client_secret_basic"])), ClientAuth::Basic);
        assert_eq!(auth(Some(&["client_secret_post", "private_key_jwt"])), ClientAuth::Post);
    }

    #[test]
    fn the_document_is_below_the_issuer() {
        let expected = "https://id.test/t/.well-known/openid-configuration";
        assert_eq!(document_url("https://id.test/t").unwrap().as_str(), expected);
        assert_eq!(document_url("https://id.test/t/").unwrap().as_str(), expected);
    }

    proptest! {
        #[test]
        fn nothing_is_fresh_for_longer_than_the_span(at: Millis, now: Millis, span in 0..FRESH_FOR) {
            let within = is_within(at, now, span);
            prop_assert_eq!(within, i128::from(now) >= i128::from(at) && i128::from(now) - i128::from(at) < i128::from(span));
        }
    }
}
