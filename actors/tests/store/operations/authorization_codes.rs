//! Authorization codes (RFC 6749, section 4.1; RFC 7636): redeemed once, by the right client, in time, or not at all.

use futures_util::future::join_all;
use gatehouse_actors::data::authorization_codes::{
    CODE_LIFETIME, CodeRedemption, CodeRefusal, NewAuthorizationCode, RedeemAuthorizationCode,
};
use gatehouse_actors::data::sessions::{Grant, SessionByPublicId};
use gatehouse_actors::data::token_binding::TokenBinding;
use gatehouse_actors::error::StoreError;

use crate::support::{
    CHALLENGE, REDIRECT_URI, Tenant, World, code_for, code_of, failure, hash, new_code, new_session, person,
    platform, redeem_code, refusal, tenant, web_sign_in,
};

struct Setting {
    world: World,
    acme: Tenant,
    /// The token request that is right in every respect.
    right: RedeemAuthorizationCode,
}

async fn setting() -> Setting {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let arrived = code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let right = redeem_code(&world, &acme.web, &arrived);
    Setting { world, acme, right }
}

#[track_caller]
fn granted(redemption: CodeRedemption) -> Grant {
    match redemption {
        CodeRedemption::Granted { grant, .. } => *grant,
        CodeRedemption::Replayed => panic!("expected a session, got a replay"),
    }
}

async fn is_live(world: &World, session_public_id: &str) -> bool {
    let question = SessionByPublicId { public_id: session_public_id.to_owned() };
    world.store.read(question).await.unwrap().unwrap().is_live(world.now())
}

#[actix::test]
async fn the_right_request_opens_the_session_that_was_asked_for() {
    let Setting { world, right, .. } = setting().await;
    let redeemed = world.store.write(right.clone()).await.unwrap();
    let CodeRedemption::Granted { grant, nonce } = redeemed else { panic!("replayed") };
    assert_eq!(nonce.as_deref(), Some("n-0S6_WzA2Mj"));
    let subject = &grant.subject;
    assert_eq!(subject.session_public_id, right.session.public_id);
    assert_eq!((subject.org_slug.as_str(), subject.service_slug.as_str()), ("acme", "web"));
    assert_eq!((subject.client_id.as_str(), subject.scope.as_str()), ("acme-web", "openid email"));
    assert_eq!((subject.entitlement(0).plan_name(), subject.provider.as_str()), (Some("free"), "google"));
    assert_eq!((subject.authenticated_at, subject.ended_at), (world.now(), None));
    assert!(is_live(&world, &right.session.public_id).await);
    world.stop().await;
}

#[actix::test]
async fn a_replay_revokes_what_the_first_use_produced() {
    let Setting { world, right, .. } = setting().await;
    granted(world.store.write(right.clone()).await.unwrap());
    let replay = RedeemAuthorizationCode { session: new_session(), ..right.clone() };
    assert_eq!(world.store.write(replay.clone()).await.unwrap(), CodeRedemption::Replayed);
    assert!(!is_live(&world, &right.session.public_id).await);
    assert_eq!(
        world.text("SELECT ended_reason FROM sessions").as_deref(),
        Some("authorization_code_replayed")
    );
    assert_eq!(world.number("SELECT COUNT(*) FROM sessions"), 1);
    // A replay is known as one long after the code itself is dead.
    let late = RedeemAuthorizationCode { now: right.now + 10 * CODE_LIFETIME, ..replay };
    assert_eq!(world.store.write(late).await.unwrap(), CodeRedemption::Replayed);
    world.stop().await;
}

#[actix::test]
async fn twenty_at_once_open_one_session() {
    let Setting { world, right, .. } = setting().await;
    let writes = (0..20)
        .map(|_| world.store.write(RedeemAuthorizationCode { session: new_session(), ..right.clone() }));
    let answers: Vec<_> = join_all(writes).await.into_iter().map(Result::unwrap).collect();
    let granted = answers.iter().filter(|answer| matches!(answer, CodeRedemption::Granted { .. })).count();
    assert_eq!((granted, answers.len() - granted), (1, 19));
    assert_eq!(world.number("SELECT COUNT(*) FROM sessions"), 1);
    world.stop().await;
}

#[actix::test]
async fn a_wrong_request_is_refused_and_burns_nothing() {
    let Setting { world, acme, right } = setting().await;
    let wrong = [
        (RedeemAuthorizationCode { secret_hash: hash(), ..right.clone() }, CodeRefusal::Unknown),
        (RedeemAuthorizationCode { id: right.id + 1, ..right.clone() }, CodeRefusal::Unknown),
        (
            RedeemAuthorizationCode { client_id: acme.terminal.client_id.clone(), ..right.clone() },
            CodeRefusal::OtherClient,
        ),
        (
            RedeemAuthorizationCode { redirect_uri: format!("{REDIRECT_URI}/"), ..right.clone() },
            CodeRefusal::RedirectUri,
        ),
        (RedeemAuthorizationCode { redirect_uri: String::new(), ..right.clone() }, CodeRefusal::RedirectUri),
        (
            RedeemAuthorizationCode { code_challenge: Some("other".to_owned()), ..right.clone() },
            CodeRefusal::CodeVerifier,
        ),
        (RedeemAuthorizationCode { code_challenge: None, ..right.clone() }, CodeRefusal::CodeVerifier),
    ];
    for (request, reason) in wrong {
        assert_eq!(refusal(world.store.write(request).await), reason);
    }
    assert_eq!(world.number("SELECT COUNT(*) FROM sessions"), 0);
    granted(world.store.write(right).await.unwrap());
    world.stop().await;
}

