//! What a service and a plan may look like.

use gatehouse_actors::data::plans::{PlanChanges, Price};
use gatehouse_actors::data::service_admin::{ServiceChanges, ServiceSettings};
use gatehouse_actors::money::MAX_AMOUNT;

use super::registration;
use crate::error::Error;
use crate::http::fields::Fields;
use crate::http::input::Params;
use crate::http::redirect::is_acceptable;
use crate::http::slug;

const SERVICE_TYPES: [&str; 4] = ["web", "mobile", "desktop", "api"];
const SERVICE_TYPE_RULE: &str = "must be web, mobile, desktop or api";
const LONGEST_NAME: usize = 100;
const LONGEST_URI: usize = 1024;
const LONGEST_SCOPE: usize = 200;
const LONGEST_FEATURE: usize = 100;

/// A service to make.
#[derive(Debug)]
pub(super) struct NewService {
    pub(super) slug: String,
    pub(super) settings: ServiceSettings,
}

pub(super) fn new_service(mut fields: Fields, base_url: &str) -> Result<NewService, Error> {
    let slug = fields.required_text("slug", 100);
    // Nothing is reserved: inside an organization a name speaks for nobody else.
    if !slug.is_empty()
        && let Some(problem) = slug::problem(&slug)
    {
        fields.reject("slug", problem);
    }
    let name = fields.required_text("name", LONGEST_NAME);
    let service_type = fields.required_text("service_type", 20);
    if !service_type.is_empty() && !SERVICE_TYPES.contains(&service_type.as_str()) {
        fields.reject("service_type", SERVICE_TYPE_RULE);
    }
    let settings = ServiceSettings {
        name,
        service_type,
        redirect_uris: uris(&mut fields, "redirect_uris").unwrap_or_default(),
        post_logout_redirect_uris: uris(&mut fields, "post_logout_redirect_uris").unwrap_or_default(),
        github_scopes: scopes(&mut fields, "github_scopes").unwrap_or_default(),
        google_scopes: scopes(&mut fields, "google_scopes").unwrap_or_default(),
        microsoft_scopes: scopes(&mut fields, "microsoft_scopes").unwrap_or_default(),
        device_activation_uri: activation_uri(&mut fields),
        registration: registration::new(&mut fields, base_url),
    };
    fields.finish()?;
    Ok(NewService { slug, settings })
}

/// Partial; null clears. What other software relies on does not change: a new name is a new service.
pub(super) fn service_changes(mut fields: Fields, base_url: &str) -> Result<ServiceChanges, Error> {
    for fixed in ["slug", "client_id", "org_id"] {
        if fields.has(fixed) {
            fields.reject(fixed, "cannot be changed");
        }
    }
    for needed in ["name", "service_type"] {
        if fields.is_null(needed) {
            fields.reject(needed, "cannot be cleared");
        }
    }
    let service_type = fields.text("service_type", 20);
    if service_type.as_ref().is_some_and(|word| !SERVICE_TYPES.contains(&word.as_str())) {
        fields.reject("service_type", SERVICE_TYPE_RULE);
    }
    let changes = ServiceChanges {
        name: fields.text("name", LONGEST_NAME),
        service_type,
        redirect_uris: cleared(&fields, "redirect_uris").or_else(|| uris(&mut fields, "redirect_uris")),
        post_logout_redirect_uris: cleared(&fields, "post_logout_redirect_uris")
            .or_else(|| uris(&mut fields, "post_logout_redirect_uris")),
        github_scopes: cleared(&fields, "github_scopes").or_else(|| scopes(&mut fields, "github_scopes")),
        google_scopes: cleared(&fields, "google_scopes").or_else(|| scopes(&mut fields, "google_scopes")),
        microsoft_scopes: cleared(&fields, "microsoft_scopes")
            .or_else(|| scopes(&mut fields, "microsoft_scopes")),
        device_activation_uri: fields.has("device_activation_uri").then(|| activation_uri(&mut fields)),
        registration: registration::changes(&mut fields, base_url),
    };
    fields.finish()?;
    Ok(changes)
}

/// The filter of a list.
pub(super) fn service_type_filter(params: &Params) -> Result<Option<String>, Error> {
    match params.get("service_type") {
        None => Ok(None),
        Some(word) if SERVICE_TYPES.contains(&word) => Ok(Some(word.to_owned())),
        Some(_) => Err(Error::invalid("service_type", format!("service_type {SERVICE_TYPE_RULE}."))),
    }
}

