//! The inbox: nothing twice, nothing lost, nothing for ever in the way.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use gatehouse_actors::data::stripe_inbox::Replay;
use gatehouse_actors::stripe_event_actor::ReadsNothing;
use serde_json::json;

use super::stage::{StandIn, deliver, event, fate, happen, settled, shop, subscription};
use crate::support::World;

const PRO: &str = "price_acme-web_pro";

#[actix::test]
async fn a_thousand_deliveries_of_one_event_have_one_effect() {
    let world = World::new();
    let shop = shop(&world, "acme").await;
    let buyer = shop.buyer(&world, "ada").await;
    let body = event(
        "customer.subscription.created",
        0,
        &subscription("sub_1", &buyer, &shop.web, PRO, &world),
        &world,
    );
    let news = join_all((0..1_000).map(|_| deliver(&world, 1, &body))).await;
    assert_eq!(news.into_iter().filter(|is_new| *is_new).count(), 1);
    settled(&world).await;
    assert_eq!(world.number("SELECT COUNT(*) FROM stripe_events"), 1);
    assert_eq!(world.number("SELECT version FROM subscriptions"), 1);
    assert_eq!(world.figure("stripe_event_actor", "applied").await, 1);
    // The same id from another account is another event.
    assert!(deliver(&world, shop.tenant.org_id, &body).await);
}

#[actix::test]
async fn with_a_key_events_only_say_where_to_look() {
    let stand_in = Arc::<StandIn>::default();
    stand_in.has_key.store(true, Ordering::SeqCst);
    let world = World::with_stripe(stand_in.port());
    let shop = shop(&world, "acme").await;
    let buyer = shop.buyer(&world, "ada").await;
    let told = subscription("sub_1", &buyer, &shop.web, PRO, &world);
    let mut real = told.clone();
    real["items"]["data"][0]["price"]["id"] = json!("price_acme-web_plus");
    stand_in.put(&real);
    happen(&world, &event("customer.subscription.created", 0, &told, &world)).await;
    assert_eq!(buyer.plan(&world).await, "plus");
    let invented = event(
        "customer.subscription.created",
        0,
        &subscription("sub_2", &buyer, &shop.web, PRO, &world),
        &world,
    );
    happen(&world, &invented).await;
    assert_eq!(fate(&world, &invented).1.as_deref(), Some("Stripe knows no such subscription"));
    assert_eq!(buyer.plan(&world).await, "plus");
}

#[actix::test]
async fn what_fails_waits_dies_and_can_be_replayed() {
    let stand_in = Arc::<StandIn>::default();
    stand_in.has_key.store(true, Ordering::SeqCst);
    stand_in.down.store(true, Ordering::SeqCst);
    let world = World::with_stripe(stand_in.port());
    let shop = shop(&world, "acme").await;
    let (ada, bob) = (shop.buyer(&world, "ada").await, shop.buyer(&world, "bob").await);
    let bought = subscription("sub_1", &ada, &shop.web, PRO, &world);
    stand_in.put(&bought);
    let first = event("customer.subscription.created", 0, &bought, &world);
    deliver(&world, 1, &first).await;
    world.until("stripe_event_actor", "failed_attempts", 1).await;
    // The next one of the same customer waits behind it; that of another does not.
    stand_in.down.store(false, Ordering::SeqCst);
    let second = event("customer.subscription.updated", 1, &bought, &world);
    deliver(&world, 1, &second).await;
    let others = subscription("sub_2", &bob, &shop.web, PRO, &world);
    stand_in.put(&others);
    deliver(&world, 1, &event("customer.subscription.created", 0, &others, &world)).await;
    world.until("stripe_event_actor", "applied", 1).await;
    assert_eq!((bob.plan(&world).await.as_str(), ada.plan(&world).await.as_str()), ("pro", "free"));
    assert_eq!(fate(&world, &second).0, "waiting");
    world.clock.advance(2_500);
    settled(&world).await;
    assert_eq!(ada.plan(&world).await, "pro");

    stand_in.down.store(true, Ordering::SeqCst);
    let third = event("customer.subscription.deleted", 2, &bought, &world);
    deliver(&world, 1, &third).await;
    for attempt in 1..=32 {
        world.until("stripe_event_actor", "failed_attempts", 1 + attempt).await;
        world.clock.advance(2 * 60 * 60 * 1000);
        world.store.nudge_stripe();
    }
    world.until("stripe_event_actor", "dead", 1).await;
    assert_eq!(fate(&world, &third), ("dead".to_owned(), Some("Stripe: status 500".to_owned())));
    stand_in.down.store(false, Ordering::SeqCst);
    let mut over = bought.clone();
    over["status"] = json!("canceled");
    stand_in.put(&over);
    assert_eq!(world.store.replay_stripe(Replay::Dead).await, Ok(1));
    settled(&world).await;
    assert_eq!(ada.plan(&world).await, "free");
    let again = Replay::Event(first["id"].as_str().unwrap().to_owned());
    assert_eq!(world.store.replay_stripe(again).await, Ok(1));
    assert_eq!(world.store.replay_stripe(Replay::Event("evt_unknown".to_owned())).await, Ok(0));
}

#[actix::test]
async fn what_waited_when_the_process_ended_is_applied_by_the_next() {
    let world = World::new();
    let shop = shop(&world, "acme").await;
    let buyer = shop.buyer(&world, "ada").await;
    let body = event(
        "customer.subscription.created",
        0,
        &subscription("sub_1", &buyer, &shop.web, PRO, &world),
        &world,
    );
    let clock = world.clock.clone();
    happen(&world, &body).await;
    world.execute("UPDATE stripe_events SET status = 'waiting'");
    world.execute("DELETE FROM subscriptions");
    world.execute("DELETE FROM stripe_subscriptions");
    let folder = world.stop().await;
    let world = World::over(folder, clock, Arc::new(|| Box::new(ReadsNothing)));
    settled(&world).await;
    assert_eq!(buyer.plan(&world).await, "pro");
}

#[actix::test]
async fn one_event_that_breaks_an_operation_holds_up_nobody_else() {
    let world = World::new();
    let shop = shop(&world, "acme").await;
    let (ada, bob) = (shop.buyer(&world, "ada").await, shop.buyer(&world, "bob").await);
    world.execute(
        "CREATE TRIGGER planned BEFORE UPDATE ON stripe_subscriptions WHEN new.stripe_id = 'sub_1' \
         BEGIN SELECT RAISE(ABORT, 'planned'); END",
    );
    for (id, buyer) in [("sub_1", &ada), ("sub_2", &bob)] {
        let bought = subscription(id, buyer, &shop.web, PRO, &world);
        deliver(&world, 1, &event("customer.subscription.created", 0, &bought, &world)).await;
    }
    world.until("stripe_event_actor", "applied", 1).await;
    assert_eq!(bob.plan(&world).await, "pro");
    world.until("stripe_event_actor", "failed_attempts", 1).await;
    world.execute("DROP TRIGGER planned");
    world.clock.advance(10_000);
    settled(&world).await;
    assert_eq!(ada.plan(&world).await, "pro");
}
