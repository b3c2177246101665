//! Scopes (RFC 6749, section 3.3): what a client may ask for, and what it asked for.

use crate::error::Error;

/// Every scope there is.
pub const SUPPORTED: [&str; 4] = ["openid", "profile", "email", "offline_access"];
/// What a client gets that asks for nothing in particular.
pub const DEFAULT: &str = "openid profile email";

/// The requested scope, each word once, in the order of the request.
pub fn parse(requested: Option<&str>) -> Result<String, Error> {
    let mut words: Vec<&str> = Vec::new();
    for word in requested.unwrap_or(DEFAULT).split(' ').filter(|word| !word.is_empty()) {
        if !SUPPORTED.contains(&word) {
            let message = format!("The scope may hold: {}.", SUPPORTED.join(", "));
            return Err(Error::bad_request(message).oauth("invalid_scope"));
        }
        if !words.contains(&word) {
            words.push(word);
        }
    }
    Ok(words.join(" "))
}

/// Whether a granted scope holds `word`.
#[must_use]
pub fn has(scope: &str, word: &str) -> bool {
    scope.split(' ').any(|granted| granted == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_and_once() {
        assert_eq!(parse(Some("openid  email openid")).unwrap(), "openid email");
        assert_eq!(parse(None).unwrap(), DEFAULT);
        assert_eq!(parse(Some("openid admin")).unwrap_err().oauth_code(), "invalid_scope");
    }
}