#[actix::test]
async fn a_code_lives_for_less_than_sixty_seconds() {
    let Setting { world, right, .. } = setting().await;
    let at_sixty = RedeemAuthorizationCode { now: right.now + 60_000, ..right.clone() };
    assert_eq!(refusal(world.store.write(at_sixty).await), CodeRefusal::Expired);
    let just_in_time = RedeemAuthorizationCode { now: right.now + 59_999, ..right };
    granted(world.store.write(just_in_time).await.unwrap());
    world.stop().await;
}

#[actix::test]
async fn a_redirect_uri_that_was_taken_back_gets_no_tokens() {
    let Setting { world, right, .. } = setting().await;
    world.execute("UPDATE services SET redirect_uris = '[\"https://other.example/\"]' WHERE slug = 'web'");
    assert_eq!(refusal(world.store.write(right).await), CodeRefusal::RedirectUri);
    world.stop().await;
}

#[actix::test]
async fn a_loopback_port_may_differ_from_the_registered_one() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    world.execute("UPDATE services SET redirect_uris = '[\"http://127.0.0.1/cb\"]' WHERE slug = 'web'");
    let used = "http://127.0.0.1:49152/cb";
    let secret_hash = hash();
    let code = NewAuthorizationCode {
        redirect_uri: used.to_owned(),
        registered_uri: "http://127.0.0.1/cb".to_owned(),
        ..new_code(secret_hash)
    };
    let arrival = person(&world, acme.org_id, "ann");
    let signed_in = world.store.write(web_sign_in(&acme.web, arrival, code)).await.unwrap();
    let id = code_of(signed_in.authorized);
    let request = RedeemAuthorizationCode {
        id,
        secret_hash,
        client_id: acme.web.client_id.clone(),
        redirect_uri: used.to_owned(),
        code_challenge: Some(CHALLENGE.to_owned()),
        client_authenticated: false,
        asked: TokenBinding::default(),
        session: new_session(),
        now: world.now(),
    };
    let other_port =
        RedeemAuthorizationCode { redirect_uri: "http://127.0.0.1:1/cb".to_owned(), ..request.clone() };
    assert_eq!(refusal(world.store.write(other_port).await), CodeRefusal::RedirectUri);
    granted(world.store.write(request).await.unwrap());
    world.stop().await;
}

#[actix::test]
async fn a_suspension_in_between_stops_the_exchange() {
    let Setting { world, right, .. } = setting().await;
    for status in ["suspended", "pending", "rejected"] {
        world.execute(&format!("UPDATE organizations SET status = '{status}' WHERE slug = 'acme'"));
        assert_eq!(refusal(world.store.write(right.clone()).await), CodeRefusal::OrganizationNotActive);
    }
    assert_eq!(world.number("SELECT COUNT(*) FROM sessions"), 0);
    world.stop().await;
}

#[actix::test]
async fn the_platform_needs_no_registered_uri_and_no_plan() {
    let world = World::new();
    let platform = platform(&world).await;
    let arrived = code_for(&world, &platform, person(&world, platform.org_id, "root")).await;
    let grant = granted(world.store.write(redeem_code(&world, &platform, &arrived)).await.unwrap());
    assert_eq!((grant.subject.is_platform, grant.subject.default_plan.clone()), (true, None));
    assert_eq!(grant.subject.entitlement(0).features(), Vec::<String>::new());
    world.stop().await;
}

#[actix::test]
async fn a_failed_exchange_leaves_the_code_unused() {
    let Setting { world, acme, right } = setting().await;
    let other = code_for(&world, &acme.web, person(&world, acme.org_id, "bob")).await;
    let other = redeem_code(&world, &acme.web, &other);
    granted(world.store.write(other.clone()).await.unwrap());
    // Two sessions cannot have one id: the engine refuses in the middle of the operation.
    let clash = RedeemAuthorizationCode { session: other.session, ..right.clone() };
    assert!(matches!(failure(world.store.write(clash).await), StoreError::Constraint(_)));
    granted(world.store.write(right).await.unwrap());
    world.stop().await;
}

#[actix::test]
async fn two_sign_ins_of_one_person_in_the_same_millisecond_both_work() {
    let Setting { world, acme, right } = setting().await;
    let second = code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let second = redeem_code(&world, &acme.web, &second);
    let (one, two) = futures_util::join!(world.store.write(right), world.store.write(second));
    let (one, two) = (granted(one.unwrap()), granted(two.unwrap()));
    assert_eq!(one.subject.user_public_id, two.subject.user_public_id);
    assert_ne!(one.refresh_token_id, two.refresh_token_id);
    world.stop().await;
}

#[actix::test]
async fn old_codes_leave_when_new_ones_come() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let Setting { world, acme, right } = setting().await;
    granted(world.store.write(right.clone()).await.unwrap());
    world.clock.advance(DAY + CODE_LIFETIME);
    code_for(&world, &acme.web, person(&world, acme.org_id, "bob")).await;
    assert_eq!(world.number("SELECT COUNT(*) FROM authorization_codes"), 2, "not before its time");
    world.clock.advance(1);
    code_for(&world, &acme.web, person(&world, acme.org_id, "bob")).await;
    assert_eq!(world.number("SELECT COUNT(*) FROM authorization_codes"), 2);
    assert_eq!(refusal(world.store.write(right).await), CodeRefusal::Unknown);
    world.stop().await;
}
