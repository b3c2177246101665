//! Slugs: the names of organizations and services in URLs.

use gatehouse_actors::data::looks_like_public_id;

/// What is wrong with the shape of a slug, if anything. ASCII only: a look-alike of another's slug is no slug.
/// Nothing is folded, so that what was asked for is what is stored.
#[must_use]
pub fn problem(slug: &str) -> Option<&'static str> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(3..=40).contains(&slug.len()) || !slug.bytes().all(plain) {
        return Some("must be 3 to 40 characters of a-z, 0-9 and -");
    }
    if slug.starts_with('-') || slug.ends_with('-') || slug.contains("--") {
        return Some("must not begin or end with -, nor have two in a row");
    }
    // A path takes a slug or an id: a slug that looks like an id could never be reached.
    looks_like_public_id(slug).then_some("must not look like an id")
}
