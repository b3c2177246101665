//! Whatever happens at Stripe, and in whatever order it is told, the end is Stripe's own state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::System;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};

use super::stage::{Buyer, StandIn, deliver, event, happen, settled, shop, subscription};
use crate::support::{GRACE, World};

const SUBSCRIPTIONS: usize = 5;

/// Something that happens at Stripe to a subscription.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Price(usize),
    Seats(i64),
    PaymentFails,
    PaymentSucceeds,
    Renewal,
    CancelAtEnd(bool),
    Pause,
    Resume,
    End,
}

#[derive(Debug, Clone)]
struct History {
    /// Which subscription, what, and how many seconds after the one before.
    steps: Vec<(usize, Happening, i64)>,
    /// How the events are delivered: a permutation with repeats, by position.
    order: Vec<prop::sample::Index>,
    /// Which events never arrive.
    dropped: Vec<bool>,
}

fn history() -> impl Strategy<Value = History> {
    let happening = prop_oneof![
        (0..4_usize).prop_map(Happening::Price),
        (1..4_i64).prop_map(Happening::Seats),
        Just(Happening::PaymentFails),
        Just(Happening::PaymentSucceeds),
        Just(Happening::Renewal),
        any::<bool>().prop_map(Happening::CancelAtEnd),
        Just(Happening::Pause),
        Just(Happening::Resume),
        Just(Happening::End),
    ];
    let steps = prop::collection::vec((0..SUBSCRIPTIONS, happening, 1..4_i64), 5..40);
    let order = prop::collection::vec(any::<prop::sample::Index>(), 60);
    let dropped = prop::collection::vec(prop::bool::weighted(0.33), 100);
    (steps, order, dropped).prop_map(|(steps, order, dropped)| History { steps, order, dropped })
}

fn invoice_of(object: &Value) -> Value {
    json!({ "id": "in_1", "customer": object["customer"],
        "parent": { "subscription_details": { "subscription": object["id"] } },
        "lines": { "data": [{ "period": { "end": object["items"]["data"][0]["current_period_end"] } }] } })
}

/// Stripe, as far as it matters here.
struct Stripe<'w> {
    world: &'w World,
    subscriptions: BTreeMap<String, Value>,
    events: Vec<Value>,
    seconds: i64,
}

impl Stripe<'_> {
    fn tell(&mut self, event_type: &str, object: &Value) {
        self.events.push(event(event_type, self.seconds, object, self.world));
    }

    fn take(&mut self, id: &str, fresh: impl FnOnce() -> Value, happening: Happening, prices: &[String]) {
        let Some(mut object) = self.subscriptions.get(id).cloned() else {
            let object = fresh();
            self.tell("customer.subscription.created", &object);
            self.subscriptions.insert(id.to_owned(), object);
            return;
        };
        let status = object["status"].as_str().unwrap().to_owned();
        if status == "canceled" {
            return;
        }
        let invoice = invoice_of(&object);
        let item = &mut object["items"]["data"][0];
        let mut told = "customer.subscription.updated";
        match happening {
            Happening::Price(number) => item["price"]["id"] = json!(prices[number % prices.len()]),
            Happening::Seats(count) => item["quantity"] = json!(count),
            Happening::PaymentFails if status == "active" => {
                self.tell("invoice.payment_failed", &invoice);
                object["status"] = json!("past_due");
            }
            Happening::PaymentSucceeds if status == "past_due" => {
                self.tell("invoice.paid", &invoice);
                object["status"] = json!("active");
            }
            Happening::Renewal if status == "active" => {
                self.tell("invoice.paid", &invoice);
                let end = item["current_period_end"].as_i64().unwrap();
                item["current_period_end"] = json!(end + 30 * 86_400);
            }
            Happening::CancelAtEnd(is) => object["cancel_at_period_end"] = json!(is),
            Happening::Pause if status == "active" => {
                told = "customer.subscription.paused";
                object["status"] = json!("paused");
            }
            Happening::Resume if status == "paused" => {
                told = "customer.subscription.resumed";
                object["status"] = json!("active");
            }
            Happening::End => {
                told = "customer.subscription.deleted";
                object["status"] = json!("canceled");
            }
            _ => return,
        }
        self.tell(told, &object);
        self.subscriptions.insert(id.to_owned(), object);
    }
}

/// What a user has, and what a subscription is known to be: Stripe's word, price, seats, end of the period.
type Known = BTreeMap<String, (String, String, i64, i64)>;

fn at_stripe(subscriptions: &BTreeMap<String, Value>) -> Known {
    let known = |object: &Value| {
        let item = &object["items"]["data"][0];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let end = item["current_period_end"].as_i64().unwrap() * 1000;
        (text(&object["status"]), text(&item["price"]["id"]), item["quantity"].as_i64().unwrap(), end)
    };
    subscriptions.iter().map(|(id, object)| (id.clone(), known(object))).collect()
}

fn here(world: &World) -> Known {
    let connection = world.sql();
    let mut statement = connection
        .prepare(
            "SELECT stripe_id, effective_status, items FROM stripe_subscriptions WHERE status IS NOT NULL",
        )
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(|row| {
        let (id, status, items): (String, String, String) = row.unwrap();
        let items: Vec<(String, i64, i64)> = serde_json::from_str(&items).unwrap();
        let (price, quantity, end) = items[0].clone();
        (id, (status, price, quantity, end))
    })
    .collect()
}

