//! The vault's rows: what is kept, what a late refresh may not touch, whose lease it is, and what the log tells.

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::due_grants::{LeaseDueGrants, PostponeGrant};
use gatehouse_actors::data::provider_grants::{
    EndGrant, GrantChanged, NewGrant, ProviderGrant, RecordTokenRead, StoreRefreshed, UsableGrant,
};

use super::services::{actions, audit};
use crate::support::{Tenant, World, code_for, person, refusal, tenant};

const HOUR: Millis = 60 * 60 * 1000;

fn grant(access: &[u8], refresh: Option<&[u8]>, due_at: Option<Millis>) -> NewGrant {
    NewGrant {
        scopes: vec!["calendar".to_owned()],
        access_token_sealed: access.to_vec(),
        refresh_token_sealed: refresh.map(<[u8]>::to_vec),
        access_expires_at: due_at,
        refresh_due_at: due_at,
    }
}

/// A tenant whose web service asks Google for the calendar.
async fn calling_tenant(world: &World) -> Tenant {
    let acme = tenant(world, "acme").await;
    world.execute("UPDATE services SET google_scopes = '[\"calendar\"]' WHERE client_id = 'acme-web'");
    acme
}

async fn sign_in(world: &World, acme: &Tenant, name: &str, grant: NewGrant) {
    let mut arrival = person(world, acme.org_id, name);
    arrival.grant = Some(grant);
    code_for(world, &acme.web, arrival).await;
}

async fn stored(world: &World, id: i64) -> ProviderGrant {
    world.store.read(UsableGrant { id }).await.unwrap().unwrap()
}

fn refreshed(world: &World, generation: i64) -> StoreRefreshed {
    let due_at = Some(world.now() + HOUR);
    StoreRefreshed { id: 1, generation, grant: grant(b"refreshed", None, due_at), now: world.now() }
}

#[actix::test]
async fn tokens_are_kept_only_for_a_service_that_asks_for_something() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    sign_in(&world, &acme, "ann", grant(b"a", Some(b"r"), None)).await;
    assert_eq!(world.number("SELECT COUNT(*) FROM provider_grants"), 0);
    calling_tenant(&world).await;
    sign_in(&world, &acme, "ann", grant(b"a", Some(b"r"), None)).await;
    let kept = stored(&world, 1).await;
    assert_eq!((kept.generation, kept.access_token_sealed.as_slice()), (1, b"a".as_slice()));
    world.execute("UPDATE organizations SET status = 'suspended' WHERE slug = 'acme'");
    assert!(world.store.read(UsableGrant { id: 1 }).await.unwrap().is_none());
    world.stop().await;
}

#[actix::test]
async fn a_refresh_token_that_did_not_come_again_stays_unless_the_grant_was_over() {
    let world = World::new();
    let acme = calling_tenant(&world).await;
    sign_in(&world, &acme, "ann", grant(b"a1", Some(b"r1"), None)).await;
    sign_in(&world, &acme, "ann", grant(b"a2", None, None)).await;
    let kept = stored(&world, 1).await;
    assert_eq!((kept.generation, kept.refresh_token_sealed.as_deref()), (2, Some(b"r1".as_slice())));
    let end = EndGrant { id: 1, generation: 2, now: world.now() };
    assert!(world.store.write(end).await.unwrap());
    assert!(stored(&world, 1).await.is_over);
    sign_in(&world, &acme, "ann", grant(b"a3", None, None)).await;
    let kept = stored(&world, 1).await;
    assert_eq!((kept.is_over, kept.refresh_token_sealed), (false, None), "a dead token is not kept");
    world.stop().await;
}

#[actix::test]
async fn a_late_refresh_takes_the_place_of_nothing_newer() {
    let world = World::new();
    let acme = calling_tenant(&world).await;
    sign_in(&world, &acme, "ann", grant(b"a1", Some(b"r1"), None)).await;
    sign_in(&world, &acme, "ann", grant(b"a2", Some(b"r2"), None)).await;
    assert!(!world.store.write(refreshed(&world, 1)).await.unwrap());
    assert!(!world.store.write(EndGrant { id: 1, generation: 1, now: world.now() }).await.unwrap());
    assert_eq!(stored(&world, 1).await.access_token_sealed, b"a2");
    assert!(world.store.write(refreshed(&world, 2)).await.unwrap());
    let kept = stored(&world, 1).await;
    assert_eq!((kept.generation, kept.access_token_sealed.as_slice()), (3, b"refreshed".as_slice()));
    assert_eq!(kept.refresh_token_sealed.as_deref(), Some(b"r2".as_slice()), "the old one is kept");
    assert!(!world.store.write(refreshed(&world, 2)).await.unwrap(), "once");
    world.stop().await;
}

