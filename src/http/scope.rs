//! Scopes (RFC 6749, section 3.3): what a client may ask for, and what it asked for.

use gatehouse_actors::data::services::Service;

use crate::error::Error;

/// Every scope there is.
pub const SUPPORTED: [&str; 4] = ["openid", "profile", "email", "offline_access"];
/// What a client gets that asks for nothing in particular.
pub const DEFAULT: &str = "openid profile email";

/// The requested scope, each word once, in the order of the request: of the standard scopes alone.
pub fn parse(requested: Option<&str>) -> Result<String, Error> {
    words(requested.unwrap_or(DEFAULT), |word| SUPPORTED.contains(&word), || SUPPORTED.join(", "))
}

/// The same, of the standard scopes and those that the service defines.
pub fn for_service(requested: Option<&str>, service: &Service) -> Result<String, Error> {
    let own = &service.registration.scopes;
    let is_known = |word: &str| SUPPORTED.contains(&word) || own.iter().any(|scope| scope.name == word);
    let known = || {
        let own = own.iter().map(|scope| scope.name.as_str());
        SUPPORTED.into_iter().chain(own).collect::<Vec<_>>().join(", ")
    };
    words(requested.unwrap_or(DEFAULT), is_known, known)
}

/// The words of a scope that is about to be narrowed, each once. What they mean was checked when they were granted.
#[must_use]
pub fn normalize(requested: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in requested.split(' ').filter(|word| !word.is_empty()) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(" ")
}

/// The scope of a service that acts for itself: of its own scopes those that it asks for, or all of them. What tells of a
/// person has no place there.
pub fn of_service(requested: Option<&str>, service: &Service) -> Result<String, Error> {
    let own: Vec<&str> = service.registration.scopes.iter().map(|scope| scope.name.as_str()).collect();
    let Some(requested) = requested else { return Ok(own.join(" ")) };
    words(requested, |word| own.contains(&word), || own.join(", "))
}

/// Each word once, in the order of the request, all of them known.
fn words(
    requested: &str,
    is_known: impl Fn(&str) -> bool,
    known: impl Fn() -> String,
) -> Result<String, Error> {
    let mut words: Vec<&str> = Vec::new();
    for word in requested.split(' ').filter(|word| !word.is_empty()) {
        if !is_known(word) {
            let message = format!("The scope may hold: {}.", known());
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
        let known = |word: &str| word == "openid" || word == "email";
        let read = |text: &str| words(text, known, || "openid, email".to_owned());
        assert_eq!(read("openid  email openid").unwrap(), "openid email");
        assert_eq!(read("openid admin").unwrap_err().oauth_code(), "invalid_scope");
        assert_eq!(normalize(" a  b a"), "a b");
    }
}
