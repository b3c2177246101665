//! What can go wrong between this service and an identity provider.

use super::id_token::IdTokenError;

/// Why a conversation with a provider failed. The texts are fit for a log: they carry no secret, no token and
/// nothing of a body that the provider sent.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum UpstreamError {
    /// No connection, or it broke before the answer was complete.
    #[error("provider unreachable: {0}")]
    Unreachable(&'static str),
    /// The address is one that tenants must not make us connect to.
    #[error("address is not public")]
    Forbidden,
    /// The answer was not complete within the time limit.
    #[error("provider timed out")]
    Timeout,
    /// The answer's HTTP status is not the one the protocol asks for.
    #[error("provider answered with status {0}")]
    Status(u16),
    /// The answer does not follow the protocol.
    #[error("provider gave a bad answer: {0}")]
    BadAnswer(&'static str),
    /// The provider says no in its protocol's own words (RFC 6749 section 5.2), such as `invalid_grant`.
    #[error("provider refused: {error}")]
    Refused {
        /// The error code: lower-case letters, digits and underscores only.
        error: String,
    },
    /// The callback was sent by another authorization server, or does not say which (RFC 9207).
    #[error("callback came from another issuer")]
    WrongIssuer,
    /// The `id_token` failed verification (OpenID Connect Core 1.0 section 3.1.3.7).
    #[error("id_token rejected: {0}")]
    IdToken(#[from] IdTokenError),
}

impl UpstreamError {
    /// Whether a refresh token is worth nothing any more (RFC 6749, section 5.2), also in GitHub's words.
    #[must_use]
    pub fn says_grant_is_over(&self) -> bool {
        let codes = ["invalid_grant", "bad_refresh_token"];
        matches!(self, Self::Refused { error } if codes.contains(&error.as_str()))
    }

    /// The provider's own error code as a refusal. Text that does not look like a code may be anything, a token
    /// among them, and is not repeated.
    pub(super) fn refused(code: &str) -> Self {
        let is_code_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if code.is_empty() || code.len() > 64 || !code.chars().all(is_code_char) {
            return Self::BadAnswer("error code is not a code");
        }
        Self::Refused { error: code.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_codes_are_kept() {
        for code in ["invalid_grant", "bad_verification_code", "access_denied"] {
            assert_eq!(UpstreamError::refused(code), UpstreamError::Refused { error: code.to_owned() });
        }
    }

    proptest! {
        #[test]
        fn refusals_never_carry_free_text(text in ".*") {
            let shown = UpstreamError::refused(&text).to_string();
            prop_assert!(shown.len() <= 84);
            prop_assert!(shown.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_ :".contains(c)));
        }
    }
}
