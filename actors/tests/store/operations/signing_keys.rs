//! The life of signing keys, and sealing them anew.

use std::sync::Arc;

use gatehouse_actors::data::client_registration::SigningAlgorithm;
use gatehouse_actors::data::sealed_columns::{
    ResealColumn, ResealCounts, Resealed, SIGNING_KEYS as SEALED_SIGNING_KEYS,
};
use gatehouse_actors::data::signing_keys::{
    KEY_LEAD, KEY_OVERLAP, KeyState, RotateKeyRefusal, RotateSigningKey, SealedSigningKey, SigningKeys,
    StoreFirstSigningKey, WithdrawKeyRefusal, WithdrawSigningKey, state,
};

use super::services::audit;
use crate::support::{World, refusal};

fn key(key_id: &str, algorithm: SigningAlgorithm, signs_from: i64) -> SealedSigningKey {
    let private_sealed = key_id.as_bytes().to_vec();
    let created_at = signs_from;
    SealedSigningKey {
        key_id: key_id.to_owned(),
        algorithm,
        private_sealed,
        created_at,
        signs_from,
        retired_at: None,
    }
}

use KeyState::{Active, Next, Retired, Retiring};

/// Every key with its state at a moment, newest first.
async fn states(world: &World, now: i64) -> Vec<(String, KeyState)> {
    let keys = world.store.read(SigningKeys).await.unwrap();
    keys.iter().enumerate().map(|(at, one)| (one.key_id.clone(), state(&keys, at, now))).collect()
}

fn named(states: &[(&str, KeyState)]) -> Vec<(String, KeyState)> {
    states.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect()
}

async fn first(world: &World) {
    for (key_id, algorithm) in [("rsa", SigningAlgorithm::Rs256), ("a", SigningAlgorithm::Es256)] {
        let key = key(key_id, algorithm, world.now());
        world.store.write(StoreFirstSigningKey { key }).await.unwrap();
    }
}

fn rotate(world: &World, key_id: &str) -> RotateSigningKey {
    let key = key(key_id, SigningAlgorithm::Es256, world.now() + KEY_LEAD);
    RotateSigningKey { key, audit: audit(world) }
}

fn withdraw(world: &World, key_id: &str, replacement: &str) -> WithdrawSigningKey {
    let replacement = key(replacement, SigningAlgorithm::Es256, world.now());
    WithdrawSigningKey { key_id: key_id.to_owned(), replacement, audit: audit(world) }
}

#[actix::test]
async fn a_key_is_published_before_it_signs_and_after() {
    let world = World::new();
    first(&world).await;
    let now = world.now();
    world.store.write(rotate(&world, "b")).await.unwrap();
    let again = refusal(world.store.write(rotate(&world, "c")).await);
    assert_eq!(again, RotateKeyRefusal::NextIsWaiting(now + KEY_LEAD));
    for (after, b, a) in [
        (0, Next, Active),
        (KEY_LEAD - 1, Next, Active),
        (KEY_LEAD, Active, Retiring),
        (KEY_LEAD + KEY_OVERLAP - 1, Active, Retiring),
        (KEY_LEAD + KEY_OVERLAP, Active, Retired),
    ] {
        let expected = named(&[("b", b), ("a", a), ("rsa", Active)]);
        assert_eq!(states(&world, now + after).await, expected, "{after}");
    }
    assert_eq!(world.number("SELECT COUNT(*) FROM audit_log WHERE action = 'signing_key.rotated'"), 1);
    world.stop().await;
}

#[actix::test]
async fn a_withdrawn_key_is_replaced_at_once() {
    let world = World::new();
    first(&world).await;
    assert_eq!(
        refusal(world.store.write(withdraw(&world, "nothing", "x")).await),
        WithdrawKeyRefusal::Unknown
    );
    // Without a next key the replacement signs; with one, that one signs from now on.
    assert_eq!(world.store.write(withdraw(&world, "a", "b")).await, Ok(Active));
    let now = world.now();
    assert_eq!(states(&world, now).await, named(&[("b", Active), ("a", Retired), ("rsa", Active)]));
    world.store.write(rotate(&world, "c")).await.unwrap();
    assert_eq!(world.store.write(withdraw(&world, "b", "never")).await, Ok(Active));
    let expected = named(&[("c", Active), ("b", Retired), ("a", Retired), ("rsa", Active)]);
    assert_eq!(states(&world, now).await, expected);
    let again = refusal(world.store.write(withdraw(&world, "b", "never")).await);
    assert_eq!(again, WithdrawKeyRefusal::RetiredAlready);
    world.stop().await;
}

#[actix::test]
async fn sealing_anew_touches_what_is_old_and_may_be_repeated() {
    let world = World::new();
    first(&world).await;
    let reseal = || ResealColumn {
        column: &SEALED_SIGNING_KEYS,
        reseal: Arc::new(|row| match row.sealed.as_slice() {
            b"new" => Resealed::Current,
            b"rsa" => Resealed::Unreadable,
            _ => Resealed::Anew(b"new".to_vec()),
        }),
    };
    let counts = |current, resealed, unreadable| ResealCounts { current, resealed, unreadable };
    assert_eq!(world.store.write(reseal()).await, Ok(counts(0, 1, 1)));
    assert_eq!(world.store.write(reseal()).await, Ok(counts(1, 0, 1)));
    let kept = world.text("SELECT CAST(private_sealed AS TEXT) FROM signing_keys WHERE key_id = 'rsa'");
    assert_eq!(kept.as_deref(), Some("rsa"));
    world.stop().await;
}
