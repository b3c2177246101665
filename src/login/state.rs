//! The login state: what was decided before the browser left for the provider, sealed into a cookie.

use gatehouse_actors::clock::Millis;
use serde::{Deserialize, Serialize};

/// How long a person may take at the provider: 10 minutes, in seconds.
pub(super) const LIFETIME_SECONDS: i64 = 10 * 60;
/// Every cookie with a login state begins like this; the rest is from the state itself, so that tabs do not collide.
pub(super) const COOKIE_PREFIX: &str = "gatehouse-login-";

/// Everything that the callback needs. Bound to the browser by its cookie and to this sign-in by `state`.
#[derive(Serialize, Deserialize)]
pub(super) struct LoginState {
    pub(super) state: String,
    /// Upstream nonce and PKCE verifier.
    pub(super) nonce: String,
    pub(super) code_verifier: String,
    pub(super) provider: String,
    /// The organization's own client at the provider; none: the platform's.
    pub(super) own: Option<OwnClient>,
    /// Whether the service wants to call the provider for the user.
    pub(super) keeps_tokens: bool,
    /// Platform realm or organization: the two have callbacks of their own.
    pub(super) is_platform: bool,
    pub(super) org_id: i64,
    pub(super) service_id: i64,
    pub(super) started_at: Millis,
    pub(super) purpose: Purpose,
}

/// An organization's own client as it was when the browser left. Another version must not answer for it.
#[derive(Serialize, Deserialize)]
pub(super) struct OwnClient {
    pub(super) version_id: String,
    /// Names the callback that is this client's alone.
    pub(super) org_slug: String,
}

/// What the sign-in is for.
#[derive(Serialize, Deserialize)]
pub(super) enum Purpose {
    /// An app waits for a code.
    Web(WebRequest),
    /// A device waits for a decision.
    Device { device_code_id: i64, user_code: String },
    /// An invitation waits for an answer. The token stays inside the sealed cookie.
    Invitation { token: String },
    /// The user of this session wants to sign in with this account as well.
    Link { session: String },
    /// Somebody has to show that he is the user to link to. What is to be linked waits in a cookie of its own.
    LinkProof,
}

/// An app's request, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WebRequest {
    pub(super) destination: Destination,
    /// None only for a confidential client that sent none.
    pub(super) code_challenge: Option<String>,
    pub(super) scope: String,
    pub(super) nonce: Option<String>,
}

/// Where the answer goes. Exists only for a URI that is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Destination {
    pub(super) redirect_uri: String,
    pub(super) registered_uri: String,
    pub(super) state: Option<String>,
}

impl LoginState {
    pub(super) fn expires_at(&self) -> Millis {
        self.started_at + LIFETIME_SECONDS * 1000
    }

    /// Which organization's own callback this sign-in comes back to; none: the shared one.
    pub(super) fn own_callback(&self) -> Option<&str> {
        self.own.as_ref().map(|own| own.org_slug.as_str())
    }

    pub(super) fn cookie_name(state: &str) -> String {
        let short: String = state.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
        format!("{COOKIE_PREFIX}{short}")
    }
}