/// The plan that the buyer should have by Stripe's state: of the subscriptions that grant, the newest.
fn plan_by(stripe: &BTreeMap<String, Value>, buyer: &Buyer, service: &str) -> String {
    let mut granting: Vec<(i64, &String, &str)> = stripe
        .iter()
        .filter(|(_, object)| object["metadata"]["user_id"] == json!(buyer.user))
        .filter(|(_, object)| object["metadata"]["service_id"] == json!(service))
        .filter(|(_, object)| ["active", "past_due"].contains(&object["status"].as_str().unwrap()))
        .filter_map(|(id, object)| {
            let price = object["items"]["data"][0]["price"]["id"].as_str().unwrap();
            let plan = price.strip_prefix("price_acme-web_")?;
            Some((object["created"].as_i64().unwrap(), id, plan))
        })
        .collect();
    granting.sort();
    granting.last().map_or("free", |(_, _, plan)| plan).to_owned()
}

async fn play(history: History, hints: bool, drop_some: bool) -> Result<(), TestCaseError> {
    let stand_in = Arc::<StandIn>::default();
    stand_in.has_key.store(hints, Ordering::SeqCst);
    let world = World::with_stripe(stand_in.port());
    let shop = shop(&world, "acme").await;
    let buyers = [shop.buyer(&world, "ada").await, shop.buyer(&world, "bob").await];
    let prices = ["price_acme-web_pro", "price_acme-web_plus", "price_acme-terminal_pro", "price_unknown"];
    let prices: Vec<String> = prices.map(ToOwned::to_owned).to_vec();
    let mut stripe = Stripe { world: &world, subscriptions: BTreeMap::new(), events: Vec::new(), seconds: 0 };
    for (number, happening, pause) in history.steps {
        stripe.seconds += pause;
        let (buyer, created) = (&buyers[number % 2], world.now() / 1000 + stripe.seconds);
        let id = format!("sub_{number}");
        let fresh = || {
            let price = &prices[number % 2];
            let mut object = subscription(&id, buyer, &shop.web, price, &world);
            object["created"] = json!(created);
            object
        };
        stripe.take(&id, fresh, happening, &prices);
    }
    let Stripe { subscriptions, events, .. } = stripe;
    for object in subscriptions.values() {
        stand_in.put(object);
    }

    // Every event that is not lost comes once at least; some come again, in between, and out of order.
    let arrives = |position: &usize| !drop_some || !history.dropped[position % history.dropped.len()];
    let mut line: Vec<usize> = (0..events.len()).filter(arrives).collect();
    for (position, index) in history.order.iter().enumerate() {
        if line.len() > 1 {
            let other = index.index(line.len());
            let len = line.len();
            line.swap(position % len, other);
            if position % 3 == 0 {
                line.push(line[other]);
            }
        }
    }
    for position in line {
        deliver(&world, 1, &events[position]).await;
    }
    settled(&world).await;
    if drop_some {
        stand_in.has_key.store(true, Ordering::SeqCst);
        let report = world.store.reconcile_stripe().await.unwrap();
        prop_assert_eq!(&report.failures, &Vec::<String>::new());
        // Once more finds nothing to repair.
        prop_assert_eq!(world.store.reconcile_stripe().await.unwrap().repaired, 0);
    }
    prop_assert_eq!(here(&world), at_stripe(&subscriptions));
    for buyer in &buyers {
        prop_assert_eq!(buyer.plan(&world).await, plan_by(&subscriptions, buyer, &shop.web));
    }
    world.stop().await;
    Ok(())
}

fn check(cases: u32, hints: bool, drop_some: bool) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&history(), |history| System::new().block_on(play(history, hints, drop_some)))
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn events_at_their_word_in_any_order() {
    check(16, false, false);
}

#[test]
fn events_as_hints_in_any_order() {
    check(8, true, false);
}

#[test]
fn a_third_of_the_events_is_lost_and_a_comparison_repairs_it() {
    check(16, false, true);
}

/// The failure that no event told of begins its grace when it is found, whether the subscription was known before or not.
#[actix::test]
async fn a_failed_payment_that_only_a_comparison_finds_has_its_grace() {
    for known_before in [true, false] {
        let stand_in = Arc::<StandIn>::default();
        let world = World::with_stripe(stand_in.port());
        let shop = shop(&world, "acme").await;
        let buyer = shop.buyer(&world, "ada").await;
        let mut object = subscription("sub_1", &buyer, &shop.web, "price_acme-web_pro", &world);
        if known_before {
            happen(&world, &event("customer.subscription.created", 0, &object, &world)).await;
        }
        world.clock.advance(4 * GRACE);
        object["status"] = json!("past_due");
        stand_in.put(&object);
        stand_in.has_key.store(true, Ordering::SeqCst);
        for repaired in [1, 0] {
            assert_eq!(world.store.reconcile_stripe().await.unwrap().repaired, repaired);
            assert_eq!(buyer.plan(&world).await, "pro", "known before: {known_before}");
            world.clock.advance(GRACE / 2);
        }
        // Comparing again, or a late hint, does not begin it anew.
        happen(&world, &event("invoice.payment_failed", 0, &invoice_of(&object), &world)).await;
        assert_eq!(buyer.plan(&world).await, "free", "known before: {known_before}");
        world.stop().await;
    }
}

/// Even a reading without any period end grants from when it was made.
#[actix::test]
async fn what_only_a_comparison_finds_grants_although_it_names_no_period() {
    let stand_in = Arc::<StandIn>::default();
    stand_in.has_key.store(true, Ordering::SeqCst);
    let world = World::with_stripe(stand_in.port());
    let shop = shop(&world, "acme").await;
    let buyer = shop.buyer(&world, "ada").await;
    let mut object = subscription("sub_1", &buyer, &shop.web, "price_acme-web_pro", &world);
    object["items"]["data"][0].as_object_mut().unwrap().remove("current_period_end");
    stand_in.put(&object);
    assert_eq!(world.store.reconcile_stripe().await.unwrap().repaired, 1);
    assert_eq!(buyer.plan(&world).await, "pro");
    world.stop().await;
}
