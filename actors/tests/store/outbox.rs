//! The outbox: what is put in comes out at least once, in order where that matters, whatever fails.

use std::sync::Arc;

use gatehouse_actors::data::outbox::{
    AnythingDue, EnqueueDelivery, Kind, LEASE, LeaseLost, LeaseTargets, LeasedTarget, PurgeDeliveries,
    SettleTarget, Settled, Verdict,
};
use gatehouse_actors::error::StoreError;
use gatehouse_actors::faults::FaultPoint;
use gatehouse_actors::outbox::Outcome;
use serde_json::json;

use crate::support::{Act, Plan, Receivers, World, public_id, refusal, spawn_write, start};

const HOUR: i64 = 60 * 60 * 1000;

fn delivery(world: &World, kind: Kind, target_id: i64, payload: &str) -> EnqueueDelivery {
    EnqueueDelivery { kind, target_id, subject_id: 0, org_id: 1, payload: json!(payload), now: world.now() }
}

async fn enqueue(world: &World, target_id: i64, payloads: &[&str]) {
    for payload in payloads {
        world.store.write(delivery(world, Kind::Webhook, target_id, payload)).await.unwrap();
    }
}

fn failed() -> Outcome {
    Outcome::Failed { status: Some(503), reason: "answered 503".to_owned(), wait: None }
}

async fn lease(world: &World) -> Vec<LeasedTarget> {
    world.store.write(LeaseTargets { limit: 16, now: world.now() }).await.unwrap()
}

/// Gives a target back with one verdict for all that was leased.
fn settlement(world: &World, leased: &LeasedTarget, verdict: &Verdict, failures: i64) -> SettleTarget {
    let settled = |id| Settled { id, at: world.now(), verdict: verdict.clone() };
    SettleTarget {
        kind: leased.kind,
        target_id: leased.target_id,
        leased_until: leased.leased_until,
        settled: leased.deliveries.iter().map(|delivery| settled(delivery.id)).collect(),
        failures,
        rest_until: None,
        gone: None,
        entry_public_id: public_id(),
        now: world.now(),
    }
}

fn count(world: &World, status: &str) -> i64 {
    world.number(&format!("SELECT COUNT(*) FROM outbox WHERE status = '{status}'"))
}

#[actix::test]
async fn what_is_enqueued_is_delivered_once_and_in_order() {
    let (world, receivers) = (World::new(), Receivers::default());
    enqueue(&world, 7, &["before the port is there"]).await;
    world.deliver_to(&receivers).await;
    world.until("outbox", "delivered", 1).await;
    let payloads: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    enqueue(&world, 7, &payloads).await;
    world.until("outbox", "delivered", 41).await;
    let seen = receivers.payloads(7);
    assert_eq!(seen[0], "\"before the port is there\"");
    assert_eq!(seen[1..], payloads.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>());
    world.until("outbox", "busy", 0).await;
    assert_eq!((count(&world, "delivered"), count(&world, "pending")), (41, 0));
    assert_eq!(world.number("SELECT COUNT(*) FROM outbox_targets"), 0, "an idle target leaves no trace");
    world.stop().await;
}

#[actix::test]
async fn a_target_that_hangs_holds_up_nobody_else() {
    let (world, receivers) = (World::new(), Receivers::default());
    receivers.hang(1);
    world.deliver_to(&receivers).await;
    enqueue(&world, 1, &["a", "b", "c"]).await;
    enqueue(&world, 2, &["d"]).await;
    enqueue(&world, 3, &["e"]).await;
    world.until("outbox", "delivered", 2).await;
    assert_eq!(receivers.payloads(1), ["\"a\""], "one at a time, in order");
    world.stop().await;
}

#[actix::test]
async fn what_failed_is_tried_again_after_a_pause_and_steps_aside_for_the_rest() {
    let (world, receivers) = (World::new(), Receivers::default());
    receivers.plan(1, &[failed()]);
    enqueue(&world, 1, &["a", "b"]).await;
    world.deliver_to(&receivers).await;
    world.until("outbox", "delivered", 1).await;
    assert_eq!(receivers.payloads(1), ["\"a\"", "\"b\""]);
    world.until("outbox", "busy", 0).await;
    // Its pause does not keep what is new waiting.
    enqueue(&world, 1, &["c"]).await;
    world.until("outbox", "delivered", 2).await;
    world.clock.advance(HOUR);
    world.until("outbox", "delivered", 3).await;
    let seen = receivers.seen();
    assert_eq!((seen[0].id, seen[0].attempts), (seen[3].id, 0));
    assert_eq!(seen[3].attempts, 1);
    world.stop().await;
}

