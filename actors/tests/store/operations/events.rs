//! The feed: every event once, in order, for whoever follows; and what is told of sessions that end.

use std::time::Instant;

use futures_util::future::join_all;
use gatehouse_actors::data::PLATFORM_ORG_ID;
use gatehouse_actors::data::end_users::{EraseUser, RevokeUserSessions};
use gatehouse_actors::data::ended_sessions::{AnySessionEnded, TellOfEndedSessions};
use gatehouse_actors::data::events::{
    EVENT_LIFETIME, Event, EventType, EventsAfter, OutOfReach, Position, PurgeEvents,
};
use gatehouse_actors::data::organizations::RenameOrganization;
use gatehouse_actors::data::outbox::LeaseTargets;
use gatehouse_actors::data::services::Service;
use gatehouse_actors::data::sessions::EndSession;

use crate::support::{World, audit, code_for, person, platform, redeem_code, tenant};

async fn after(world: &World, org_id: i64, position: Position) -> Result<Vec<Event>, OutOfReach> {
    let question = EventsAfter { org_id, position, types: None, limit: 100 };
    world.store.read(question).await.unwrap().map(|page| page.events)
}

async fn words(world: &World, org_id: i64) -> Vec<String> {
    let events = after(world, org_id, Position::Oldest).await.unwrap();
    events.into_iter().map(|event| event.event_type).collect()
}

/// Signs a person in; the public id of the session.
async fn sign_in(world: &World, service: &Service, name: &str) -> String {
    let arrived = code_for(world, service, person(world, service.org_id, name)).await;
    world.store.write(redeem_code(world, service, &arrived)).await.unwrap();
    world.text("SELECT public_id FROM sessions ORDER BY id DESC LIMIT 1").unwrap()
}

async fn tell(world: &World) -> bool {
    world.store.write(TellOfEndedSessions { now: world.now() }).await.unwrap()
}

fn rename(world: &World, id: i64, name: &str) -> RenameOrganization {
    RenameOrganization { id, name: name.to_owned(), audit: audit(world) }
}

#[actix::test]
async fn each_organization_counts_its_own_events() {
    let world = World::new();
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    sign_in(&world, &acme.web, "ann").await;
    sign_in(&world, &other.web, "ann").await;
    sign_in(&world, &acme.web, "ann").await;
    sign_in(&world, &platform(&world).await, "root").await;
    assert_eq!(words(&world, acme.org_id).await, ["user.created", "session.created", "session.created"]);
    assert_eq!(words(&world, other.org_id).await, ["user.created", "session.created"]);
    assert_eq!(words(&world, PLATFORM_ORG_ID).await, [""; 0], "the platform realm has no feed");
    let sequences = "SELECT group_concat(org_id || ':' || sequence) FROM events";
    let expected = format!("{0}:1,{0}:2,{0}:3,{1}:1,{1}:2", acme.org_id, other.org_id);
    assert_eq!(world.text(sequences), Some(expected));
    world.stop().await;
}

