//! The authorization request that the dev provider accepts: stricter than the standards, so that a client which
//! forgets something notices here.

use serde::Deserialize;

use super::authority::{CLIENT_ID, DevProvider};

/// The parameters as they arrive, in the query or in the page's hidden fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AuthorizeParams {
    pub(super) client_id: Option<String>,
    pub(super) redirect_uri: Option<String>,
    pub(super) response_type: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) state: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) code_challenge: Option<String>,
    pub(super) code_challenge_method: Option<String>,
    pub(super) login_hint: Option<String>,
}

/// A request that may be answered with a code.
#[derive(Debug)]
pub(super) struct AuthorizeRequest {
    pub(super) redirect_uri: String,
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) code_challenge: String,
    pub(super) scope: String,
}

/// Why a request gets no page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AuthorizeRefusal {
    /// The redirect URI is not known to be the client's: tell the person, redirect nowhere.
    OnPage(&'static str),
    /// Tell the client.
    Back { redirect_uri: String, state: Option<String>, error: &'static str, description: &'static str },
}

impl AuthorizeRefusal {
    pub(super) fn back(request: &AuthorizeRequest, error: &'static str, description: &'static str) -> Self {
        let (redirect_uri, state) = (request.redirect_uri.clone(), Some(request.state.clone()));
        Self::Back { redirect_uri, state, error, description }
    }
}

impl AuthorizeParams {
    /// The value of a field of the page.
    pub(super) fn text(field: Option<&String>) -> &str {
        field.map_or("", String::as_str)
    }

    pub(super) fn check(&self, provider: &DevProvider) -> Result<AuthorizeRequest, AuthorizeRefusal> {
        if self.client_id.as_deref() != Some(CLIENT_ID) {
            return Err(AuthorizeRefusal::OnPage("The client_id is not known here."));
        }
        let redirect_uri = self.redirect_uri.as_deref().filter(|uri| provider.knows_redirect_uri(uri));
        let Some(redirect_uri) = redirect_uri else {
            return Err(AuthorizeRefusal::OnPage("The redirect_uri is not a registered one."));
        };
        let back = |error, description| AuthorizeRefusal::Back {
            redirect_uri: redirect_uri.to_owned(),
            state: self.state.clone(),
            error,
            description,
        };
        if self.response_type.as_deref() != Some("code") {
            return Err(back("unsupported_response_type", "response_type must be code."));
        }
        let scope = self.scope.as_deref().unwrap_or("");
        if !scope.split(' ').any(|scope| scope == "openid") {
            return Err(back("invalid_scope", "scope must contain openid."));
        }
        let challenge = self.code_challenge.as_deref().filter(|challenge| is_s256_challenge(challenge));
        let Some(challenge) = challenge.filter(|_| self.code_challenge_method.as_deref() == Some("S256"))
        else {
            return Err(back("invalid_request", "PKCE with S256 is required."));
        };
        let (Some(state), Some(nonce)) = (present(self.state.as_ref()), present(self.nonce.as_ref())) else {
            return Err(back("invalid_request", "state and nonce are required."));
        };
        Ok(AuthorizeRequest {
            redirect_uri: redirect_uri.to_owned(),
            state: state.to_owned(),
            nonce: nonce.to_owned(),
            code_challenge: challenge.to_owned(),
            scope: scope.to_owned(),
        })
    }
}

fn present(field: Option<&String>) -> Option<&str> {
    field.map(String::as_str).filter(|text| !text.is_empty())
}

/// RFC 7636 section 4.2: a SHA-256 in base64url without padding.
fn is_s256_challenge(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}