#[actix::test]
async fn a_target_that_is_down_rests_and_costs_one_attempt_per_pause() {
    let (world, receivers) = (World::new(), Receivers::default());
    receivers.always(1, failed());
    enqueue(&world, 1, &["a", "b", "c", "d", "e", "f"]).await;
    world.deliver_to(&receivers).await;
    world.until("outbox", "attempts", 3).await;
    world.until("outbox", "busy", 0).await;
    // More of the same does not wake it.
    enqueue(&world, 1, &["g"]).await;
    enqueue(&world, 2, &["other"]).await;
    world.until("outbox", "delivered", 1).await;
    assert_eq!(receivers.payloads(1).len(), 3);
    world.clock.advance(HOUR);
    world.until("outbox", "attempts", 5).await;
    world.until("outbox", "busy", 0).await;
    assert_eq!(receivers.payloads(1).len(), 4, "one asks whether it is back");
    receivers.recover();
    world.clock.advance(HOUR);
    world.until("outbox", "delivered", 8).await;
    world.until("outbox", "busy", 0).await;
    assert_eq!(count(&world, "pending"), 0);
    world.stop().await;
}

#[actix::test]
async fn a_refusal_is_final_and_concerns_one_delivery() {
    let (world, receivers) = (World::new(), Receivers::default());
    receivers.plan(1, &[Outcome::Refused { status: Some(400), reason: "answered 400".to_owned() }]);
    enqueue(&world, 1, &["a", "b"]).await;
    world.deliver_to(&receivers).await;
    world.until("outbox", "delivered", 1).await;
    world.until("outbox", "busy", 0).await;
    assert_eq!((count(&world, "dead"), count(&world, "delivered")), (1, 1));
    let row = world.text("SELECT last_status || ' ' || last_error FROM outbox WHERE status = 'dead'");
    assert_eq!(row.as_deref(), Some("400 answered 400"));
    world.stop().await;
}

#[actix::test]
async fn nothing_is_delivered_any_more_to_a_target_that_is_gone() {
    let (world, receivers) = (World::new(), Receivers::default());
    receivers.plan(1, &[Outcome::Gone { reason: "deleted".to_owned() }]);
    enqueue(&world, 1, &["a", "b", "c"]).await;
    world.deliver_to(&receivers).await;
    world.until("outbox", "attempts", 1).await;
    world.until("outbox", "busy", 0).await;
    assert_eq!(count(&world, "dead"), 3);
    assert_eq!(receivers.seen().len(), 1);
    world.stop().await;
}

#[actix::test]
async fn a_crash_between_lease_and_settlement_delivers_again_under_the_same_id() {
    let world = World::new();
    enqueue(&world, 1, &["a", "b"]).await;
    let [first] = lease(&world).await.try_into().unwrap();
    // The hand is dead. Until its lease ends, nobody else takes the target.
    assert!(!world.store.read(AnythingDue { now: world.now() }).await.unwrap());
    world.clock.advance(LEASE - 1);
    enqueue(&world, 1, &["c"]).await;
    assert_eq!(lease(&world).await, []);
    world.clock.advance(1);
    let [second] = lease(&world).await.try_into().unwrap();
    assert_eq!(second.deliveries[..2], first.deliveries[..]);
    assert_eq!(second.deliveries.len(), 3);
    // The first hand wakes up: the deliveries are not its own any more.
    let delivered = Verdict::Delivered { status: 200 };
    let late = settlement(&world, &first, &delivered, 0);
    assert_eq!(refusal(world.store.write(late).await), LeaseLost);
    assert_eq!(count(&world, "pending"), 3);
    world.store.write(settlement(&world, &second, &delivered, 0)).await.unwrap();
    assert_eq!(count(&world, "delivered"), 3);
    world.stop().await;
}

#[actix::test]
async fn a_restart_releases_what_was_in_hand() {
    let (world, receivers) = (World::new(), Receivers::default());
    receivers.hang(1);
    world.deliver_to(&receivers).await;
    enqueue(&world, 1, &["a"]).await;
    world.until("outbox", "busy", 1).await;
    let (path, clock) = (world.path(), world.clock.clone());
    let folder = world.stop().await;
    receivers.recover();
    let second = start(path, &Arc::<Plan>::default()).unwrap();
    second.deliver_through(receivers.port(), clock).await;
    let store = second.store();
    let figure = async || {
        let snapshots = store.observe().await;
        snapshots.iter().find(|one| one.actor == "outbox").map_or(0, |one| one.figure("delivered"))
    };
    while figure().await == 0 {}
    let seen = receivers.seen();
    assert_eq!((seen.len(), seen[0].id), (2, seen[1].id));
    second.stop().await;
    drop(folder);
}

