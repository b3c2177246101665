//! What the service knows about an upstream identity provider before it talks to it.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::secret::Secret;

/// The `{provider}` of a URL such as `/auth/{provider}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProviderKind {
    /// github.com or a GitHub Enterprise server: OAuth 2.0, identity through its REST API.
    GitHub,
    /// Google: OpenID Connect.
    Google,
    /// Microsoft Entra ID: OpenID Connect whose e-mail claim proves nothing.
    Microsoft,
    /// Any other OpenID provider, by its issuer.
    Oidc,
    /// The provider inside the binary. Exists in dev mode only.
    Dev,
}

impl ProviderKind {
    /// Every kind, in the order in which pages offer them.
    pub const ALL: [Self; 5] = [Self::GitHub, Self::Google, Self::Microsoft, Self::Oidc, Self::Dev];

    /// The name in URLs, in the database and in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::Google => "google",
            Self::Microsoft => "microsoft",
            Self::Oidc => "oidc",
            Self::Dev => "dev",
        }
    }

    /// The name on a button.
    #[must_use]
    pub fn display_name(self) -> &'static str {
        match self {
            Self::GitHub => "GitHub",
            Self::Google => "Google",
            Self::Microsoft => "Microsoft",
            Self::Oidc => "single sign-on",
            Self::Dev => "the dev provider",
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no provider that this service knows.
#[derive(Debug, thiserror::Error)]
#[error("unknown provider")]
pub struct UnknownProvider;

impl FromStr for ProviderKind {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownProvider)
    }
}

/// Where a provider lives.
#[derive(Debug, Clone)]
pub enum ProviderEndpoints {
    /// GitHub speaks OAuth 2.0 only: the site for the browser and the token, the API for the profile.
    GitHub {
        /// `https://github.com`, or a GitHub Enterprise server. Also the issuer of its identities.
        base_url: Url,
        /// `https://api.github.com`, or `https://HOST/api/v3`.
        api_url: Url,
    },
    /// Everything else is found by OpenID Connect Discovery from this issuer (for Microsoft: the authority).
    OpenId {
        /// As written by the operator, without a trailing slash removed or added.
        issuer: String,
    },
}

/// One provider application: a client registered at an upstream provider.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// Which provider.
    pub kind: ProviderKind,
    /// Where it lives.
    pub endpoints: ProviderEndpoints,
    /// The client id that the provider gave us.
    pub client_id: String,
    /// The client secret that the provider gave us.
    pub client_secret: Secret<String>,
}
