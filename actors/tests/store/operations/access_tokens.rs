//! What voids an access token: one by one (RFC 7009), with its session, its user, its service, its client's secret.

use gatehouse_actors::data::access_tokens::{AccessTokenStanding, RevokeAccessToken, TokenStanding};
use gatehouse_actors::data::authorization_codes::CodeRedemption;
use gatehouse_actors::data::client_secrets::{RemoveClientSecrets, RotateClientSecret, SECRET_GRACE};
use gatehouse_actors::data::service_admin::ServiceReference;

use crate::support::{Tenant, World, audit, code_for, hash, person, public_id, redeem_code, tenant};

const QUARTER_OF_AN_HOUR: i64 = 15 * 60 * 1000;

/// A session of the web service, as its `sid` claim.
async fn session(world: &World, acme: &Tenant, name: &str) -> String {
    let arrived = code_for(world, &acme.web, person(world, acme.org_id, name)).await;
    let redeem = redeem_code(world, &acme.web, &arrived);
    let sid = redeem.session.public_id.clone();
    assert!(matches!(world.store.write(redeem).await.unwrap(), CodeRedemption::Granted { .. }));
    sid
}

async fn standing(world: &World, sid: &str, jti: &str) -> Option<TokenStanding> {
    let question = AccessTokenStanding { session_public_id: sid.to_owned(), jti: jti.to_owned() };
    world.store.read(question).await.unwrap()
}

async fn is_live(world: &World, sid: &str) -> bool {
    standing(world, sid, "any").await.unwrap().subject.is_live(world.now())
}

async fn revoke(world: &World, jti: &str) {
    let (now, jti) = (world.now(), jti.to_owned());
    world.store.write(RevokeAccessToken { jti, expires_at: now + QUARTER_OF_AN_HOUR, now }).await.unwrap();
}

#[actix::test]
async fn a_session_remembers_how_the_person_was_known() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let sid = session(&world, &acme, "ann").await;
    assert_eq!(standing(&world, &sid, "any").await.unwrap().subject.amr, ["pwd"]);
    world.stop().await;
}

#[actix::test]
async fn a_revoked_token_is_void_alone() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let sid = session(&world, &acme, "ann").await;
    let (one, other) = (public_id(), public_id());
    revoke(&world, &one).await;
    revoke(&world, &one).await;
    let revoked = standing(&world, &sid, &one).await.unwrap();
    assert!(revoked.is_revoked && revoked.subject.is_live(world.now()));
    assert!(!standing(&world, &sid, &other).await.unwrap().is_revoked);
    assert_eq!(standing(&world, "no-such-session", &one).await, None);
    assert_eq!(world.number("SELECT COUNT(*) FROM revoked_access_tokens"), 1);
    world.stop().await;
}

#[actix::test]
async fn what_expired_leaves_when_something_new_comes() {
    let world = World::new();
    for _ in 0..10 {
        revoke(&world, &public_id()).await;
    }
    world.clock.advance(QUARTER_OF_AN_HOUR);
    revoke(&world, &public_id()).await;
    assert_eq!(world.number("SELECT COUNT(*) FROM revoked_access_tokens"), 11, "clocks may differ a little");
    world.clock.advance(QUARTER_OF_AN_HOUR);
    revoke(&world, &public_id()).await;
    assert_eq!(world.number("SELECT COUNT(*) FROM revoked_access_tokens"), 2);
    world.stop().await;
}

#[actix::test]
async fn an_erased_user_and_a_deleted_service_void_tokens_even_where_a_session_is_left() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let sid = session(&world, &acme, "ann").await;
    assert!(is_live(&world, &sid).await);
    for (broken, mended) in [
        ("UPDATE users SET erased_at = 1", "UPDATE users SET erased_at = NULL"),
        ("UPDATE services SET deleted_at = 1", "UPDATE services SET deleted_at = NULL"),
    ] {
        world.execute(broken);
        assert!(!is_live(&world, &sid).await, "{broken}");
        world.execute(mended);
        assert!(is_live(&world, &sid).await);
    }
    world.stop().await;
}

async fn rotate(world: &World, service: &ServiceReference, grace: i64) -> (Option<i64>, usize) {
    let service = service.clone();
    let rotate = RotateClientSecret { service, secret_hash: hash(), grace, audit: audit(world) };
    let rotated = world.store.write(rotate).await.unwrap();
    (rotated.previous_expires_at, rotated.ended_sessions)
}

#[actix::test]
async fn a_secret_replaced_with_a_grace_keeps_the_sessions_and_one_taken_away_ends_them() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let service = ServiceReference { org_id: acme.org_id, reference: "web".to_owned() };
    let sid = session(&world, &acme, "ann").await;
    // The first secret replaces nothing, whatever its grace: there is none that somebody could know.
    assert_eq!(rotate(&world, &service, 0).await, (None, 0));
    assert_eq!(rotate(&world, &service, SECRET_GRACE).await, (Some(world.now() + SECRET_GRACE), 0));
    assert_eq!(rotate(&world, &service, 2 * SECRET_GRACE).await.0, Some(world.now() + SECRET_GRACE));
    assert!(is_live(&world, &sid).await);
    assert_eq!(rotate(&world, &service, 0).await, (None, 1));
    assert!(!is_live(&world, &sid).await);
    assert_eq!(world.number("SELECT COUNT(*) FROM client_secrets"), 1);

    let second = session(&world, &acme, "ann").await;
    let bob = session(&world, &tenant(&world, "other").await, "bob").await;
    let remove = || RemoveClientSecrets { service: service.clone(), audit: audit(&world) };
    world.store.write(remove()).await.unwrap();
    assert!(!is_live(&world, &second).await);
    assert!(is_live(&world, &bob).await, "another client's session");
    let third = session(&world, &acme, "ann").await;
    world.store.write(remove()).await.unwrap();
    assert!(is_live(&world, &third).await, "there was no secret to take away");
    let reasons = "SELECT COUNT(*) FROM sessions WHERE ended_reason = 'client_secret_removed'";
    assert_eq!(world.number(reasons), 2);
    world.stop().await;
}
