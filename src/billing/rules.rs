//! What a purchase may name.

use url::Url;

use crate::config::billing::{key_problem, webhook_secret_problem};
use crate::config::is_loopback;
use crate::config::secret::Secret;
use crate::error::Error;
use crate::http::fields::Fields;

const LONGEST_URL: usize = 1024;
const MOST_SEATS: i64 = 10_000;
const ORIGIN_RULE: &str = "must be an address on an origin that the service has registered for redirects";

/// What somebody wants to buy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) wanted: String,
    pub(super) quantity: u64,
    pub(super) success_url: String,
    pub(super) cancel_url: String,
}

pub(super) fn wish(
    mut fields: Fields,
    wanted: &'static str,
    registered: &[String],
    own: &str,
) -> Result<Wish, Error> {
    let wish = Wish {
        wanted: fields.required_text(wanted, 64),
        quantity: fields.integer("quantity", 1..=MOST_SEATS).map_or(1, i64::unsigned_abs),
        success_url: address(&mut fields, "success_url", registered, own),
        cancel_url: address(&mut fields, "cancel_url", registered, own),
    };
    fields.finish()?;
    Ok(wish)
}

pub(super) fn return_url(mut fields: Fields, registered: &[String], own: &str) -> Result<String, Error> {
    let url = address(&mut fields, "return_url", registered, own);
    fields.finish()?;
    Ok(url)
}

fn address(fields: &mut Fields, name: &'static str, registered: &[String], own: &str) -> String {
    let url = fields.required_text(name, LONGEST_URL);
    if !url.is_empty() && !is_on_registered_origin(&url, registered, own) {
        fields.reject(name, ORIGIN_RULE);
    }
    url
}

/// A page of the app, or of this service itself. On a loopback host any port will do (RFC 8252, section 7.3).
fn is_on_registered_origin(url: &str, registered: &[String], own: &str) -> bool {
    let Some(url) = web_address(url) else { return false };
    let known = registered.iter().map(String::as_str).chain([own]).filter_map(web_address);
    known.into_iter().any(|known| {
        let same_host = known.scheme() == url.scheme() && known.host() == url.host();
        same_host && (known.port_or_known_default() == url.port_or_known_default() || is_loopback(&url))
    })
}

/// A URL as browsers read it, when nothing in it could be read otherwise.
fn web_address(text: &str) -> Option<Url> {
    let plain = text.bytes().all(|byte| (0x21..0x7f).contains(&byte)) && !text.contains('\\');
    let url = Url::parse(text).ok().filter(|_| plain)?;
    let clean = url.username().is_empty() && url.password().is_none() && url.host_str().is_some();
    (clean && matches!(url.scheme(), "https" | "http")).then_some(url)
}

/// An organization's own Stripe account as it was sent.
pub(super) struct NewAccount {
    pub(super) secret_key: Secret<String>,
    /// Separated by commas.
    pub(super) webhook_secrets: Secret<String>,
}

pub(super) fn account(mut fields: Fields) -> Result<NewAccount, Error> {
    let secret_key = fields.required_text("secret_key", 255);
    if let Some(problem) = Some(&secret_key).filter(|key| !key.is_empty()).and_then(|key| key_problem(key)) {
        fields.reject("secret_key", problem);
    }
    let secrets = Secret::new(fields.required_text("webhook_secret", 1000));
    let secrets = secrets.expose();
    let items: Vec<&str> = secrets.split(',').map(str::trim).collect();
    if !secrets.is_empty() && items.iter().any(|item| webhook_secret_problem(item).is_some()) {
        fields.reject(
            "webhook_secret",
            "is not the signing secret of a webhook (several are separated by commas)",
        );
    }
    let webhook_secrets = Secret::new(items.join(","));
    fields.finish()?;
    Ok(NewAccount { secret_key: Secret::new(secret_key), webhook_secrets })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_a_registered_origin() {
        let known =
            ["https://app.test/cb", "http://127.0.0.1/cb", "com.example.app:/cb"].map(ToOwned::to_owned);
        for url in [
            "https://app.test/paid?x=1",
            "https://app.test:443/",
            "http://127.0.0.1:5000/x",
            "https://id.test/done",
        ] {
            assert!(is_on_registered_origin(url, &known, "https://id.test"), "{url}");
        }
        for url in [
            "https://app.test.evil.test/",
            "https://evil.test/?https://app.test",
            "http://app.test/",
            "https://app.test:444/",
            "https://app.test@evil.test/",
            "https://app.test\\@evil.test/",
            "com.example.app:/cb",
            "javascript:alert(1)",
            "//app.test/",
            "http://127.0.0.2/",
            "https://127.0.0.1/cb",
            "",
        ] {
            assert!(!is_on_registered_origin(url, &known, "https://id.test"), "{url}");
        }
    }
}
