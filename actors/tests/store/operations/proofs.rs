//! What counts once, and what tokens are bound to.

use gatehouse_actors::data::authorization_codes::{CodeRedemption, CodeRefusal, RedeemAuthorizationCode};
use gatehouse_actors::data::pushed_requests::{
    NoSuchRequest, PUSHED_LIFETIME, PushRequest, TakeUpPushedRequest,
};
use gatehouse_actors::data::refresh_tokens::{RefreshRefusal, RotateRefreshToken, Rotation};
use gatehouse_actors::data::token_binding::TokenBinding;
use gatehouse_actors::data::used_assertions::{UseAssertion, UsedBefore};

use super::services::audit;
use crate::support::{World, code_for, hash, person, redeem_code, refusal, tenant};

#[actix::test]
async fn an_assertion_counts_once_and_is_forgotten_when_it_is_void_anyway() {
    let world = World::new();
    let used = |jti_hash| UseAssertion { jti_hash, expires_at: world.now() + 1000, now: world.now() };
    let (one, other) = (hash(), hash());
    world.store.write(used(one)).await.unwrap();
    assert_eq!(refusal(world.store.write(used(one)).await), UsedBefore);
    world.store.write(used(other)).await.unwrap();
    let later = UseAssertion { now: world.now() + 2000, ..used(hash()) };
    world.store.write(later).await.unwrap();
    assert_eq!(world.number("SELECT COUNT(*) FROM used_assertions"), 1);
    world.stop().await;
}

#[actix::test]
async fn a_pushed_request_is_shown_once_and_chosen_once_by_its_own_client() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let (secret_hash, service_id, now) = (hash(), acme.web.id, world.now());
    let parameters = r#"[["scope","openid"]]"#.to_owned();
    let push = PushRequest { secret_hash, service_id, parameters: parameters.clone(), now };
    let id = world.store.write(push).await.unwrap();
    let take_up = |chosen| TakeUpPushedRequest { id, secret_hash, service_id, chosen, now };
    for bent in [
        TakeUpPushedRequest { secret_hash: hash(), ..take_up(false) },
        TakeUpPushedRequest { service_id: acme.terminal.id, ..take_up(false) },
        TakeUpPushedRequest { now: now + PUSHED_LIFETIME, ..take_up(false) },
        TakeUpPushedRequest { id: id + 1, ..take_up(false) },
    ] {
        assert_eq!(refusal(world.store.write(bent).await), NoSuchRequest);
    }
    for chosen in [false, true] {
        assert_eq!(world.store.write(take_up(chosen)).await, Ok(parameters.clone()));
        assert_eq!(refusal(world.store.write(take_up(chosen)).await), NoSuchRequest);
    }
    world.stop().await;
}

fn bound(jkt: Option<&str>, resources: &[&str]) -> TokenBinding {
    let resources = resources.iter().map(ToString::to_string).collect();
    TokenBinding { dpop_jkt: jkt.map(ToOwned::to_owned), resources }
}

#[actix::test]
async fn a_session_keeps_the_key_and_the_resources_of_its_code() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let arrived = code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    world.execute(
        r#"UPDATE authorization_codes SET dpop_jkt = 'key', resources = '["https://a","https://b"]'"#,
    );
    let right = redeem_code(&world, &acme.web, &arrived);
    let asking = |asked| RedeemAuthorizationCode { asked, ..right.clone() };
    let refused = async |asked| refusal(world.store.write(asking(asked)).await);
    assert_eq!(refused(bound(None, &[])).await, CodeRefusal::OtherKey);
    assert_eq!(refused(bound(Some("other"), &[])).await, CodeRefusal::OtherKey);
    assert_eq!(refused(bound(Some("key"), &["https://c"])).await, CodeRefusal::OtherResource);
    let redeemed = world.store.write(asking(bound(Some("key"), &["https://a"]))).await.unwrap();
    let CodeRedemption::Granted { grant, .. } = redeemed else { panic!("no session") };
    assert_eq!(grant.binding, bound(Some("key"), &["https://a", "https://b"]));

    let refresh = |asked| RotateRefreshToken {
        id: grant.refresh_token_id,
        secret_hash: right.session.refresh_hash,
        successor_hash: [7; 32],
        client_id: Some(acme.web.client_id.clone()),
        asked,
        requested_scope: None,
        now: world.now(),
        audit: audit(&world),
    };
    let refused = async |asked| refusal(world.store.write(refresh(asked)).await);
    assert_eq!(refused(bound(None, &[])).await, RefreshRefusal::OtherKey);
    assert_eq!(refused(bound(Some("key"), &["https://c"])).await, RefreshRefusal::OtherResource);
    world.execute("UPDATE services SET resources = '[]'");
    assert_eq!(refused(bound(Some("key"), &[])).await, RefreshRefusal::OtherResource, "nothing is left");
    world.execute(r#"UPDATE services SET resources = '["https://b"]'"#);
    assert_eq!(refused(bound(Some("key"), &["https://a"])).await, RefreshRefusal::OtherResource);
    let rotated = world.store.write(refresh(bound(Some("key"), &["https://b"]))).await.unwrap();
    assert!(matches!(rotated, Rotation::Granted(_)), "what was refused burned nothing");
    world.stop().await;
}
