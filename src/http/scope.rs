//! Scopes (RFC 6749, section 3.3): what a client may ask for, and what it asked for.

use crate::error::Error;
use crate::pages::ScopeRow;

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

/// What each word of a scope means to the person who is asked to allow it.
#[must_use]
pub fn describe(scope: &str) -> Vec<ScopeRow> {
    let own = |word: &str| match word {
        "openid" => "Know that it is you, by an identifier of your account",
        "profile" => "See your name and picture",
        "email" => "See your e-mail address",
        "offline_access" => "Stay signed in while you are away",
        _ => "",
    };
    let row = |word: &str| ScopeRow { name: word.to_owned(), description: own(word).to_owned() };
    scope.split(' ').filter(|word| !word.is_empty()).map(row).collect()
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
