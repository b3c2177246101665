//! Events as Stripe's webhooks deliver them.

use serde::Deserialize;
use serde_json::Value;

use super::object::{CheckoutSession, Invoice, Subscription, lenient};
use crate::clock::Millis;

/// The longest id and type that are looked at. Stripe's are far shorter.
const LONGEST_NAME: usize = 255;

#[derive(Debug, Deserialize)]
struct Data {
    #[serde(default)]
    object: Value,
}

#[derive(Debug, Deserialize)]
struct Body {
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    #[serde(default, deserialize_with = "lenient")]
    created: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    livemode: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    account: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    data: Option<Data>,
}

/// An event.
#[derive(Debug, Clone)]
pub struct Event {
    /// `evt_…`, unique in its account.
    pub id: String,
    /// Such as `customer.subscription.updated`.
    pub event_type: String,
    /// When it happened; none when the body does not say.
    pub created_at: Option<Millis>,
    /// Of a live or of a test account.
    pub livemode: Option<bool>,
    /// Set for an event of a connected account, which is none of ours.
    pub account: Option<String>,
    /// What it is about.
    pub subject: Subject,
}

/// What an event is about.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A subscription, as it was after the event.
    Subscription {
        /// Where the event stands among others of its second.
        rank: Rank,
        /// The object.
        subscription: Box<Subscription>,
    },
    /// A checkout that was completed.
    Session(Box<CheckoutSession>),
    /// An invoice that was paid, or could not be.
    Invoice {
        /// Whether it was paid.
        paid: bool,
        /// The object.
        invoice: Box<Invoice>,
    },
    /// Nothing that this service acts on.
    Other,
    /// The type is known, but the object is not what the type promises.
    Unreadable,
}

/// Stripe counts in seconds and promises no order. Of two states with one second, the later kind counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// It was made.
    Created = 1,
    /// It changed.
    Changed = 2,
    /// It ended.
    Deleted = 3,
    /// Read from Stripe itself after the event.
    Read = 4,
}

impl Rank {
    /// As stored.
    #[must_use]
    pub fn number(self) -> i64 {
        self as i64
    }
}

/// The body is no event: it has no id to be kept under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoEvent;

impl Event {
    /// Reads the body of a webhook.
    ///
    /// # Errors
    /// [`NoEvent`] when it is no JSON object with an id and a type. Everything else is an event, useful or not.
    pub fn parse(body: &[u8]) -> Result<Self, NoEvent> {
        let body: Body = serde_json::from_slice(body).map_err(|_| NoEvent)?;
        if ![&body.id, &body.event_type].into_iter().all(|name| is_name(name)) {
            return Err(NoEvent);
        }
        let object = body.data.map(|data| data.object).unwrap_or_default();
        Ok(Self {
            subject: Subject::read(&body.event_type, object),
            id: body.id,
            event_type: body.event_type,
            created_at: body.created.map(|seconds| seconds.saturating_mul(1000)),
            livemode: body.livemode,
            account: body.account,
        })
    }

    /// The subscription that it is about.
    #[must_use]
    pub fn subscription_id(&self) -> Option<String> {
        match &self.subject {
            Subject::Subscription { subscription, .. } => Some(subscription.id.clone()),
            Subject::Session(session) => session.subscription.clone(),
            Subject::Invoice { invoice, .. } => invoice.subscription(),
            Subject::Other | Subject::Unreadable => None,
        }
    }

    /// What events must have in common to be applied in order: the customer, else the subscription, else nothing.
    #[must_use]
    pub fn queue_key(&self) -> String {
        let customer = match &self.subject {
            Subject::Subscription { subscription, .. } => subscription.customer.clone(),
            Subject::Session(session) => session.customer.clone(),
            Subject::Invoice { invoice, .. } => invoice.customer.clone(),
            Subject::Other | Subject::Unreadable => None,
        };
        customer.or_else(|| self.subscription_id()).unwrap_or_else(|| self.id.clone())
    }
}

fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Subject {
    fn read(event_type: &str, object: Value) -> Self {
        match event_type {
            "checkout.session.completed" | "checkout.session.async_payment_succeeded" => {
                serde_json::from_value(object).map_or(Self::Unreadable, Self::Session)
            }
            "invoice.paid" | "invoice.payment_succeeded" | "invoice.payment_failed" => {
                let paid = event_type != "invoice.payment_failed";
                let read = serde_json::from_value(object);
                read.map_or(Self::Unreadable, |invoice| Self::Invoice { paid, invoice })
            }
            _ => match event_type.strip_prefix("customer.subscription.") {
                Some("created") => Self::subscription(Rank::Created, object),
                Some("updated" | "paused" | "resumed") => Self::subscription(Rank::Changed, object),
                Some("deleted") => Self::subscription(Rank::Deleted, object),
                _ => Self::Other,
            },
        }
    }

    fn subscription(rank: Rank, object: Value) -> Self {
        let read = serde_json::from_value::<Box<Subscription>>(object);
        match read {
            Ok(mut subscription) if is_name(&subscription.id) => {
                if rank == Rank::Deleted {
                    // The event's own meaning, whatever the object says.
                    subscription.status = Some("canceled".to_owned());
                }
                Self::Subscription { rank, subscription }
            }
            _ => Self::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn event(event_type: &str, object: &Value) -> Event {
        let body = json!({ "id": "evt_1", "type": event_type, "created": 7, "data": { "object": object } });
        Event::parse(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_period_is_found_where_each_api_version_puts_it() {
        let old = json!({ "id": "sub_1", "customer": "cus_1", "status": "active", "current_period_end": 50,
            "items": { "data": [{ "price": { "id": "price_a" }, "quantity": 3 }] } });
        let new = json!({ "id": "sub_1", "customer": { "id": "cus_1" }, "status": "active",
            "items": { "data": [{ "price": { "id": "price_a" }, "quantity": 3, "current_period_end": 50 }] } });
        for object in [old, new] {
            let event = event("customer.subscription.updated", &object);
            let Subject::Subscription { subscription, .. } = &event.subject else { panic!("{event:?}") };
            assert_eq!((subscription.period_end(), subscription.items()[0].quantity), (Some(50_000), 3));
            assert_eq!(event.queue_key(), "cus_1");
        }
        let plan_only = json!({ "id": "sub_1", "plan": { "id": "plan_a" }, "quantity": 2 });
        let event = event("customer.subscription.created", &plan_only);
        let Subject::Subscription { subscription, .. } = event.subject else { panic!("{event:?}") };
        assert_eq!(subscription.items(), [Item { price: "plan_a".into(), quantity: 2, period_end: None }]);
    }

    use super::super::object::Item;

    #[test]
    fn the_subscription_of_an_invoice_is_found_where_each_api_version_puts_it() {
        let old = json!({ "subscription": "sub_1", "lines": { "data": [{ "period": { "end": 9 } }] } });
        let new = json!({ "parent": { "subscription_details": { "subscription": "sub_1" } },
            "lines": { "data": [{ "period": { "end": 9 } }] } });
        for object in [old, new] {
            let event = event("invoice.paid", &object);
            assert_eq!(event.subscription_id().as_deref(), Some("sub_1"));
            let Subject::Invoice { invoice, paid: true } = event.subject else { panic!() };
            assert_eq!(invoice.period_end(), Some(9_000));
        }
    }

    #[test]
    fn odd_members_cost_nothing_but_themselves() {
        let odd = json!({ "id": "sub_1", "customer": 5, "status": null, "metadata": { "user_id": 7, "plan_id": "p" },
            "items": { "data": [null, { "price": "x" }] }, "current_period_end": "soon", "news": [{}] });
        let event = event("customer.subscription.updated", &odd);
        let Subject::Subscription { subscription, .. } = &event.subject else { panic!("{event:?}") };
        assert_eq!((subscription.status.as_deref(), subscription.period_end()), (None, None));
        assert_eq!(subscription.metadata.keys().collect::<Vec<_>>(), ["plan_id"]);
    }

    #[test]
    fn what_has_no_id_is_no_event() {
        for body in
            ["", "[]", "null", "{}", r#"{"id":"","type":"x"}"#, r#"{"id":"e\u0000","type":"x"}"#, "\u{0}"]
        {
            assert_eq!(Event::parse(body.as_bytes()).err(), Some(NoEvent), "{body}");
        }
        assert!(Event::parse(&[0xff, 0xfe]).is_err());
        assert!(Event::parse("[".repeat(100_000).as_bytes()).is_err());
        let thin = br#"{"id":"evt_2","object":"v2.core.event","type":"v1.billing.meter.no_meter_found"}"#;
        assert!(matches!(Event::parse(thin).unwrap().subject, Subject::Other));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Event::parse(&body);
        }

        #[test]
        fn any_json_as_the_object_is_read(text in "[\\[\\]{}\":,a-z0-9 ]{0,60}") {
            let object = serde_json::from_str::<Value>(&text).unwrap_or(Value::String(text));
            for event_type in ["customer.subscription.updated", "invoice.paid", "checkout.session.completed"] {
                let _ = event(event_type, &object).queue_key();
            }
        }
    }
}
