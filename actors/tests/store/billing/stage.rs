//! A stand-in for Stripe, and buyers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::{LocalBoxFuture, ready};
use gatehouse_actors::data::sessions::{SessionByPublicId, Subject};
use gatehouse_actors::data::stripe_effects::{BillingRules, unusable};
use gatehouse_actors::data::stripe_inbox::StoreStripeEvent;
use gatehouse_actors::stripe::event::Event;
use gatehouse_actors::stripe::object::Subscription;
use gatehouse_actors::stripe_event_actor::{
    StripeAccount, StripeFailure, StripePort, StripePortFactory, SubscriptionPage,
};
use serde_json::{Value, json};

use crate::support::{GRACE, Tenant, World, code_for, fresh, person, public_id, redeem_code, tenant};

/// Stripe's own state, as its API tells it.
#[derive(Default)]
pub(super) struct StandIn {
    pub(super) subscriptions: Mutex<BTreeMap<String, Value>>,
    pub(super) has_key: AtomicBool,
    pub(super) down: AtomicBool,
    pub(super) asked: AtomicUsize,
}

struct Port(Arc<StandIn>);

impl StandIn {
    pub(super) fn port(self: &Arc<Self>) -> StripePortFactory {
        let stand_in = self.clone();
        Arc::new(move || Box::new(Port(stand_in.clone())))
    }

    pub(super) fn put(&self, object: &Value) {
        let id = object["id"].as_str().unwrap().to_owned();
        self.subscriptions.lock().unwrap().insert(id, object.clone());
    }

    fn answer<T>(&self, answer: T) -> Result<T, StripeFailure> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            Err(StripeFailure("status 500".to_owned()))
        } else {
            Ok(answer)
        }
    }
}

fn read(object: &Value) -> Subscription {
    serde_json::from_value(object.clone()).unwrap()
}

impl StripePort for Port {
    fn can_ask(&self, _: &StripeAccount) -> bool {
        self.0.has_key.load(Ordering::SeqCst)
    }

    fn subscription<'a>(
        &'a self,
        _: &'a StripeAccount,
        id: &'a str,
    ) -> LocalBoxFuture<'a, Result<Option<Box<Subscription>>, StripeFailure>> {
        let found = self.0.subscriptions.lock().unwrap().get(id).map(|object| Box::new(read(object)));
        Box::pin(ready(self.0.answer(found)))
    }

    fn subscriptions<'a>(
        &'a self,
        _: &'a StripeAccount,
        after: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<SubscriptionPage, StripeFailure>> {
        let all = self.0.subscriptions.lock().unwrap();
        let rest = all.iter().filter(|(id, _)| after.is_none_or(|after| id.as_str() > after));
        let mut subscriptions: Vec<_> = rest.take(3).map(|(_, object)| read(object)).collect();
        let has_more = subscriptions.len() == 3;
        subscriptions.truncate(2);
        Box::pin(ready(self.0.answer(SubscriptionPage { subscriptions, has_more })))
    }
}

/// A user of a tenant's service, with a session there.
pub(super) struct Buyer {
    pub(super) user: String,
    pub(super) session: String,
}

/// A tenant whose services have a plan `pro` (`price_CLIENT_pro`, dear) and a plan `plus` (`price_CLIENT_plus`).
pub(super) struct Shop {
    pub(super) tenant: Tenant,
    /// UUID of the web service.
    pub(super) web: String,
}

pub(super) async fn shop(world: &World, slug: &str) -> Shop {
    let tenant = tenant(world, slug).await;
    for service in [&tenant.web, &tenant.terminal] {
        for (plan, cents) in [("plus", 500), ("pro", 900)] {
            world.execute(&format!(
                "INSERT INTO plans (public_id, service_id, name, price_cents, features, stripe_price_id, created_at) \
                 VALUES ('{}', {}, '{plan}', {cents}, '[\"{plan}-feature\"]', 'price_{}_{plan}', 0)",
                public_id(),
                service.id,
                service.client_id
            ));
        }
    }
    let web = world.text(&format!("SELECT public_id FROM services WHERE id = {}", tenant.web.id)).unwrap();
    Shop { tenant, web }
}

impl Shop {
    /// Signs `name` in to the web service.
    pub(super) async fn buyer(&self, world: &World, name: &str) -> Buyer {
        let arrived = code_for(world, &self.tenant.web, person(world, self.tenant.org_id, name)).await;
        let redeem = redeem_code(world, &self.tenant.web, &arrived);
        let session = redeem.session.public_id.clone();
        world.store.write(redeem).await.unwrap();
        let subject =
            world.store.read(SessionByPublicId { public_id: session.clone() }).await.unwrap().unwrap();
        Buyer { user: subject.user_public_id, session }
    }
}

impl Buyer {
    pub(super) async fn subject(&self, world: &World) -> Subject {
        world.store.read(SessionByPublicId { public_id: self.session.clone() }).await.unwrap().unwrap()
    }

    /// The plan's name now.
    pub(super) async fn plan(&self, world: &World) -> String {
        self.subject(world).await.entitlement(world.now()).plan_name().unwrap().to_owned()
    }
}

/// A subscription as the API of 2025 shows it.
pub(super) fn subscription(id: &str, buyer: &Buyer, service: &str, price: &str, world: &World) -> Value {
    json!({
        "id": id, "object": "subscription", "customer": format!("cus_{}", buyer.user), "status": "active",
        "created": world.now() / 1000, "cancel_at_period_end": false, "cancel_at": null,
        "metadata": { "user_id": buyer.user, "service_id": service },
        "items": { "object": "list", "data": [{ "id": "si_1", "price": { "id": price, "product": "prod_1" },
            "quantity": 1, "current_period_end": world.now() / 1000 + 30 * 86_400 }] },
    })
}

/// An event about an object, `seconds` after the world began.
pub(super) fn event(event_type: &str, seconds: i64, object: &Value, world: &World) -> Value {
    json!({ "id": format!("evt_{:08}", fresh()), "object": "event", "api_version": "2025-06-30.basil",
        "created": world.now() / 1000 + seconds, "type": event_type, "livemode": false,
        "data": { "object": object } })
}

/// Stores an event as the webhook does. Whether it was new.
pub(super) async fn deliver(world: &World, org_id: i64, body: &Value) -> bool {
    let payload = body.to_string().into_bytes();
    let event = Event::parse(&payload).unwrap();
    let rules = BillingRules { past_due_grace: GRACE, livemode: None };
    let store = StoreStripeEvent {
        ignored: unusable(&event, org_id, rules),
        org_id,
        queue_key: event.queue_key(),
        event_id: event.id,
        event_type: event.event_type,
        created_at: event.created_at.unwrap(),
        payload,
        now: world.now(),
    };
    world.store.keep_stripe_event(store).await.unwrap()
}

/// Waits until nothing waits.
pub(super) async fn settled(world: &World) {
    world.until("stripe_event_actor", "waiting", 0).await;
}

/// Delivers to the platform's account and waits for the effect.
pub(super) async fn happen(world: &World, body: &Value) {
    deliver(world, 1, body).await;
    settled(world).await;
}

/// Status and reason of an event.
pub(super) fn fate(world: &World, body: &Value) -> (String, Option<String>) {
    let of = |column| {
        world.text(&format!(
            "SELECT {column} FROM stripe_events WHERE event_id = '{}'",
            body["id"].as_str().unwrap()
        ))
    };
    (of("status").unwrap(), of("reason"))
}
