//! What is swept out and what stays, and that nobody waits for it.

use futures_util::future::join_all;
use gatehouse_actors::data::end_users::EndUsers;
use gatehouse_actors::data::login_proof::CompareLoginCounts;
use gatehouse_actors::engine::{Statement, WriteTx};
use gatehouse_actors::error::OpError;
use gatehouse_actors::message::WriteOp;
use gatehouse_actors::values;

use crate::support::{
    World, code_for, hold_writer, issue_device_code, person, redeem_code, spawn_write, tenant,
};

const MINUTE: i64 = 60 * 1000;
const DAY: i64 = 24 * 60 * MINUTE;

fn rows(world: &World, table: &str) -> i64 {
    world.number(&format!("SELECT COUNT(*) FROM {table}"))
}

/// Login states that expired long ago.
fn litter(world: &World, count: i64) {
    world.execute(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
         INSERT INTO login_state_claims (state_hash, expires_at) SELECT CAST(i AS BLOB), 1 FROM n"
    ));
}

#[actix::test]
async fn codes_leave_after_their_time_of_recognition_and_not_before() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    issue_device_code(&world, &acme.terminal).await.unwrap();
    world.execute(&format!(
        "INSERT INTO login_state_claims (state_hash, expires_at) VALUES (x'01', {0}); \
         INSERT INTO revoked_access_tokens (jti, expires_at) VALUES ('a', {0})",
        world.now() + MINUTE
    ));
    let left = async |advance: i64| {
        world.clock.advance(advance);
        world.store.keep_house().await;
        (
            rows(&world, "authorization_codes"),
            rows(&world, "device_codes"),
            rows(&world, "login_state_claims"),
        )
    };
    assert_eq!(left(MINUTE).await, (1, 1, 1));
    assert_eq!(left(MINUTE).await, (1, 1, 0));
    assert_eq!(
        left(72 * MINUTE).await,
        (1, 1, 0),
        "an hour and a quarter after the device code was asked for"
    );
    assert_eq!(left(2 * MINUTE).await, (1, 0, 0));
    assert_eq!(left(DAY).await, (0, 0, 0));
    assert_eq!(rows(&world, "revoked_access_tokens"), 0);
    assert_eq!(world.figure("housekeeper", "authorization_codes").await, 1);
    assert_eq!(world.figure("housekeeper", "rounds").await, 5);
}

#[actix::test]
async fn a_session_that_is_over_leaves_with_its_tokens_and_the_newest_one_stays() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let sign_in = async |name: &str| {
        let arrived = code_for(&world, &acme.web, person(&world, acme.org_id, name)).await;
        let redeem = redeem_code(&world, &acme.web, &arrived);
        world.store.write(redeem.clone()).await.unwrap();
        redeem.session
    };
    sign_in("ann").await;
    sign_in("ann").await;
    sign_in("bob").await;
    world.execute(&format!("UPDATE sessions SET ended_at = {}, ended_reason = 'logout'", world.now()));
    let living = sign_in("ann").await;
    let left = async |advance: i64| {
        world.clock.advance(advance);
        world.store.keep_house().await;
        (rows(&world, "sessions"), rows(&world, "refresh_tokens"))
    };
    assert_eq!(left(29 * DAY).await, (4, 4));
    assert_eq!(left(3 * DAY).await, (2, 0), "ann's ended ones are gone; bob's is the only one of his");

    let still_there = world.text("SELECT group_concat(public_id) FROM sessions WHERE ended_at IS NULL");
    assert_eq!(still_there, Some(living.public_id), "nobody ended this one");
    let users = EndUsers {
        org_id: acme.org_id,
        email: None,
        service_slug: Some("web".to_owned()),
        limit: 10,
        offset: 0,
        now: world.now(),
    };
    assert_eq!(world.store.read(users).await.unwrap().total, 2, "both were ever there");
    assert_eq!(
        world.text("SELECT group_concat(integrity_check) FROM pragma_integrity_check"),
        Some("ok".into())
    );
}

#[actix::test]
async fn rows_of_a_clock_that_was_ahead_hold_up_nothing_that_came_after_them() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let arrived = code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    world.store.write(redeem_code(&world, &acme.web, &arrived)).await.unwrap();
    let ahead = world.now() + 3650 * DAY;
    // More than one piece of them, and then rows of the right time.
    world.execute(&format!(
        "UPDATE login_events SET created_at = {ahead}; \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) \
         INSERT INTO login_events (public_id, org_id, service_id, provider, method, succeeded, ip_address, \
         user_agent, created_at) SELECT 'e' || i, org_id, service_id, provider, method, 0, '', '', \
         CASE WHEN i < 1100 THEN {ahead} ELSE {now} END FROM n, login_events WHERE id = 1; \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) \
         INSERT INTO login_state_claims (state_hash, expires_at) \
         SELECT CAST(i AS BLOB), CASE WHEN i < 1100 THEN {ahead} ELSE {now} END FROM n",
        now = world.now(),
    ));
    world.clock.advance(100 * DAY);
    for _ in 0..4 {
        world.store.keep_house().await;
    }
    let of_now = |table: &str, moment: &str| {
        world.number(&format!("SELECT COUNT(*) FROM {table} WHERE {moment} < {ahead}"))
    };
    assert_eq!((of_now("login_events", "created_at"), rows(&world, "login_events")), (0, 1_100));
    assert_eq!((of_now("login_state_claims", "expires_at"), rows(&world, "login_state_claims")), (0, 1_099));
}

