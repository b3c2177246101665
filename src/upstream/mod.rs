//! Identity providers that people sign in with: GitHub, Google, Microsoft and any other OpenID provider.
//!
//! ```text
//! authorization_url ──> browser at the provider ──> callback(code) ──> sign_in
//!        │                                                               │
//!   discovery (OpenID)                     token request ──> id_token rules, or GitHub's API ──> SignIn
//! ```
//! Nothing here decides who a user is: [`SignIn`] says what the provider proved, and the login rules judge it.

pub mod address_policy;
pub mod client;
mod discovery;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod github;
pub mod guarded;
mod id_token;
mod jwks;
mod oauth;
mod oidc;
mod profile;
mod revocation;
#[cfg(test)]
mod tests;

use gatehouse_actors::clock::Clock;
use url::Url;

pub use self::address_policy::AddressPolicy;
pub use self::client::HttpClient;
pub use self::error::UpstreamError;
pub use self::guarded::GuardedClient;
pub use self::id_token::IdTokenError;
pub use self::revocation::{Revocable, Revoked};
use crate::config::provider::{ProviderEndpoints, ProviderKind, ProviderSettings};
use crate::config::secret::Secret;

/// What the browser is sent to the provider with.
#[derive(Clone, Copy)]
pub struct AuthorizationRequest<'a> {
    /// Our callback, as registered at the provider.
    pub redirect_uri: &'a str,
    /// Bound to the browser by the caller (RFC 6749 section 10.12).
    pub state: &'a str,
    /// Comes back inside the `id_token`. GitHub has none and does not see it.
    pub nonce: &'a str,
    /// The PKCE verifier for the provider (RFC 7636 section 4.1); only its S256 challenge is sent now.
    pub code_verifier: &'a str,
    /// Who is expected to sign in, when known.
    pub login_hint: Option<&'a str>,
    /// What the provider is to ask of the person.
    pub effort: Effort,
    /// Scopes beyond those that signing in needs. With any, the tokens are kept, and a refresh token is asked for in
    /// the provider's own way.
    pub scopes: &'a [String],
    /// Whether the person is asked again what the provider remembers to be granted: without that, some give no
    /// refresh token a second time.
    pub consent_again: bool,
}

/// How much the provider is to ask of the person. Each provider gets as much of it as it understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Nothing in particular: who is signed in there may come back at once.
    Any,
    /// To choose an account.
    ChooseAccount,
    /// To have authenticated at most so many seconds ago; 0 means now (OpenID Connect Core 1.0 section 3.1.2.1).
    Within(i64),
}

/// What the browser came back with, and what was kept since it left.
#[derive(Clone, Copy)]
pub struct CallbackExchange<'a> {
    /// The authorization code.
    pub code: &'a str,
    /// The same as in the [`AuthorizationRequest`] (RFC 6749 section 4.1.3).
    pub redirect_uri: &'a str,
    /// The same as in the [`AuthorizationRequest`].
    pub nonce: &'a str,
    /// The same as in the [`AuthorizationRequest`].
    pub code_verifier: &'a str,
    /// The callback's `iss` (RFC 9207).
    pub iss: Option<&'a str>,
}

/// Who signed in, in the provider's words. The identity is the pair of `issuer` and `subject`, never the e-mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalIdentity {
    /// The provider: the verified `iss`, or GitHub's base URL without a trailing slash.
    pub issuer: String,
    /// The person, unique within the issuer and never reused.
    pub subject: String,
    /// An e-mail address as the provider writes it. Proves nothing unless `email_verified`.
    pub email: Option<String>,
    /// Whether the provider vouches that the address belongs to the subject.
    pub email_verified: bool,
    /// A name to show.
    pub name: Option<String>,
    /// A picture to show: an http(s) address.
    pub avatar_url: Option<String>,
    /// How the person authenticated (RFC 8176).
    pub amr: Vec<String>,
    /// When the person authenticated, in seconds since the Unix epoch.
    pub auth_time: Option<i64>,
}

/// The provider's tokens, for whoever needs to call it later.
#[derive(Debug, Clone)]
pub struct UpstreamTokens {
    /// The access token.
    pub access_token: Secret<String>,
    /// The refresh token, when the provider gave one.
    pub refresh_token: Option<Secret<String>>,
    /// Life of the access token in seconds from now, when the provider says.
    pub expires_in: Option<u64>,
    /// What was granted; when the provider does not say, what was asked for (RFC 6749 section 5.1) is unknown here
    /// and this is empty.
    pub scopes: Vec<String>,
}

/// A completed sign-in at a provider.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// Who.
    pub identity: ExternalIdentity,
    /// With which tokens.
    pub tokens: UpstreamTokens,
}