#[actix::test]
async fn a_lease_is_one_holders_and_ends_by_itself() {
    let world = World::new();
    let acme = calling_tenant(&world).await;
    let now = world.now();
    for (name, due_at) in [("ann", now - 2), ("bob", now - 1), ("eve", now + HOUR)] {
        sign_in(&world, &acme, name, grant(b"a", Some(b"r"), Some(due_at))).await;
    }
    let lease = |now: Millis| LeaseDueGrants { now, until: now + 1000, limit: 1 };
    let ids = async |lease: LeaseDueGrants| {
        let leased = world.store.write(lease).await.unwrap();
        leased.into_iter().map(|grant| grant.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(lease(now)).await, [1], "who is due longest comes first");
    assert_eq!(ids(lease(now)).await, [2]);
    assert_eq!(ids(lease(now)).await, [0_i64; 0], "nobody else is due");
    let later = PostponeGrant { id: 1, leased_until: now + 1000, due_at: Some(now + 5000), failed: true };
    world.store.write(later).await.unwrap();
    let stranger = PostponeGrant { id: 2, leased_until: now + 999, due_at: None, failed: false };
    world.store.write(stranger).await.unwrap();
    assert_eq!(ids(lease(now + 1000)).await, [2], "the holder died; its lease did as well");
    assert_eq!(ids(lease(now + 1000)).await, [0_i64; 0]);
    assert_eq!(stored(&world, 1).await.failures, 1);
    let done = PostponeGrant { id: 2, leased_until: now + 2000, due_at: None, failed: false };
    world.store.write(done).await.unwrap();
    assert_eq!(world.number("SELECT COUNT(*) FROM provider_grants WHERE refresh_due_at IS NULL"), 1);
    world.stop().await;
}

#[actix::test]
async fn the_log_tells_of_the_first_read_and_then_of_each_hour() {
    let world = World::new();
    let acme = calling_tenant(&world).await;
    sign_in(&world, &acme, "ann", grant(b"a", Some(b"r"), None)).await;
    let read = async |generation: i64| {
        let mut grant = stored(&world, 1).await;
        grant.generation = generation;
        let receipt = RecordTokenRead { grant, client_id: "acme-web".to_owned(), audit: audit(&world) };
        world.store.write(receipt).await
    };
    for _ in 0..3 {
        read(1).await.unwrap();
    }
    assert_eq!(actions(&world, acme.org_id), ["provider_token.first_read"]);
    world.clock.advance(HOUR);
    read(1).await.unwrap();
    assert_eq!(actions(&world, acme.org_id), ["provider_token.first_read", "provider_token.read"]);
    let told = world.text("SELECT metadata FROM audit_log ORDER BY id DESC LIMIT 1").unwrap();
    assert!(told.contains("\"reads_since_last_entry\":2"), "{told}");
    assert_eq!(refusal(read(2).await), GrantChanged, "what is handed out is what is stored");
    world.execute("UPDATE organizations SET status = 'suspended' WHERE slug = 'acme'");
    let grant = ProviderGrant { generation: 1, ..read_raw(&world) };
    let receipt = RecordTokenRead { grant, client_id: "acme-web".to_owned(), audit: audit(&world) };
    assert_eq!(refusal(world.store.write(receipt).await), GrantChanged);
    world.stop().await;
}

/// The grant as a caller has it who read it before the suspension.
fn read_raw(world: &World) -> ProviderGrant {
    ProviderGrant {
        id: 1,
        org_id: world.number("SELECT org_id FROM provider_grants"),
        user_id: world.number("SELECT user_id FROM provider_grants"),
        service_id: world.number("SELECT service_id FROM provider_grants"),
        provider: "google".to_owned(),
        issuer: String::new(),
        subject: String::new(),
        credential_version: None,
        generation: 1,
        is_over: false,
        scopes: Vec::new(),
        access_token_sealed: Vec::new(),
        refresh_token_sealed: None,
        access_expires_at: None,
        failures: 0,
    }
}
