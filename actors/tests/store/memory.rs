//! What is kept in memory is never older than what somebody was told.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatehouse_actors::data::access_tokens::{AccessTokenStanding, RevokeAccessToken, TokenStanding};
use gatehouse_actors::data::authorization_codes::CodeRedemption;
use gatehouse_actors::data::oauth_credentials::{OauthCredentialOf, OwnOauthCredential};
use gatehouse_actors::data::services::ServiceBySlugs;
use gatehouse_actors::data::sessions::EndSession;
use gatehouse_actors::engine::Statement;
use rusqlite::Connection;

use crate::support::{Run, World, code_for, person, public_id, redeem_code, tenant};

/// Long enough for a loaded machine; only a failing test ever waits so long.
const DEADLINE: Duration = Duration::from_secs(10);

/// A world with one session, as the question that a token of it asks.
async fn signed_in() -> (World, AccessTokenStanding) {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let arrived = code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let redeem = redeem_code(&world, &acme.web, &arrived);
    let session_public_id = redeem.session.public_id.clone();
    assert!(matches!(world.store.write(redeem).await.unwrap(), CodeRedemption::Granted { .. }));
    (world, AccessTokenStanding { session_public_id, jti: public_id() })
}

async fn recall(world: &World, question: &AccessTokenStanding) -> Arc<TokenStanding> {
    world.store.recall(question.clone()).await.unwrap().unwrap()
}

/// Asks until the answer is the very one of before: it comes from memory.
async fn keep(world: &World, question: &AccessTokenStanding) {
    let begun = Instant::now();
    let mut last = recall(world, question).await;
    loop {
        let next = recall(world, question).await;
        if Arc::ptr_eq(&last, &next) {
            return;
        }
        assert!(begun.elapsed() < DEADLINE, "it is never kept");
        last = next;
    }
}

#[actix::test]
async fn nobody_finds_a_session_alive_after_its_end_was_told() {
    for _ in 0..8 {
        let (world, question) = signed_in().await;
        keep(&world, &question).await;
        let told = Rc::new(Cell::new(false));
        let askers = (0..16).map(|_| {
            let (told, store, question) = (Rc::clone(&told), world.store.clone(), question.clone());
            let now = world.now();
            async move {
                let mut after = 0;
                while after < 50 {
                    let known = told.get();
                    let standing = store.recall(question.clone()).await.unwrap().unwrap();
                    assert!(!known || !standing.subject.is_live(now), "alive after its end was told");
                    after += u32::from(known);
                    actix::clock::sleep(Duration::ZERO).await;
                }
            }
        });
        let askers: Vec<_> = askers.map(actix::spawn).collect();
        let end =
            EndSession { public_id: question.session_public_id.clone(), reason: "logout", now: world.now() };
        world.store.write(end).await.unwrap();
        told.set(true);
        assert!(!recall(&world, &question).await.subject.is_live(world.now()));
        for asker in askers {
            asker.await.unwrap();
        }
        world.stop().await;
    }
}

#[actix::test]
async fn every_table_that_an_answer_rests_on_is_heard() {
    const CHANGES: [Statement; 8] = [
        Statement { name: "session", sql: "UPDATE sessions SET scope = 'openid' WHERE id > 0" },
        Statement { name: "user", sql: "UPDATE users SET name = 'Another' WHERE id > 0" },
        Statement { name: "suspension", sql: "UPDATE organizations SET status = 'suspended' WHERE id > 0" },
        Statement { name: "service", sql: "UPDATE services SET slug = 'at-' || id WHERE id > 0" },
        Statement { name: "plan", sql: "UPDATE plans SET name = 'gold' WHERE id > 0" },
        Statement {
            name: "subscription",
            sql: "INSERT INTO subscriptions (public_id, user_id, service_id, plan_id, status, created_at, updated_at) \
                  SELECT 'x', x.user_id, x.service_id, p.id, 'active', 0, 0 FROM sessions x JOIN plans p \
                  ON p.service_id = x.service_id",
        },
        Statement { name: "end", sql: "UPDATE sessions SET ended_at = 1 WHERE id > 0" },
        // The session goes with its user, by a foreign key.
        Statement { name: "cascade", sql: "DELETE FROM users WHERE id > 0" },
    ];
    let (world, question) = signed_in().await;
    for change in CHANGES.chunks(1) {
        keep(&world, &question).await;
        let before = recall(&world, &question).await;
        world.store.write(Run(change)).await.unwrap();
        let after = world.store.recall(question.clone()).await.unwrap();
        assert_ne!(after.as_deref(), Some(&*before), "{}", change[0].name);
    }
    world.stop().await;
}

#[actix::test]
async fn a_revocation_of_one_token_is_heard() {
    let (world, question) = signed_in().await;
    keep(&world, &question).await;
    let (now, jti) = (world.now(), question.jti.clone());
    world.store.write(RevokeAccessToken { jti, expires_at: now + 1000, now }).await.unwrap();
    assert!(recall(&world, &question).await.is_revoked);
    world.stop().await;
}

#[actix::test]
async fn what_every_sign_in_asks_is_heard_as_well() {
    const INSERT: [Statement; 1] = [Statement {
        name: "credential",
        sql: "INSERT INTO oauth_credentials (public_id, version_id, org_id, provider, client_id, client_secret_sealed, \
              created_at, updated_at) SELECT 'x' || id, 'v1', id, 'google', 'c', x'00', 0, 0 FROM organizations",
    }];
    const DELETE: [Statement; 1] = [Statement {
        name: "deleted credential",
        sql: "UPDATE oauth_credentials SET version_id = 'v2', deleted_at = 1 WHERE id > 0",
    }];
    const RENAME: [Statement; 1] =
        [Statement { name: "name", sql: "UPDATE services SET name = 'Another' WHERE id > 0" }];
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let by_slugs = ServiceBySlugs { org_slug: "acme".to_owned(), service_slug: "web".to_owned() };
    let own = OwnOauthCredential(OauthCredentialOf { org_id: acme.org_id, provider: "google".to_owned() });
    let version = async || {
        let own = world.store.recall(own.clone()).await.unwrap().unwrap();
        own.as_ref().as_ref().map(|credential| credential.version_id.clone())
    };
    let name = async || world.store.recall(by_slugs.clone()).await.unwrap().unwrap().name.clone();
    assert_eq!((version().await, version().await), (None, None));
    assert_eq!(name().await, name().await);
    world.store.write(Run(&INSERT)).await.unwrap();
    assert_eq!(version().await.as_deref(), Some("v1"));
    world.store.write(Run(&DELETE)).await.unwrap();
    assert_eq!(version().await.as_deref(), Some("v2"));
    world.store.write(Run(&RENAME)).await.unwrap();
    assert_eq!(name().await, "Another");
    world.stop().await;
}

#[actix::test]
async fn what_another_process_changes_is_noticed() {
    let (world, question) = signed_in().await;
    keep(&world, &question).await;
    let other = Connection::open(world.path()).unwrap();
    other.execute("UPDATE sessions SET ended_at = 1", []).unwrap();
    let begun = Instant::now();
    while recall(&world, &question).await.subject.is_live(world.now()) {
        assert!(begun.elapsed() < DEADLINE, "never noticed");
    }
    world.stop().await;
}
