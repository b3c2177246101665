//! What an organization may be called.

use crate::http::slug;

/// Slugs that would read as an address of this service or speak in its name.
const RESERVED: &[&str] = &[
    "about",
    "abuse",
    "account",
    "accounts",
    "activate",
    "admin",
    "administrator",
    "api",
    "app",
    "assets",
    "auth",
    "billing",
    "blog",
    "callback",
    "contact",
    "dashboard",
    "dev",
    "device",
    "docs",
    "email",
    "gatehouse",
    "health",
    "help",
    "hostmaster",
    "internal",
    "invitations",
    "legal",
    "login",
    "logout",
    "mail",
    "metrics",
    "oauth",
    "oidc",
    "openid",
    "organizations",
    "platform",
    "postmaster",
    "privacy",
    "public",
    "register",
    "root",
    "secure",
    "security",
    "service",
    "services",
    "settings",
    "signin",
    "signup",
    "static",
    "status",
    "support",
    "system",
    "terms",
    "test",
    "token",
    "user",
    "users",
    "webhooks",
    "webmaster",
    "well-known",
    "www",
];

/// What is wrong with a slug, if anything.
pub(super) fn slug_problem(text: &str) -> Option<&'static str> {
    slug::problem(text).or_else(|| RESERVED.contains(&text).then_some("is reserved"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_slugs() {
        for slug in ["acme", "a-1", "abc", "123", &"a".repeat(40)] {
            assert_eq!(slug_problem(slug), None, "{slug}");
        }
    }

    #[test]
    fn bad_slugs() {
        for slug in [
            "",
            "ab",
            "Acme",
            "-acme",
            "acme-",
            "ac--me",
            "ac me",
            "ac_me",
            "ac.me",
            ".well-known",
            "аcme",
            "ａcme",
            "acme\u{200b}",
            "admin",
            "platform",
            "api",
            "www",
            "01900000-0000-7000-8000-000000000001",
            "acmé",
            &"a".repeat(41),
        ] {
            assert!(slug_problem(slug).is_some(), "{slug:?}");
        }
    }

    proptest! {
        #[test]
        fn a_good_slug_needs_no_escaping_anywhere(slug in "\\PC{0,48}") {
            if slug_problem(&slug).is_none() {
                prop_assert!(slug.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')));
                let address = format!("https://{slug}.example.test/");
                prop_assert!(url::Url::parse(&address).is_ok());
            }
        }
    }
}
