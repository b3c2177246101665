//! What an organization may be called.

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

/// What is wrong with a slug, if anything. ASCII only: a look-alike of another's slug is no slug.
pub(super) fn slug_problem(slug: &str) -> Option<&'static str> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(3..=40).contains(&slug.len()) || !slug.bytes().all(plain) {
        return Some("must be 3 to 40 characters of a-z, 0-9 and -");
    }
    if slug.starts_with('-') || slug.ends_with('-') || slug.contains("--") {
        return Some("must not begin or end with -, nor have two in a row");
    }
    if RESERVED.contains(&slug) {
        return Some("is reserved");
    }
    // Where a path names an organization, both its slug and its id are understood.
    if slug.len() == 36 && slug.matches('-').count() == 4 {
        return Some("must not look like an id");
    }
    None
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
