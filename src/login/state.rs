//! The login state: what was decided before the browser left for the provider, sealed into a cookie.

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::authorization_codes::NewAuthorizationCode;
use gatehouse_actors::data::login_events::SeenFrom;
use gatehouse_actors::data::sign_in::CodeRequest;
use gatehouse_actors::data::token_binding::TokenBinding;
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
    pub(super) org_slug: String,
    pub(super) service_id: i64,
    pub(super) started_at: Millis,
    pub(super) purpose: Purpose,
}

/// An organization's own client as it was when the browser left. Another version must not answer for it.
#[derive(Serialize, Deserialize)]
pub(super) struct OwnClient {
    pub(super) version_id: String,
}

/// What the sign-in is for.
#[derive(Serialize, Deserialize)]
pub(super) enum Purpose {
    /// An app waits for a code.
    Web(Box<WebRequest>),
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
    /// What the tokens are to be bound to.
    #[serde(default)]
    pub(super) binding: TokenBinding,
    pub(super) nonce: Option<String>,
    /// How old the authentication may be, in seconds; 0 when the app wants a fresh one.
    pub(super) max_age: Option<i64>,
    /// The `sub` that it must be, when the app named one.
    pub(super) expected_user: Option<String>,
    /// Whether to ask for consent in any case.
    pub(super) ask_consent: bool,
}

impl WebRequest {
    /// The code that the app is to get.
    pub(super) fn code(&self, secret_hash: [u8; 32], seen_from: SeenFrom) -> NewAuthorizationCode {
        NewAuthorizationCode {
            secret_hash,
            redirect_uri: self.destination.redirect_uri.clone(),
            registered_uri: self.destination.registered_uri.clone(),
            code_challenge: self.code_challenge.clone(),
            scope: self.scope.clone(),
            nonce: self.nonce.clone(),
            binding: self.binding.clone(),
            seen_from,
        }
    }

    /// What the app asks for, as far as the person decides it.
    pub(super) fn code_request(&self, secret_hash: [u8; 32], seen_from: SeenFrom) -> CodeRequest {
        CodeRequest {
            code: self.code(secret_hash, seen_from),
            ask_consent: self.ask_consent,
            expected_user: self.expected_user.clone(),
        }
    }
}

/// Where the answer goes, and how. Exists only for a URI that is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Destination {
    pub(super) redirect_uri: String,
    pub(super) registered_uri: String,
    pub(super) state: Option<String>,
    pub(super) mode: ResponseMode,
}

/// How the answer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ResponseMode {
    /// In the query of a redirect (OAuth 2.0 Multiple Response Type Encoding Practices, section 2.1).
    Query,
    /// In a form that the browser posts (OAuth 2.0 Form Post Response Mode, section 2).
    FormPost,
}

impl LoginState {
    pub(super) fn expires_at(&self) -> Millis {
        self.started_at + LIFETIME_SECONDS * 1000
    }

    /// Which organization's own callback this sign-in comes back to; none: the shared one.
    pub(super) fn own_callback(&self) -> Option<&str> {
        self.own.as_ref().map(|_| self.org_slug.as_str())
    }

    pub(super) fn cookie_name(state: &str) -> String {
        let short: String = state.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
        format!("{COOKIE_PREFIX}{short}")
    }
}
