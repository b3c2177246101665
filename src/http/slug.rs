//! Slugs: the names of organizations and services in URLs.

use gatehouse_actors::data::looks_like_public_id;

/// Names that mean something to people or to this service, and so belong to nobody.
const RESERVED: &[&str] = &[
    "about",
    "account",
    "activate",
    "admin",
    "administrator",
    "api",
    "assets",
    "auth",
    "billing",
    "blog",
    "callback",
    "cdn",
    "console",
    "dashboard",
    "dev",
    "docs",
    "gatehouse",
    "health",
    "help",
    "invitations",
    "localhost",
    "login",
    "logout",
    "mail",
    "metrics",
    "oauth",
    "openapi",
    "platform",
    "root",
    "security",
    "static",
    "status",
    "support",
    "system",
    "webhooks",
    "well-known",
    "www",
];

/// What a slug must be, as the end of a sentence.
pub const RULE: &str = "must be 3 to 40 of a-z, 0-9 and single dashes, begin and end with a letter or digit, \
                        and be no reserved name";

/// Whether a text is a slug. ASCII only, so that no two slugs look alike by the shape of foreign letters; nothing is
/// folded, so that what was asked for is what is stored.
#[must_use]
pub fn is_slug(text: &str) -> bool {
    is_slug_shaped(text) && !RESERVED.contains(&text)
}

/// The same without the reserved names: inside an organization a name collides with nothing of ours.
#[must_use]
pub fn is_slug_shaped(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    // A path takes a slug or an id: a slug that looks like an id could never be reached.
    (3..=40).contains(&text.len()) && text.split('-').all(word) && !looks_like_public_id(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_but_plain_names_passes() {
        for slug in ["abc", "a-b", "acme-corp", "42nd-street", "a".repeat(40).as_str()] {
            assert!(is_slug(slug), "{slug}");
        }
        for slug in [
            "",
            "ab",
            "Acme",
            "a--b",
            "-ab",
            "ab-",
            "a_b",
            "a b",
            "a.b",
            "acme\0",
            "\u{430}cme",
            "ac\u{200b}me",
            "\u{ff41}cme",
            ".well-known",
            "platform",
            "admin",
            "api",
            "www",
            "01900000-0000-7000-8000-000000000001",
            "a".repeat(41).as_str(),
        ] {
            assert!(!is_slug(slug), "{slug:?}");
        }
    }

    #[test]
    fn reserved_names_are_in_order_and_shaped_like_slugs() {
        assert!(RESERVED.is_sorted());
        assert!(RESERVED.iter().all(|name| is_slug_shaped(name)));
    }

    proptest! {
        #[test]
        fn a_slug_needs_no_escaping_anywhere(text in ".{0,45}") {
            if is_slug(&text) {
                let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
                prop_assert_eq!(encoded, text);
            }
        }
    }
}