pub(super) fn new_plan(mut fields: Fields) -> Result<PlanChanges, Error> {
    if !fields.has("name") {
        fields.reject("name", "is missing");
    }
    plan_changes(fields)
}

/// Partial; null clears.
pub(super) fn plan_changes(mut fields: Fields) -> Result<PlanChanges, Error> {
    for needed in ["name", "price_cents", "price_monthly", "currency", "is_default"] {
        if fields.is_null(needed) {
            fields.reject(needed, "cannot be cleared");
        }
    }
    let price_id = fields.text("stripe_price_id", 255);
    if price_id.as_ref().is_some_and(|id| !id.bytes().all(|byte| byte.is_ascii_graphic())) {
        fields.reject("stripe_price_id", "must be the id of a price at Stripe");
    }
    let changes = PlanChanges {
        name: fields.text("name", LONGEST_NAME),
        price: price(&mut fields),
        currency: currency(&mut fields),
        features: cleared(&fields, "features").or_else(|| features(&mut fields)),
        stripe_price_id: fields.has("stripe_price_id").then_some(price_id),
        description: fields.has("description").then(|| fields.text("description", 1000)),
        is_default: fields.boolean("is_default"),
    };
    fields.finish()?;
    Ok(changes)
}

/// `price_cents` or `price_monthly`. What they mean in the currency is checked where the currency is known.
fn price(fields: &mut Fields) -> Option<Price> {
    let minor = fields.integer("price_cents", 0..=MAX_AMOUNT);
    let decimal = fields.number_text("price_monthly");
    match (minor, decimal) {
        (Some(_), Some(_)) => {
            fields.reject("price_monthly", "must not be sent together with price_cents");
            None
        }
        (Some(minor), None) => Some(Price::Minor(minor)),
        (None, decimal) => decimal.map(Price::Decimal),
    }
}

fn currency(fields: &mut Fields) -> Option<String> {
    let code = fields.text("currency", 10)?;
    if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Some(code.to_ascii_uppercase());
    }
    fields.reject("currency", "must be a currency of ISO 4217, three letters");
    None
}

/// An empty list for a member that is there and null.
fn cleared(fields: &Fields, name: &str) -> Option<Vec<String>> {
    fields.is_null(name).then(Vec::new)
}

fn features(fields: &mut Fields) -> Option<Vec<String>> {
    list(fields, "features", |feature| feature.chars().count() <= LONGEST_FEATURE)
}

fn uris(fields: &mut Fields, name: &'static str) -> Option<Vec<String>> {
    list(fields, name, is_acceptable)
}

fn scopes(fields: &mut Fields, name: &'static str) -> Option<Vec<String>> {
    list(fields, name, is_scope)
}

/// RFC 6749, section 3.3: scope-token.
pub(super) fn is_scope(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    (1..=LONGEST_SCOPE).contains(&text.len()) && text.bytes().all(allowed)
}

/// A list, each item once, with every bad one named.
fn list(fields: &mut Fields, name: &'static str, is_good: fn(&str) -> bool) -> Option<Vec<String>> {
    let items = fields.texts(name)?;
    let shown = |item: &String| format!("\"{}\"", item.chars().take(100).collect::<String>());
    let bad: Vec<String> = items.iter().filter(|item| !is_good(item)).map(shown).collect();
    if !bad.is_empty() {
        fields.reject(name, &format!("holds what is not acceptable: {}", bad.join(", ")));
    }
    let mut once: Vec<String> = Vec::with_capacity(items.len());
    for item in items {
        if !once.contains(&item) {
            once.push(item);
        }
    }
    Some(once)
}

fn activation_uri(fields: &mut Fields) -> Option<String> {
    let uri = fields.text("device_activation_uri", LONGEST_URI)?;
    if is_web_address(&uri) {
        return Some(uri);
    }
    fields.reject("device_activation_uri", "must be an https address, or http on loopback");
    None
}

