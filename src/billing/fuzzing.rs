//! Fuzz targets of what only this folder sees: see `crate::fuzzing`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a property that does not hold must fail")]

use url::Url;

use super::rules::{account, return_url, wish};
use super::signature::{Mistrust, sign, verify};
use crate::config::secret::Secret;
use crate::fuzzing::{changed, text};
use crate::http::fields::Fields;

const NOW: i64 = 1_800_000_000_000;

/// A signature header and a body, between them a line's end; and the body as changes to one that is signed.
pub(crate) fn stripe_signature(data: &[u8]) {
    let secrets = ["one", "two"].map(|secret| Secret::new(format!("whsec_{secret}")));
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (header, body) = data.split_at(end);
    if let Some(header) = text(header) {
        let unknown = [Secret::new("whsec_three".to_owned())];
        let refused = verify(Some(header), body, &unknown, NOW).unwrap_err();
        assert_ne!(refused, Mistrust::Stale, "a stranger signed it");
    }
    let genuine = sign(&secrets[1], body, NOW);
    assert_eq!(verify(Some(&genuine), body, &secrets, NOW), Ok(()));
    assert_eq!(verify(Some(&genuine), body, &secrets[..1], NOW), Err(Mistrust::Wrong));
    assert_eq!(verify(Some(&genuine), body, &secrets, NOW + 301_000), Err(Mistrust::Stale));
    let forged = changed(body, header);
    assert_eq!(verify(Some(&genuine), &forged, &secrets, NOW).is_ok(), forged == body);
    // The time is signed as well, and signatures are hexadecimal in either case.
    let other = changed(genuine.as_bytes(), body);
    if let Some(other) = text(&other)
        && verify(Some(other), body, &secrets, NOW).is_ok()
    {
        let (time, signature) = genuine.split_once(',').unwrap();
        assert!(other.contains(time) && other.to_lowercase().contains(signature));
    }
}

/// The body that begins a purchase.
pub(crate) fn checkout(data: &[u8]) {
    let registered = ["https://app.test/cb", "http://127.0.0.1/cb", "test.a.app:/cb"].map(ToOwned::to_owned);
    let fields = || Fields::from_json(data);
    let known = |url: &str| {
        let url = Url::parse(url).unwrap();
        let origin = url.origin().ascii_serialization();
        assert!(url.username().is_empty() && url.password().is_none());
        assert!(
            origin == "https://app.test"
                || origin == "https://id.test"
                || origin.starts_with("http://127.0.0.1"),
            "{origin} is nobody's"
        );
    };
    if let Ok(Ok(url)) = fields().map(|fields| return_url(fields, &registered, "https://id.test")) {
        known(&url);
    }
    if let Ok(Ok(wish)) = fields().map(|fields| wish(fields, "plan_id", &registered, "https://id.test")) {
        known(&wish.success_url);
        known(&wish.cancel_url);
        assert!((1..=10_000).contains(&wish.quantity) && !wish.wanted.is_empty());
    }
    if let Ok(Ok(account)) = fields().map(account) {
        // Both travel in a header.
        assert!(account.secret_key.expose().bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(account.webhook_secrets.expose().is_ascii());
    }
}
