//! Billing: the platform's Stripe account.

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::stripe_effects::BillingRules;
use url::Url;

use super::number::number;
use super::problems::Wrong;
use super::reader::Reader;
use super::secret::Secret;
use super::{keys, network};

const API_BASE: &str = "https://api.stripe.com";
const DEFAULT_GRACE_DAYS: i64 = 7;
const DAY: Millis = 24 * 60 * 60 * 1000;

/// The platform's Stripe account, and what is decided about billing.
#[derive(Debug, Clone)]
pub struct BillingSettings {
    /// Calls Stripe. None: events are taken at their word, and nothing can be bought here.
    pub secret_key: Option<Secret<String>>,
    /// Any of these signs events; several while one is being replaced.
    pub webhook_secrets: Vec<Secret<String>>,
    /// Stripe's API, without a trailing slash.
    pub api_base: String,
    /// How long a subscription that is past due still grants.
    pub past_due_grace: Millis,
}

impl BillingSettings {
    /// What the actors have to know.
    #[must_use]
    pub fn rules(&self) -> BillingRules {
        let livemode = self.secret_key.as_ref().and_then(|key| livemode_of(key.expose()));
        BillingRules { past_due_grace: self.past_due_grace, livemode }
    }
}

/// Whether a key is one of live mode; none when it does not say.
#[must_use]
pub fn livemode_of(key: &str) -> Option<bool> {
    match key.split('_').nth(1) {
        Some("live") => Some(true),
        Some("test") => Some(false),
        _ => None,
    }
}

/// What is wrong with a secret key, if anything.
#[must_use]
pub fn key_problem(key: &str) -> Option<&'static str> {
    if !is_token(key) {
        return Some("is not a key of Stripe");
    }
    key.starts_with("pk_").then_some("is a publishable key")
}

/// What is wrong with a secret of a webhook, if anything.
#[must_use]
pub fn webhook_secret_problem(secret: &str) -> Option<&'static str> {
    // The secret is the key of an HMAC: what can be guessed signs anything.
    (!is_token(secret) || secret.len() < 16).then_some("is not the signing secret of a webhook")
}

fn is_token(text: &str) -> bool {
    (8..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

pub(super) fn read(reader: &mut Reader<'_>) -> BillingSettings {
    let secret_key = reader.secret(keys::STRIPE_SECRET_KEY).and_then(|key| {
        let problem = key_problem(key.expose());
        let fix = "set the secret key or a restricted key: sk_live_… or rk_live_…";
        reader.accept(keys::STRIPE_SECRET_KEY, problem.map_or(Ok(key), |what| Err(Wrong::new(what, fix))))
    });
    let text = reader.secret(keys::STRIPE_WEBHOOK_SECRET);
    let webhook_secrets = text.and_then(|text| reader.accept(keys::STRIPE_WEBHOOK_SECRET, secrets(&text)));
    let api_base = reader.parsed(keys::STRIPE_API_BASE, api_base);
    let grace_days = reader.parsed(keys::BILLING_PAST_DUE_GRACE_DAYS, |text| number(text, 0..=90, "days"));
    BillingSettings {
        secret_key,
        webhook_secrets: webhook_secrets.unwrap_or_default(),
        api_base: api_base.unwrap_or_else(|| API_BASE.to_owned()),
        past_due_grace: grace_days.unwrap_or(DEFAULT_GRACE_DAYS) * DAY,
    }
}

pub(super) fn secrets(text: &Secret<String>) -> Result<Vec<Secret<String>>, Wrong> {
    let items = text.expose().split(',').map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| match webhook_secret_problem(item) {
            None => Ok(Secret::new(item.to_owned())),
            Some(what) => {
                let fix = "set what Stripe shows for the endpoint, whsec_…; several are separated by commas";
                Err(Wrong::new(what, fix))
            }
        })
        .collect()
}

pub(super) fn api_base(text: &str) -> Result<String, Wrong> {
    let url: Url = network::safe_url(text)?;
    if url.query().is_some() {
        return Err(Wrong::new("has a query", "set an address such as https://api.stripe.com"));
    }
    Ok(network::without_trailing_slash(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_their_mode() {
        for (key, livemode) in
            [("sk_live_abc", Some(true)), ("rk_test_abc", Some(false)), ("sk_abc_live", None), ("live", None)]
        {
            assert_eq!(livemode_of(key), livemode, "{key}");
        }
        assert!(key_problem("pk_test_12345678").is_some() && key_problem("sk_test_12345678").is_none());
    }

    #[test]
    fn every_secret_of_the_list_is_read_and_none_may_be_weak() {
        let list = |text: &str| secrets(&Secret::new(text.to_owned())).map(|secrets| secrets.len());
        assert_eq!(list("whsec_0123456789abcdef, whsec_fedcba9876543210,").unwrap(), 2);
        assert!(list("whsec_0123456789abcdef,short").is_err());
    }
}