/// An address on the web: the rules of redirect URIs without private-use schemes.
pub(super) fn is_web_address(uri: &str) -> bool {
    is_acceptable(uri) && (uri.starts_with("https://") || uri.starts_with("http://"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::from_json(json.as_bytes()).unwrap()
    }

    const BASE: &str = "https://id.test";
    const MINIMUM: &str = r#"{"slug":"app","name":"App","service_type":"web"}"#;

    fn with(members: &str) -> String {
        format!(r#"{{"slug":"app","name":"App","service_type":"web",{members}}}"#)
    }

    #[test]
    fn a_service_needs_no_more_than_its_names() {
        let new = new_service(fields(MINIMUM), BASE).unwrap();
        assert_eq!((new.slug.as_str(), new.settings.name.as_str()), ("app", "App"));
        assert!(new.settings.redirect_uris.is_empty());
        let error = new_service(fields("{}"), BASE).unwrap_err();
        assert_eq!(error.fields, ["slug", "name", "service_type"]);
    }

    #[test]
    fn every_bad_member_is_named_and_every_bad_uri() {
        let body = with(
            r#""redirect_uris":["https://a.test/cb","http://b.test/","javascript:alert(1)"],
               "github_scopes":["repo user"],"device_activation_uri":"http://c.test/""#,
        );
        let error = new_service(fields(&body), BASE).unwrap_err();
        assert_eq!(error.fields, ["redirect_uris", "github_scopes", "device_activation_uri"]);
        for named in ["http://b.test/", "javascript:alert(1)", "repo user"] {
            assert!(error.message.contains(named), "{named}: {}", error.message);
        }
        assert!(!error.message.contains("https://a.test/cb"));
    }

    #[test]
    fn activation_pages_are_web_pages() {
        for (uri, valid) in [
            ("https://app.test/activate", true),
            ("http://127.0.0.1:8080/activate", true),
            ("http://localhost/activate", true),
            ("http://app.test/activate", false),
            ("com.example.app:/activate", false),
            ("https://app.test/activate#x", false),
            ("https://user@app.test/", false),
            ("//app.test/", false),
        ] {
            assert_eq!(is_web_address(uri), valid, "{uri}");
        }
    }

    #[test]
    fn a_change_tells_missing_from_null() {
        let changes =
            service_changes(fields(r#"{"redirect_uris":null,"device_activation_uri":null}"#), BASE).unwrap();
        assert_eq!((changes.redirect_uris, changes.device_activation_uri), (Some(Vec::new()), Some(None)));
        assert_eq!((changes.name, changes.github_scopes), (None, None));
        let error = service_changes(fields(r#"{"name":null,"slug":"x-y-z"}"#), BASE).unwrap_err();
        assert_eq!(error.fields, ["slug", "name"]);
    }

    #[test]
    fn a_price_is_given_in_one_way() {
        let price = |json: &str| new_plan(fields(json)).map(|plan| plan.price);
        assert_eq!(price(r#"{"name":"pro","price_cents":1999}"#).unwrap(), Some(Price::Minor(1999)));
        let decimal = Some(Price::Decimal("19.99".to_owned()));
        assert_eq!(price(r#"{"name":"pro","price_monthly":19.99}"#).unwrap(), decimal);
        assert_eq!(price(r#"{"name":"pro"}"#).unwrap(), None);
        for wrong in [
            r#"{"name":"pro","price_cents":1999,"price_monthly":19.99}"#,
            r#"{"name":"pro","price_cents":-1}"#,
            r#"{"name":"pro","price_cents":1.5}"#,
            r#"{"name":"pro","price_monthly":"19.99"}"#,
            r#"{"name":"pro","price_monthly":null}"#,
            r#"{"name":"pro","currency":"dollars"}"#,
            r#"{"price_cents":1}"#,
            r#"{"name":null}"#,
        ] {
            assert!(price(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_good_and_once(uris in proptest::collection::vec("(https://a.test/[a-c]{0,2}|[a-z:/.]{1,12})", 0..8)) {
            let body = with(&format!(r#""redirect_uris":{}"#, serde_json::Value::from(uris.clone())));
            match new_service(fields(&body), BASE) {
                Ok(new) => {
                    let kept = new.settings.redirect_uris;
                    prop_assert!(uris.iter().all(|uri| is_acceptable(uri) && kept.contains(uri)));
                    prop_assert!(kept.iter().enumerate().all(|(at, uri)| !kept[..at].contains(uri)));
                }
                Err(error) => {
                    prop_assert_eq!(&error.fields, &["redirect_uris"]);
                    prop_assert!(uris.iter().any(|uri| !is_acceptable(uri)));
                }
            }
        }

        #[test]
        fn a_scope_is_one_word(text in ".{0,30}") {
            prop_assert_eq!(is_scope(&text) && text.contains([' ', '"', '\\']), false);
        }
    }
}