#[actix::test]
async fn events_leave_by_whole_days_and_their_counts_stay() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    for _ in 0..4 {
        let arrived = code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
        world.store.write(redeem_code(&world, &acme.web, &arrived)).await.unwrap();
        world.clock.advance(DAY / 2);
    }
    // The last one was yesterday at noon; the world keeps events for 90 days beside today.
    let counts = world.text("SELECT group_concat(day || ':' || successes || ':' || users) FROM login_days");
    let left = async |advance: i64| {
        world.clock.advance(advance);
        world.store.keep_house().await;
        rows(&world, "login_events")
    };
    assert_eq!(left(88 * DAY).await, 4);
    assert_eq!(left(DAY - 1).await, 4);
    assert_eq!(left(1).await, 2);
    assert_eq!(left(DAY).await, 0);
    assert_eq!(
        counts,
        world.text("SELECT group_concat(day || ':' || successes || ':' || users) FROM login_days")
    );
    assert_eq!(rows(&world, "platform_login_minutes"), 0);
    let compared = world.store.read(CompareLoginCounts).await.unwrap();
    assert!(compared.iter().all(|table| table.differences == 0), "{compared:?}");
}

#[actix::test]
async fn much_is_swept_in_many_pieces() {
    let world = World::new();
    litter(&world, 3_200);
    world.store.keep_house().await;
    assert_eq!(rows(&world, "login_state_claims"), 0);
    assert_eq!(world.figure("housekeeper", "login_states").await, 3_200);
    assert!(world.figure("housekeeper", "pieces").await > 7);
}

/// Counts what is left when it is applied.
struct CountLitter;

const COUNT: &Statement = &Statement { name: "COUNT", sql: "SELECT COUNT(*) FROM login_state_claims" };

impl WriteOp for CountLitter {
    type Output = i64;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<i64, OpError<()>> {
        Ok(tx.one(COUNT, values![], |row| row.get(0))?)
    }
}

#[actix::test]
async fn writes_that_wait_go_first() {
    let world = World::new();
    litter(&world, 10);
    let gate = hold_writer(&world).await;
    let store = world.store.clone();
    let round = actix::spawn(async move { store.keep_house().await });
    world.until("commit_queue", "background", 1).await;
    let counted = spawn_write(&world.store, CountLitter);
    world.until("commit_queue", "waiting", 1).await;
    drop(gate);
    assert_eq!(counted.await.unwrap(), 10);
    round.await.unwrap();
    assert_eq!(rows(&world, "login_state_claims"), 0);
}

#[actix::test]
async fn a_queue_that_is_never_empty_does_not_starve_the_housekeeper() {
    let world = World::new();
    litter(&world, 10);
    let store = world.store.clone();
    let round = actix::spawn(async move { store.keep_house().await });
    // So many writers that some wait whenever others are in flight.
    let writer = async || {
        while world.figure("housekeeper", "rounds").await == 0 {
            world.store.write(CountLitter).await.unwrap();
        }
    };
    join_all((0..64).map(|_| writer())).await;
    round.await.unwrap();
    assert_eq!(rows(&world, "login_state_claims"), 0);
}

#[actix::test]
async fn a_stop_waits_for_a_piece_and_not_for_the_round() {
    let world = World::new();
    litter(&world, 200_000);
    let path = world.path();
    let store = world.store.clone();
    actix::spawn(async move { store.keep_house().await });
    while world.figure("housekeeper", "login_states").await == 0 {}
    let folder = world.stop().await;
    let connection = rusqlite::Connection::open(path).unwrap();
    let left: i64 =
        connection.query_row("SELECT COUNT(*) FROM login_state_claims", [], |row| row.get(0)).unwrap();
    assert!(left > 0 && left % 500 == 0, "{left}");
    drop(folder);
}

#[actix::test]
async fn events_of_stripe_leave_a_month_after_they_were_worked_off_and_given_up_ones_a_year_later() {
    let world = World::new();
    let now = world.now();
    let event = |name: &str, status: &str, finished_at: Option<i64>| {
        let finished_at = finished_at.map_or("NULL".to_owned(), |moment| moment.to_string());
        world.execute(&format!(
            "INSERT INTO stripe_events (org_id, event_id, event_type, queue_key, created_at, received_at, payload, \
             status, next_attempt_at, finished_at) VALUES (1, '{name}', 'x', '1:{name}', 0, 0, x'7b7d', '{status}', \
             9000000000000, {finished_at})"
        ));
    };
    // More than one piece of those that stay stands before the ones that go.
    for number in 0..600 {
        event(&format!("dead{number}"), "dead", Some(now));
    }
    event("waiting", "waiting", None);
    event("ignored", "ignored", Some(now));
    event("applied", "applied", Some(now + DAY));
    let left = async |advance: i64| {
        world.clock.advance(advance);
        world.store.keep_house().await;
        rows(&world, "stripe_events")
    };
    assert_eq!(left(30 * DAY).await, 603);
    assert_eq!(left(1).await, 602, "exactly a month is kept");
    assert_eq!(left(DAY).await, 601);
    assert_eq!(left(363 * DAY).await, 601, "what was given up stays for a year longer");
    assert_eq!(left(2 * DAY).await, 1, "and what waits stays");
    assert_eq!(world.figure("housekeeper", "stripe_events").await, 602);
    world.stop().await;
}