/// One provider application. Shared by all workers in an `Arc`; what was discovered is remembered inside.
#[derive(Debug)]
pub struct Provider {
    kind: ProviderKind,
    is_tenant_chosen: bool,
    protocol: Protocol,
}

#[derive(Debug)]
enum Protocol {
    GitHub(github::GitHub),
    OpenId(oidc::OpenId),
}

impl Provider {
    /// Takes the settings; asks the provider nothing yet.
    #[must_use]
    pub fn new(settings: ProviderSettings) -> Self {
        let ProviderSettings { kind, endpoints, client_id, client_secret } = settings;
        let credentials = oauth::Credentials { client_id, client_secret };
        let protocol = match endpoints {
            ProviderEndpoints::GitHub { base_url, api_url } => {
                Protocol::GitHub(github::GitHub::new(&base_url, &api_url, credentials))
            }
            ProviderEndpoints::OpenId { issuer } => {
                Protocol::OpenId(oidc::OpenId::new(kind, issuer, credentials))
            }
        };
        Self { kind, is_tenant_chosen: false, protocol }
    }

    /// The same for an address that a tenant chose: only a [`GuardedClient`] may be sent there.
    #[must_use]
    pub fn chosen_by_tenant(settings: ProviderSettings) -> Self {
        Self { is_tenant_chosen: true, ..Self::new(settings) }
    }

    /// Whether a tenant chose where this provider lives.
    #[must_use]
    pub fn is_tenant_chosen(&self) -> bool {
        self.is_tenant_chosen
    }

    /// Finds the provider, and checks that everything it names may be connected to and that it publishes keys. Those
    /// whose endpoints are configuration have nothing to verify.
    pub async fn verify(&self, guarded: &GuardedClient, clock: &dyn Clock) -> Result<(), UpstreamError> {
        match &self.protocol {
            Protocol::GitHub(_) => Ok(()),
            Protocol::OpenId(openid) => openid.verify(guarded, clock).await,
        }
    }

    /// Which provider this is.
    #[must_use]
    pub fn kind(&self) -> ProviderKind {
        self.kind
    }

    /// Where to send the browser. Discovers the provider first when that is due.
    pub async fn authorization_url(
        &self,
        http: &HttpClient,
        clock: &dyn Clock,
        request: &AuthorizationRequest<'_>,
    ) -> Result<Url, UpstreamError> {
        match &self.protocol {
            Protocol::GitHub(github) => github.authorization_url(request),
            Protocol::OpenId(openid) => openid.authorization_url(http, clock, request).await,
        }
    }

    /// Asks for a new access token (RFC 6749, section 6). A refresh token may be good for one such request only.
    pub async fn refresh(
        &self,
        http: &HttpClient,
        clock: &dyn Clock,
        refresh_token: &Secret<String>,
    ) -> Result<UpstreamTokens, UpstreamError> {
        match &self.protocol {
            Protocol::GitHub(github) => github.refresh(http, refresh_token).await,
            Protocol::OpenId(openid) => openid.refresh(http, clock, refresh_token).await,
        }
    }

    /// Gives tokens back, as the provider wants it.
    pub async fn revoke(
        &self,
        http: &HttpClient,
        clock: &dyn Clock,
        tokens: &Revocable,
    ) -> Result<Revoked, UpstreamError> {
        match &self.protocol {
            Protocol::GitHub(github) => github.revoke(http, tokens).await,
            Protocol::OpenId(openid) => openid.revoke(http, clock, tokens).await,
        }
    }

    /// Whether one token can be given back alone. Elsewhere everything may go that the account granted the client.
    #[must_use]
    pub fn revokes_single_tokens(&self) -> bool {
        matches!(self.protocol, Protocol::GitHub(_))
    }

    /// Exchanges the code and verifies who signed in. Call it once per code: a failed exchange burns the code too.
    pub async fn sign_in(
        &self,
        http: &HttpClient,
        clock: &dyn Clock,
        exchange: &CallbackExchange<'_>,
    ) -> Result<SignIn, UpstreamError> {
        let signed_in = match &self.protocol {
            Protocol::GitHub(github) => github.sign_in(http, exchange).await,
            Protocol::OpenId(openid) => openid.sign_in(http, clock, exchange).await,
        }?;
        log::info!(
            provider = self.kind.as_str(), email_verified = signed_in.identity.email_verified;
            "provider vouched for a person"
        );
        Ok(signed_in)
    }
}

/// Chooses ring for TLS in the whole process. Idempotent; without it the first HTTP client would panic.
pub fn install_crypto_provider() {
    // An error means that a provider is installed already, and any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
