//! Fuzz targets of what only this folder sees: see `crate::fuzzing`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a property that does not hold must fail")]

use url::Url;

use super::rules::{new_webhook, webhook_changes};
use crate::http::fields::Fields;

/// The body that makes or changes a webhook.
pub(crate) fn webhook(data: &[u8]) {
    let fields = || Fields::from_json(data);
    if let Ok(Ok((changes, url))) = fields().map(webhook_changes) {
        assert_eq!(changes.url, url.map(String::from));
    }
    let Ok(Ok(made)) = fields().map(new_webhook) else { return };
    assert!(matches!(made.url.scheme(), "https" | "http"));
    assert!(made.url.username().is_empty() && made.url.password().is_none() && made.url.fragment().is_none());
    // What was looked at is what is stored and called.
    assert_eq!(Url::parse(&made.settings.url).as_ref(), Ok(&made.url));
    let types = made.settings.event_types.unwrap_or_default();
    assert!(types.is_sorted() && types.len() <= 50);
}