#[actix::test]
async fn an_audited_change_is_an_event_and_a_refused_one_is_none() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    world.store.write(rename(&world, acme.org_id, "Acme")).await.unwrap();
    // Nothing changes, so nothing happened.
    world.store.write(rename(&world, acme.org_id, "Acme")).await.unwrap();
    let events = after(&world, acme.org_id, Position::Oldest).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event_type, EventType::OrganizationRenamed.as_str());
    assert!(events[0].data.contains(r#""after":{"name":"Acme"}"#), "{}", events[0].data);
    world.stop().await;
}

#[actix::test]
async fn a_follower_sees_every_event_once_and_in_order_while_others_write() {
    const WRITERS: usize = 8;
    const EACH: usize = 40;
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let mut news = world.store.bulletin().events_of(acme.org_id);
    let writers = (0..WRITERS).map(|writer| {
        let (store, changes) = (
            world.store.clone(),
            (0..EACH).map(|n| rename(&world, acme.org_id, &format!("{writer}-{n}"))).collect::<Vec<_>>(),
        );
        actix::spawn(async move {
            for change in changes {
                store.write(change).await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut seen: Vec<Event> = Vec::new();
    while seen.len() < WRITERS * EACH {
        news.mark_unchanged();
        let position =
            seen.last().map_or(Position::Oldest, |event| Position::After(event.sequence, event.created_at));
        let question = EventsAfter { org_id: acme.org_id, position, types: None, limit: 7 };
        let page = world.store.read(question).await.unwrap().unwrap();
        let nothing = page.events.is_empty();
        seen.extend(page.events);
        if nothing {
            news.changed().await.unwrap();
        }
    }
    join_all(writers).await;
    let sequences: Vec<i64> = seen.iter().map(|event| event.sequence).collect();
    let expected: Vec<i64> = (1..).take(WRITERS * EACH).collect();
    assert_eq!(sequences, expected);
    world.stop().await;
}

#[actix::test]
async fn a_filter_moves_the_cursor_past_what_it_leaves_out() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    sign_in(&world, &acme.web, "ann").await;
    let types = Some(vec![EventType::OrganizationRenamed]);
    let question = EventsAfter { org_id: acme.org_id, position: Position::Oldest, types, limit: 10 };
    let page = world.store.read(question).await.unwrap().unwrap();
    assert_eq!((page.events.len(), page.last, page.has_more), (0, Some((2, world.now())), false));
    let newest = EventsAfter { org_id: acme.org_id, position: Position::Newest, types: None, limit: 10 };
    let page = world.store.read(newest).await.unwrap().unwrap();
    assert_eq!((page.events.len(), page.last), (0, Some((2, world.now()))));
    world.stop().await;
}

#[actix::test]
async fn old_events_are_purged_but_the_newest_and_a_cursor_among_them_is_told_so() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    for name in ["1", "2", "3", "4"] {
        world.store.write(rename(&world, acme.org_id, name)).await.unwrap();
    }
    let long_ago = world.now();
    world.clock.advance(EVENT_LIFETIME + 1);
    let purge = async || world.store.write(PurgeEvents { after_org_id: 0, now: world.now() }).await.unwrap();
    assert_eq!(purge().await, None);
    assert_eq!(world.number("SELECT MIN(sequence) * 10 + COUNT(*) FROM events"), 41);
    world.store.write(rename(&world, acme.org_id, "5")).await.unwrap();
    assert_eq!(world.number("SELECT MAX(sequence) FROM events"), 5, "numbers never begin again");
    // Who saw the third goes on; who saw only the first would miss something.
    let from = async |sequence, at| after(&world, acme.org_id, Position::After(sequence, at)).await;
    assert_eq!(from(3, long_ago).await.unwrap().len(), 2);
    assert_eq!(from(1, long_ago).await, Err(OutOfReach));
    assert_eq!(from(6, world.now()).await, Err(OutOfReach));
    assert_eq!(from(5, world.now()).await, Ok(Vec::new()));
    // The number of another history, before a backup was restored.
    assert_eq!(from(5, long_ago).await, Err(OutOfReach));
    world.stop().await;
}

#[actix::test]
async fn however_a_session_ends_the_feed_and_the_service_are_told_once() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    world.execute(
        "UPDATE services SET backchannel_logout_uri = 'https://app.example/logout' WHERE slug = 'web'",
    );
    let ended = sign_in(&world, &acme.web, "ann").await;
    let end = EndSession { public_id: ended.clone(), reason: "logout", now: world.now() };
    world.store.write(end.clone()).await.unwrap();
    world.store.write(end).await.unwrap();
    sign_in(&world, &acme.web, "bob").await;
    let user = |name: &str| {
        world.text(&format!("SELECT public_id FROM users WHERE email = '{name}@example.com'")).unwrap()
    };
    let (org_id, user_public_id) = (acme.org_id, user("bob"));
    let revoke = RevokeUserSessions { org_id, user_public_id, audit: audit(&world) };
    world.store.write(revoke).await.unwrap();
    world.execute(
        "UPDATE services SET redirect_uris = (SELECT redirect_uris FROM services WHERE slug = 'web')",
    );
    sign_in(&world, &acme.terminal, "cleo").await;
    let erase = EraseUser { org_id, user_public_id: user("cleo"), audit: audit(&world) };
    world.store.write(erase).await.unwrap();

    assert!(world.store.read(AnySessionEnded).await.unwrap());
    assert!(!tell(&world).await);
    assert!(!world.store.read(AnySessionEnded).await.unwrap());
    assert!(!tell(&world).await, "each is told of once");
    let words = words(&world, org_id).await;
    assert_eq!(words.iter().filter(|word| *word == "session.ended").count(), 3);
    let leased = world.store.write(LeaseTargets { limit: 16, now: world.now() }).await.unwrap();
    let [target] = leased.try_into().unwrap();
    assert_eq!((target.target_id, target.deliveries.len()), (acme.web.id, 2), "the terminal wants none");
    let payload = &target.deliveries[0].payload;
    assert!(payload.contains(&ended) && payload.contains(&user("ann")), "{payload}");
    world.stop().await;
}

#[actix::test]
async fn ten_thousand_ended_sessions_are_told_of_in_short_steps() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    world.execute(
        "UPDATE services SET backchannel_logout_uri = 'https://app.example/logout' WHERE slug = 'web'",
    );
    sign_in(&world, &acme.web, "ann").await;
    world.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) \
         INSERT INTO sessions (public_id, org_id, service_id, user_id, provider, method, scope, authenticated_at, \
         created_at, expires_at) SELECT 'session-' || i, org_id, service_id, user_id, provider, method, scope, \
         authenticated_at, created_at, expires_at FROM n, sessions",
    );
    let user_public_id = world.text("SELECT public_id FROM users WHERE org_id > 1").unwrap();
    let revoke = RevokeUserSessions { org_id: acme.org_id, user_public_id, audit: audit(&world) };
    let begun = Instant::now();
    assert_eq!(world.store.write(revoke).await.unwrap(), 10_000);
    let ended_within = begun.elapsed();
    let (mut steps, mut longest) = (1, std::time::Duration::ZERO);
    loop {
        let begun = Instant::now();
        let more = tell(&world).await;
        longest = longest.max(begun.elapsed());
        if !more {
            break;
        }
        steps += 1;
    }
    println!("10,000 sessions ended in {ended_within:?}; told of in {steps} steps, the longest {longest:?}");
    assert_eq!(steps, 51);
    assert_eq!(world.number("SELECT COUNT(*) FROM outbox"), 10_000);
    assert_eq!(world.number("SELECT COUNT(*) FROM events WHERE type = 'session.ended'"), 10_000);
    assert_eq!(world.number("SELECT COUNT(*) FROM outbox_targets"), 1);
    world.stop().await;
}