#[actix::test]
async fn a_settlement_that_is_not_written_is_made_up_for() {
    let (world, receivers) = (World::new(), Receivers::default());
    enqueue(&world, 1, &["a"]).await;
    // Released leases and the lease itself commit, the settlement does not.
    world.plan.add(FaultPoint::Commit, 2, Act::Fail(StoreError::Failed("planned".to_owned())));
    world.deliver_to(&receivers).await;
    world.until("outbox", "delivered", 1).await;
    world.until("outbox", "busy", 0).await;
    assert!(world.plan.is_done());
    assert_eq!(count(&world, "pending"), 1);
    world.clock.advance(LEASE);
    world.until("outbox", "delivered", 2).await;
    world.until("outbox", "busy", 0).await;
    let seen = receivers.seen();
    assert_eq!((seen[0].id, count(&world, "delivered")), (seen[1].id, 1));
    world.stop().await;
}

#[actix::test]
async fn a_change_that_is_not_written_delivers_nothing() {
    let (world, receivers) = (World::new(), Receivers::default());
    world.deliver_to(&receivers).await;
    world.plan.add(FaultPoint::Commit, 0, Act::Fail(StoreError::Failed("planned".to_owned())));
    let lost = spawn_write(&world.store, delivery(&world, Kind::Webhook, 1, "lost")).await;
    // The release of leases at the connection may have met the fault in its place.
    if lost.is_err() {
        assert_eq!(world.number("SELECT COUNT(*) FROM outbox"), 0);
    }
    enqueue(&world, 1, &["kept"]).await;
    world.until("outbox", "busy", 0).await;
    assert!(receivers.payloads(1).iter().all(|payload| lost.is_ok() || payload == "\"kept\""));
    world.stop().await;
}

#[actix::test]
async fn a_delivery_dies_when_its_time_is_up() {
    let (world, receivers) = (World::new(), Receivers::default());
    enqueue(&world, 1, &["old"]).await;
    world.clock.advance(Kind::Webhook.policy().lifetime);
    enqueue(&world, 1, &["new"]).await;
    world.deliver_to(&receivers).await;
    world.until("outbox", "delivered", 1).await;
    world.until("outbox", "busy", 0).await;
    assert_eq!(receivers.payloads(1), ["\"new\""]);
    assert_eq!(count(&world, "dead"), 1);
    world.stop().await;
}

#[actix::test]
async fn a_delivery_dies_after_its_last_attempt() {
    let world = World::new();
    enqueue(&world, 1, &["a"]).await;
    let [leased] = lease(&world).await.try_into().unwrap();
    let again = Verdict::Again { at: world.now() + 5, status: None, reason: "no connection".to_owned() };
    let due = world.store.write(settlement(&world, &leased, &again, 1)).await.unwrap();
    assert_eq!(due, Some(world.now() + 5));
    assert_eq!(lease(&world).await, []);
    world.clock.advance(5);
    let [leased] = lease(&world).await.try_into().unwrap();
    assert_eq!((leased.failures, leased.deliveries[0].attempts), (1, 1));
    let dead = Verdict::Dead { status: None, reason: "no connection".to_owned() };
    assert_eq!(world.store.write(settlement(&world, &leased, &dead, 2)).await.unwrap(), None);
    assert_eq!((count(&world, "dead"), world.number("SELECT attempts FROM outbox")), (1, 2));
    // The target is remembered as failing, and what is new is tried all the same.
    enqueue(&world, 1, &["b"]).await;
    assert_eq!(lease(&world).await[0].failures, 2);
    world.stop().await;
}

#[actix::test]
async fn a_lease_holds_a_few_deliveries_of_a_few_targets() {
    let world = World::new();
    for target_id in 1..=20 {
        enqueue(&world, target_id, &["a"; 10]).await;
    }
    let leased = lease(&world).await;
    assert_eq!(leased.len(), 16);
    assert!(leased.iter().all(|target| target.deliveries.len() == 8));
    assert_eq!(lease(&world).await.len(), 4);
    world.stop().await;
}

#[actix::test]
async fn finished_deliveries_are_removed_in_steps_once_they_are_old() {
    let world = World::new();
    enqueue(&world, 1, &["pending"]).await;
    world.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700) \
         INSERT INTO outbox (kind, target_id, subject_id, org_id, payload, status, created_at, expires_at, next_attempt_at, \
         finished_at) SELECT 'webhook', 1, i, 1, '{}', 'delivered', 0, 0, 0, i FROM n",
    );
    let week = 7 * 24 * HOUR;
    let purge = |now| world.store.write(PurgeDeliveries { now });
    assert!(!purge(week).await.unwrap(), "nothing is old enough");
    assert_eq!(world.number("SELECT COUNT(*) FROM outbox"), 701);
    assert!(purge(week + 1000).await.unwrap());
    assert_eq!(world.number("SELECT COUNT(*) FROM outbox"), 201);
    assert!(!purge(week + 1000).await.unwrap());
    assert_eq!((count(&world, "delivered"), count(&world, "pending")), (0, 1));
    world.stop().await;
}
