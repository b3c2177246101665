//! The person, as far as a provider tells. Text that others show later is cleaned here, once.

use url::Url;

/// The longest address that SMTP can carry (RFC 5321 section 4.5.3.1.3).
const MAX_EMAIL_BYTES: usize = 254;
const MAX_NAME_CHARS: usize = 200;
const MAX_URL_BYTES: usize = 2048;

/// The address, when it can be one. Nothing is repaired: an address that needs repair is somebody else's.
pub(super) fn usable_email(text: Option<String>) -> Option<String> {
    text.filter(|email| {
        let has_both_parts = email
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
        has_both_parts && email.len() <= MAX_EMAIL_BYTES && !email.chars().any(is_unprintable_or_space)
    })
}

/// The display name, without characters that do not print, cut to a length that fits a page.
pub(super) fn usable_name(text: Option<String>) -> Option<String> {
    let printable: String = text?.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
    let name = printable.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// The picture's address, when a page may load it: http(s) only, so no `javascript:` and no `data:`.
pub(super) fn usable_picture(text: Option<String>) -> Option<String> {
    text.filter(|link| {
        let is_web = Url::parse(link).is_ok_and(|url| matches!(url.scheme(), "https" | "http"));
        is_web && link.len() <= MAX_URL_BYTES && !link.chars().any(is_unprintable_or_space)
    })
}

fn is_unprintable_or_space(c: char) -> bool {
    c.is_control() || c.is_whitespace()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn email(text: &str) -> Option<String> {
        usable_email(Some(text.to_owned()))
    }

    #[test]
    fn addresses_are_taken_as_they_are_or_not_at_all() {
        assert_eq!(email("Ada@example.test").as_deref(), Some("Ada@example.test"));
        for text in ["", "ada", "@example.test", "ada@", "a@b@c", " ada@example.test", "ada@example.test\0"] {
            assert_eq!(email(text), None, "{text:?}");
        }
        assert_eq!(email(&format!("{}@example.test", "a".repeat(250))), None);
    }

    #[test]
    fn pictures_are_web_addresses() {
        let picture = |text: &str| usable_picture(Some(text.to_owned()));
        assert!(picture("https://avatars.example.test/u/1?v=4").is_some());
        for text in ["javascript:alert(1)", "data:image/png;base64,AA", "/relative", "https://a b/", ""] {
            assert_eq!(picture(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn names_print_and_fit(text in ".*") {
            if let Some(name) = usable_name(Some(text)) {
                prop_assert!(!name.is_empty() && name.chars().count() <= MAX_NAME_CHARS);
                prop_assert!(!name.chars().any(char::is_control));
            }
        }
    }
}
