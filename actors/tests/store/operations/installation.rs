//! Login states, signing keys, seeded organizations and services.

use futures_util::future::join_all;
use gatehouse_actors::data::client_registration::SigningAlgorithm;
use gatehouse_actors::data::organizations::{Ping, SeedOrganization, SeedService};
use gatehouse_actors::data::services::{ServiceByClientId, ServiceById, ServiceBySlugs};
use gatehouse_actors::data::sign_in::{ClaimLoginState, LoginStateUsed};
use gatehouse_actors::data::signing_keys::{SealedSigningKey, SigningKeys, StoreFirstSigningKey};
use gatehouse_actors::error::StoreError;

use crate::support::{World, failure, hash, platform, public_id, refusal, tenant};

const TEN_MINUTES: i64 = 10 * 60 * 1000;

fn claim(world: &World, state_hash: [u8; 32]) -> ClaimLoginState {
    ClaimLoginState { state_hash, expires_at: world.now() + TEN_MINUTES, now: world.now() }
}

#[actix::test]
async fn a_login_state_works_once_also_among_twenty_at_once() {
    let world = World::new();
    let state = claim(&world, hash());
    let answers = join_all((0..20).map(|_| world.store.write(state.clone()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(refusal(world.store.write(state).await), LoginStateUsed);
    world.store.write(claim(&world, hash())).await.unwrap();
    world.stop().await;
}

#[actix::test]
async fn an_expired_login_state_never_works() {
    let world = World::new();
    let state = claim(&world, hash());
    for late in [TEN_MINUTES, TEN_MINUTES + 1, 10 * TEN_MINUTES] {
        let late = ClaimLoginState { now: state.now + late, ..state.clone() };
        assert_eq!(refusal(world.store.write(late).await), LoginStateUsed);
    }
    let in_time = ClaimLoginState { now: state.expires_at - 1, ..state.clone() };
    world.store.write(in_time).await.unwrap();
    // Its row may have left by now. That must not make it good again.
    world.clock.advance(10 * TEN_MINUTES);
    world.store.write(claim(&world, hash())).await.unwrap();
    assert_eq!(world.number("SELECT COUNT(*) FROM login_state_claims"), 1);
    let replay = ClaimLoginState { now: world.now(), ..state };
    assert_eq!(refusal(world.store.write(replay).await), LoginStateUsed);
    world.stop().await;
}

#[actix::test]
async fn the_first_signing_key_stays_the_first() {
    let world = World::new();
    assert_eq!(world.store.read(SigningKeys).await, Ok(vec![]));
    let key = |key_id: &str| SealedSigningKey {
        key_id: key_id.to_owned(),
        algorithm: SigningAlgorithm::Es256,
        private_sealed: vec![1, 2, 3],
        created_at: world.now(),
        signs_from: world.now(),
        retired_at: None,
    };
    let store = |key_id| world.store.write(StoreFirstSigningKey { key: key(key_id) });
    let (first, second) = futures_util::join!(store("first"), store("second"));
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert_eq!(world.store.read(SigningKeys).await, Ok(vec![key("first")]));
    world.stop().await;
}

#[actix::test]
async fn services_are_found_by_client_slugs_and_id() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let by_client = ServiceByClientId { client_id: "acme-web".to_owned() };
    assert_eq!(world.store.read(by_client).await, Ok(Some(acme.web.clone())));
    assert_eq!(world.store.read(ServiceById { id: acme.web.id }).await, Ok(Some(acme.web)));
    assert_eq!(world.store.read(ServiceByClientId { client_id: "ACME-WEB".to_owned() }).await, Ok(None));
    assert_eq!(world.store.read(ServiceById { id: 4711 }).await, Ok(None));
    // A slug is a name inside its organization only.
    tenant(&world, "globex").await;
    let mixed = ServiceBySlugs { org_slug: "globex".to_owned(), service_slug: "admin-cli".to_owned() };
    assert_eq!(world.store.read(mixed).await, Ok(None));
    assert_eq!(platform(&world).await.client_id, "platform-admin-cli");
    world.store.read(Ping).await.unwrap();
    world.stop().await;
}

#[actix::test]
async fn seeding_again_replaces_the_redirect_uris_and_nothing_else() {
    let world = World::new();
    let before = tenant(&world, "acme").await;
    let again = SeedOrganization {
        public_id: public_id(),
        slug: "acme".to_owned(),
        name: "renamed".to_owned(),
        claim_email: None,
        services: vec![SeedService {
            public_id: public_id(),
            plan_public_id: public_id(),
            slug: "web".to_owned(),
            name: "renamed".to_owned(),
            service_type: "api",
            client_id: "renamed".to_owned(),
            redirect_uris: vec!["http://127.0.0.1:4000/dev".to_owned()],
        }],
        now: world.now() + 1,
    };
    world.store.write(again).await.unwrap();
    let after = world.store.read(ServiceById { id: before.web.id }).await.unwrap().unwrap();
    let mut expected = before.web;
    expected.redirect_uris = vec!["http://127.0.0.1:4000/dev".to_owned()];
    assert_eq!(after, expected);
    assert_eq!(world.number("SELECT COUNT(*) FROM plans"), 2);
    world.stop().await;
}

#[actix::test]
async fn two_services_cannot_have_one_client_id() {
    let world = World::new();
    tenant(&world, "acme").await;
    let rival = SeedOrganization {
        public_id: public_id(),
        slug: "globex".to_owned(),
        name: "Globex".to_owned(),
        claim_email: None,
        services: vec![SeedService {
            public_id: public_id(),
            plan_public_id: public_id(),
            slug: "web".to_owned(),
            name: "Web".to_owned(),
            service_type: "web",
            client_id: "acme-web".to_owned(),
            redirect_uris: vec![],
        }],
        now: world.now(),
    };
    assert!(matches!(failure(world.store.write(rival).await), StoreError::Constraint(_)));
    // The organization was written before the service failed: it must be gone as well.
    assert_eq!(world.number("SELECT COUNT(*) FROM organizations WHERE slug = 'globex'"), 0);
    world.stop().await;
}
