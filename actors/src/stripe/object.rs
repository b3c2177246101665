//! Objects of Stripe's API as far as they matter here. A member that is missing, null, new or of an unexpected type
//! never makes an object unreadable: API versions differ, and an event must not be lost because of one.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::clock::Millis;

/// Reads what fits and takes anything else for missing.
pub(super) fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}

/// A reference that may be expanded: an id, or the object with its id.
fn reference<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let id = match Value::deserialize(deserializer)? {
        Value::String(id) => Some(id),
        Value::Object(members) => members.get("id").and_then(Value::as_str).map(ToOwned::to_owned),
        _ => None,
    };
    // The empty text names nothing: as a customer it would have strangers wait for one another.
    Ok(id.filter(|id| !id.is_empty()))
}

/// Metadata: text values only. A number or an object where an id should be is as good as nothing.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let Value::Object(members) = Value::deserialize(deserializer)? else { return Ok(BTreeMap::new()) };
    let text = |value| if let Value::String(text) = value { Some(text) } else { None };
    Ok(members.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect())
}

/// Stripe counts in seconds.
fn millis(seconds: Option<i64>) -> Option<Millis> {
    seconds.map(|seconds| seconds.saturating_mul(1000))
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Price {
    #[serde(default, deserialize_with = "lenient")]
    id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct ListedItem {
    #[serde(default, deserialize_with = "lenient")]
    price: Option<Price>,
    // Before 2018 prices were plans; subscriptions from then still show both.
    #[serde(default, deserialize_with = "lenient")]
    plan: Option<Price>,
    #[serde(default, deserialize_with = "lenient")]
    quantity: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    current_period_end: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct List {
    #[serde(default, deserialize_with = "lenient")]
    data: Option<Vec<ListedItem>>,
}

/// What is bought: a price, so many times, until when.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Id of the price.
    pub price: String,
    /// Seats.
    pub quantity: i64,
    /// End of its period, where the API version tells it per item.
    pub period_end: Option<Millis>,
}

/// A subscription.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Subscription {
    /// `sub_…`.
    #[serde(default)]
    pub id: String,
    /// Who pays.
    #[serde(default, deserialize_with = "reference")]
    pub customer: Option<String>,
    /// `active`, `past_due`, …
    #[serde(default, deserialize_with = "lenient")]
    pub status: Option<String>,
    /// What its maker wrote on it.
    #[serde(default, deserialize_with = "texts")]
    pub metadata: BTreeMap<String, String>,
    /// Of a live or of a test account.
    #[serde(default, deserialize_with = "lenient")]
    pub livemode: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    items: Option<List>,
    #[serde(default, deserialize_with = "lenient")]
    plan: Option<Price>,
    #[serde(default, deserialize_with = "lenient")]
    quantity: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    current_period_end: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    cancel_at: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    cancel_at_period_end: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    created: Option<i64>,
}

impl Subscription {
    /// What is bought, in one order whatever order Stripe lists it in.
    #[must_use]
    pub fn items(&self) -> Vec<Item> {
        let listed = self.items.clone().and_then(|list| list.data).unwrap_or_default();
        let mut items: Vec<Item> = listed
            .into_iter()
            .filter_map(|item| {
                let price = item.price.and_then(|price| price.id).or(item.plan.and_then(|plan| plan.id))?;
                let period_end = millis(item.current_period_end);
                Some(Item { price, quantity: item.quantity.unwrap_or(1), period_end })
            })
            .collect();
        if let (true, Some(price)) = (items.is_empty(), self.plan.clone().and_then(|plan| plan.id)) {
            items.push(Item { price, quantity: self.quantity.unwrap_or(1), period_end: None });
        }
        items.sort();
        items
    }

    /// The end of the paid period: on the subscription until 2025, on its items since.
    #[must_use]
    pub fn period_end(&self) -> Option<Millis> {
        let of_items = || self.items().into_iter().filter_map(|item| item.period_end).max();
        millis(self.current_period_end).or_else(of_items)
    }

    /// When it is going to end, if somebody cancelled it.
    #[must_use]
    pub fn cancels_at(&self) -> Option<Millis> {
        let at_period_end = self.cancel_at_period_end == Some(true);
        millis(self.cancel_at).or_else(|| at_period_end.then(|| self.period_end()).flatten())
    }

    /// When it was made.
    #[must_use]
    pub fn created_at(&self) -> Millis {
        millis(self.created).unwrap_or_default()
    }
}

/// A checkout session.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct CheckoutSession {
    /// `cs_…`.
    #[serde(default)]
    pub id: String,
    /// Who pays.
    #[serde(default, deserialize_with = "reference")]
    pub customer: Option<String>,
    /// What came of it, when it sold a subscription.
    #[serde(default, deserialize_with = "reference")]
    pub subscription: Option<String>,
    /// What its maker wrote on it.
    #[serde(default, deserialize_with = "texts")]
    pub metadata: BTreeMap<String, String>,
    /// Where the buyer pays, while it is open.
    #[serde(default, deserialize_with = "lenient")]
    pub url: Option<String>,
    /// `open`, `complete` or `expired`.
    #[serde(default, deserialize_with = "lenient")]
    pub status: Option<String>,
    /// In seconds since the Unix epoch.
    #[serde(default, deserialize_with = "lenient")]
    pub expires_at: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct SubscriptionDetails {
    #[serde(default, deserialize_with = "reference")]
    subscription: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Parent {
    #[serde(default, deserialize_with = "lenient")]
    subscription_details: Option<SubscriptionDetails>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Period {
    #[serde(default, deserialize_with = "lenient")]
    end: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Line {
    #[serde(default, deserialize_with = "lenient")]
    period: Option<Period>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Lines {
    #[serde(default, deserialize_with = "lenient")]
    data: Option<Vec<Line>>,
}

/// An invoice.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Invoice {
    /// Who pays.
    #[serde(default, deserialize_with = "reference")]
    pub customer: Option<String>,
    #[serde(default, deserialize_with = "reference")]
    subscription: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    parent: Option<Parent>,
    #[serde(default, deserialize_with = "lenient")]
    lines: Option<Lines>,
}

impl Invoice {
    /// The subscription that it is for: a member of its own until 2025, of its parent since.
    #[must_use]
    pub fn subscription(&self) -> Option<String> {
        let details = || self.parent.clone()?.subscription_details?.subscription;
        self.subscription.clone().or_else(details)
    }

    /// The end of the latest period that it charges.
    #[must_use]
    pub fn period_end(&self) -> Option<Millis> {
        let lines = self.lines.clone().and_then(|lines| lines.data).unwrap_or_default();
        millis(lines.into_iter().filter_map(|line| line.period.and_then(|period| period.end)).max())
    }
}
