//! What a webhook may look like.

use gatehouse_actors::data::events::EventType;
use gatehouse_actors::data::webhooks::{WebhookChanges, WebhookSettings};
use url::Url;

use crate::error::Error;
use crate::http::fields::Fields;

const LONGEST_URL: usize = 1024;
const LONGEST_DESCRIPTION: usize = 200;

/// A webhook to make, and where it leads.
#[derive(Debug)]
pub(super) struct NewWebhook {
    pub(super) settings: WebhookSettings,
    pub(super) url: Url,
}

pub(super) fn new_webhook(mut fields: Fields) -> Result<NewWebhook, Error> {
    if !fields.has("url") || fields.is_null("url") {
        fields.reject("url", "is missing");
    }
    let url = url(&mut fields);
    let settings = WebhookSettings {
        url: url.as_ref().map(ToString::to_string).unwrap_or_default(),
        description: fields.text("description", LONGEST_DESCRIPTION).unwrap_or_default(),
        event_types: event_types(&mut fields),
        enabled: fields.boolean("enabled").unwrap_or(true),
    };
    fields.finish()?;
    // Without a complaint there is one.
    let url = url.ok_or_else(|| Error::invalid("url", "url is missing."))?;
    Ok(NewWebhook { settings, url })
}

/// Partial; null clears. Also the new address, which is still to be looked at.
pub(super) fn webhook_changes(mut fields: Fields) -> Result<(WebhookChanges, Option<Url>), Error> {
    for needed in ["url", "enabled"] {
        if fields.is_null(needed) {
            fields.reject(needed, "cannot be cleared");
        }
    }
    let url = url(&mut fields);
    let description = fields.text("description", LONGEST_DESCRIPTION);
    let changes = WebhookChanges {
        url: url.as_ref().map(ToString::to_string),
        description: fields.has("description").then(|| description.unwrap_or_default()),
        event_types: fields.has("event_types").then(|| event_types(&mut fields)),
        enabled: fields.boolean("enabled"),
    };
    fields.finish()?;
    Ok((changes, url))
}

/// An address that events can be posted to. Whether it may be connected to is for the guard to say.
fn url(fields: &mut Fields) -> Option<Url> {
    let text = fields.text("url", LONGEST_URL)?;
    let url = Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "https" | "http")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    });
    if url.is_none() {
        fields.reject("url", "must be an https address without user name, password and fragment");
    }
    url
}

/// The types that are wanted, each once; none means all.
fn event_types(fields: &mut Fields) -> Option<Vec<String>> {
    let mut words = fields.texts("event_types")?;
    if words.is_empty() {
        fields.reject("event_types", "must name at least one type; leave it out, or null, for all");
    } else if words.iter().any(|word| EventType::parse(word).is_none()) {
        let known: Vec<&str> = EventType::ALL.iter().map(|one| one.as_str()).collect();
        fields.reject("event_types", &format!("may hold: {}", known.join(", ")));
    }
    words.sort();
    words.dedup();
    Some(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(json: &str) -> Result<NewWebhook, Error> {
        new_webhook(Fields::from_json(json.as_bytes()).unwrap())
    }

    #[test]
    fn an_address_and_nothing_else_is_enough() {
        let settings = made(r#"{"url":"https://app.example/hook?x=1"}"#).unwrap().settings;
        assert_eq!(settings.url, "https://app.example/hook?x=1");
        assert_eq!((settings.event_types, settings.enabled), (None, true));
    }

    #[test]
    fn addresses_that_nothing_can_be_posted_to_are_refused() {
        for url in [
            "ftp://app.example/",
            "https://user@app.example/",
            "https://user:pass@app.example/",
            "https://app.example/#x",
            "app.example",
            "mailto:a@app.example",
            "file:///etc/passwd",
            "https://",
        ] {
            assert_eq!(made(&format!(r#"{{"url":"{url}"}}"#)).unwrap_err().fields, ["url"], "{url}");
        }
        assert_eq!(made("{}").unwrap_err().fields, ["url"]);
        assert_eq!(made(r#"{"url":7}"#).unwrap_err().fields, ["url"]);
    }

    #[test]
    fn types_are_known_and_stand_once() {
        let url = r#""url":"https://app.example/""#;
        let json = format!(r#"{{{url},"event_types":["user.created","session.ended","user.created"]}}"#);
        let types = made(&json).unwrap().settings.event_types.unwrap();
        assert_eq!(types, ["session.ended", "user.created"]);
        for wrong in ["[]", r#"["user"]"#, r#""user.created""#, "[7]"] {
            let json = format!(r#"{{{url},"event_types":{wrong}}}"#);
            assert_eq!(made(&json).unwrap_err().fields, ["event_types"], "{wrong}");
        }
    }

    #[test]
    fn null_clears_what_can_be_cleared() {
        let changed = |json: &str| webhook_changes(Fields::from_json(json.as_bytes()).unwrap());
        let (changes, url) = changed(r#"{"event_types":null,"description":null}"#).unwrap();
        assert_eq!((changes.event_types, changes.description), (Some(None), Some(String::new())));
        assert_eq!((changes.url, changes.enabled, url), (None, None, None));
        assert!(changed(r#"{"url":null}"#).is_err());
        assert!(changed(r#"{"enabled":null}"#).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_no_panic(url in ".{0,60}", types in proptest::collection::vec(".{0,20}", 0..4)) {
            let body = serde_json::json!({ "url": url, "event_types": types });
            let _ = made(&body.to_string());
        }
    }
}
