//! Browser sessions: one sign-in for the services of one realm, for as long as it lasts and not a moment longer.

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::authorization_codes::{CodeRedemption, CodeRefusal};
use gatehouse_actors::data::browser_sessions::{
    BROWSER_SESSION_IDLE, BROWSER_SESSION_LIFETIME, BrowserSession, BrowserSessionByToken, BrowserToken,
    NewBrowserSession,
};
use gatehouse_actors::data::end_users::{EraseUser, RevokeUserSessions};
use gatehouse_actors::data::platform::{Decide, Decision};
use gatehouse_actors::data::services::Service;
use gatehouse_actors::data::sessions::{SessionByPublicId, Subject};
use gatehouse_actors::data::sign_in::{
    CodeRequest, CompleteWebSignIn, ContinueBrowserSession, ContinueRefusal, SignInRefusal,
};
use gatehouse_actors::data::sign_out::SignOut;

use crate::support::{
    Arrived, Tenant, World, administrator, audit, code_of, code_request, hash, new_code, person, redeem_code,
    refusal, tenant, web_sign_in,
};

/// Signs in and returns what the cookie then says, and the code.
async fn sign_in(world: &World, service: &Service, name: &str) -> (BrowserToken, Arrived) {
    sign_in_again(world, service, name, None).await
}

async fn sign_in_again(
    world: &World,
    service: &Service,
    name: &str,
    replaces: Option<BrowserToken>,
) -> (BrowserToken, Arrived) {
    let (secret_hash, code_hash) = (hash(), hash());
    let arrival = person(world, service.org_id, name);
    let browser = NewBrowserSession { secret_hash, amr: vec!["pwd".to_owned()], replaces };
    let op = CompleteWebSignIn { browser, ..web_sign_in(service, arrival, new_code(code_hash)) };
    let done = world.store.write(op).await.unwrap();
    let code_id = code_of(done.authorized);
    (BrowserToken { id: done.browser_session_id, secret_hash }, Arrived { code_id, secret_hash: code_hash })
}

async fn session(world: &World, token: BrowserToken, org_id: i64) -> Option<BrowserSession> {
    world.store.read(BrowserSessionByToken { token, org_id, now: world.now() }).await.unwrap()
}

/// Goes on to a service by the session, as single sign-on does.
fn go_on(world: &World, token: BrowserToken, service: &Service) -> (ContinueBrowserSession, [u8; 32]) {
    let secret_hash = hash();
    let request = code_request(new_code(secret_hash));
    let (org_id, service_id) = (service.org_id, service.id);
    (ContinueBrowserSession { token, org_id, service_id, request, now: world.now() }, secret_hash)
}

async fn redeem(world: &World, service: &Service, arrived: &Arrived) -> Subject {
    let redeemed = world.store.write(redeem_code(world, service, arrived)).await.unwrap();
    let CodeRedemption::Granted { grant, .. } = redeemed else { panic!("no session: {redeemed:?}") };
    grant.subject
}

fn sign_out(world: &World, token: BrowserToken) -> SignOut {
    SignOut { session_public_id: None, browsers: vec![token], now: world.now() }
}

async fn is_live(world: &World, subject: &Subject) -> bool {
    let question = SessionByPublicId { public_id: subject.session_public_id.clone() };
    world.store.read(question).await.unwrap().unwrap().is_live(world.now())
}

/// Both services of every tenant take the same redirect URI.
fn open_terminals(world: &World) {
    world.execute(
        "UPDATE services SET redirect_uris = (SELECT redirect_uris FROM services WHERE slug = 'web' LIMIT 1)",
    );
}

async fn acme() -> (World, Tenant) {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    open_terminals(&world);
    (world, acme)
}

#[actix::test]
async fn one_sign_in_is_good_for_every_service_of_the_realm_with_its_own_time() {
    let (world, acme) = acme().await;
    let (token, arrived) = sign_in(&world, &acme.web, "ann").await;
    let authenticated_at = world.now();
    let first = redeem(&world, &acme.web, &arrived).await;
    world.clock.advance(60_000);

    let found = session(&world, token, acme.org_id).await.unwrap();
    assert_eq!((&found.user_public_id, found.authenticated_at), (&first.user_public_id, authenticated_at));
    assert_eq!((found.amr, found.provider.as_str()), (vec!["pwd".to_owned()], "google"));
    let (op, secret_hash) = go_on(&world, token, &acme.terminal);
    let code_id = code_of(world.store.write(op).await.unwrap());
    let second = redeem(&world, &acme.terminal, &Arrived { code_id, secret_hash }).await;
    assert_eq!(second.user_public_id, first.user_public_id);
    assert_eq!(second.authenticated_at, authenticated_at, "single sign-on is no new authentication");
    assert_ne!(second.session_public_id, first.session_public_id);
    world.stop().await;
}

#[actix::test]
async fn a_session_opens_nothing_without_its_secret_or_in_another_realm() {
    let (world, acme) = acme().await;
    let globex = tenant(&world, "globex").await;
    let (token, _) = sign_in(&world, &acme.web, "ann").await;
    let guessed = BrowserToken { secret_hash: hash(), ..token };
    let unknown = BrowserToken { id: 4711, ..token };
    for (token, service) in [(guessed, &acme.web), (unknown, &acme.web), (token, &globex.web)] {
        assert_eq!(session(&world, token, service.org_id).await, None);
        let (op, _) = go_on(&world, token, service);
        assert_eq!(refusal(world.store.write(op).await), ContinueRefusal::NotSignedIn);
    }
    // The session's own realm, but a service of another one.
    let (op, _) = go_on(&world, token, &globex.web);
    let crossed = ContinueBrowserSession { org_id: acme.org_id, ..op };
    assert_eq!(refusal(world.store.write(crossed).await), ContinueRefusal::ServiceGone);
    assert_eq!(world.number("SELECT COUNT(*) FROM authorization_codes"), 1);
    world.stop().await;
}

#[actix::test]
async fn it_dies_when_it_is_not_used_and_at_last_in_any_case() {
    let (world, acme) = acme().await;
    let (token, _) = sign_in(&world, &acme.web, "ann").await;
    world.clock.advance(BROWSER_SESSION_IDLE - 1);
    assert!(session(&world, token, acme.org_id).await.is_some());
    world.clock.advance(1);
    assert_eq!(session(&world, token, acme.org_id).await, None);
    let (op, _) = go_on(&world, token, &acme.web);
    assert_eq!(refusal(world.store.write(op).await), ContinueRefusal::NotSignedIn);

    let (token, _) = sign_in(&world, &acme.web, "ann").await;
    let begun = world.now();
    let step: Millis = BROWSER_SESSION_IDLE - 1;
    while world.now() - begun < BROWSER_SESSION_LIFETIME {
        let (op, _) = go_on(&world, token, &acme.web);
        code_of(world.store.write(op).await.unwrap());
        world.clock.advance(step.min(begun + BROWSER_SESSION_LIFETIME - world.now()));
    }
    assert_eq!(session(&world, token, acme.org_id).await, None, "use does not carry it beyond its bound");
    world.stop().await;
}

#[actix::test]
async fn a_newer_sign_in_takes_the_place_of_the_old_one_and_inherits_the_apps_of_the_same_person() {
    let (world, acme) = acme().await;
    let (old, arrived) = sign_in(&world, &acme.web, "ann").await;
    let app = redeem(&world, &acme.web, &arrived).await;
    let (newer, late) = sign_in_again(&world, &acme.web, "ann", Some(old)).await;
    assert_eq!(session(&world, old, acme.org_id).await, None);
    assert!(is_live(&world, &app).await, "nobody signed out");
    let (third, _) = sign_in_again(&world, &acme.web, "bob", Some(newer)).await;
    let late = redeem(&world, &acme.web, &late).await;
    assert!(late.is_live(world.now()), "a code that was on its way when the browser signed in again");
    world.store.write(sign_out(&world, third)).await.unwrap();
    assert!(is_live(&world, &app).await, "what is Ann's does not end with Bob");
    // Whoever presents a wrong secret, or the session of another realm, replaces nothing.
    let (token, _) = sign_in(&world, &acme.web, "ann").await;
    sign_in_again(&world, &acme.web, "ann", Some(BrowserToken { secret_hash: hash(), ..token })).await;
    let globex = tenant(&world, "globex").await;
    sign_in_again(&world, &globex.web, "ann", Some(token)).await;
    assert!(session(&world, token, acme.org_id).await.is_some());
    world.stop().await;
}

#[actix::test]
async fn a_code_on_its_way_ends_with_the_sign_in_that_took_its_browser_over() {
    let (world, acme) = acme().await;
    let (first, late) = sign_in(&world, &acme.web, "ann").await;
    let (second, _) = sign_in_again(&world, &acme.web, "ann", Some(first)).await;
    let (third, kept) = sign_in_again(&world, &acme.web, "ann", Some(second)).await;
    let app = redeem(&world, &acme.web, &kept).await;
    world.store.write(sign_out(&world, third)).await.unwrap();
    assert!(!is_live(&world, &app).await);
    let refused = refusal(world.store.write(redeem_code(&world, &acme.web, &late)).await);
    assert_eq!(refused, CodeRefusal::SignedOut, "twice replaced, then signed out");

    let (first, late) = sign_in(&world, &acme.web, "ann").await;
    let (second, _) = sign_in_again(&world, &acme.web, "ann", Some(first)).await;
    let app = redeem(&world, &acme.web, &late).await;
    world.store.write(sign_out(&world, second)).await.unwrap();
    assert!(!is_live(&world, &app).await, "its session belongs to the newer sign-in");
    world.stop().await;
}

#[actix::test]
async fn a_logout_of_the_browser_ends_what_it_led_to_and_nothing_else() {
    let (world, acme) = acme().await;
    let (token, arrived) = sign_in(&world, &acme.web, "ann").await;
    let (_, elsewhere) = sign_in(&world, &acme.web, "ann").await;
    let app = redeem(&world, &acme.web, &arrived).await;
    let elsewhere = redeem(&world, &acme.web, &elsewhere).await;
    let (op, secret_hash) = go_on(&world, token, &acme.terminal);
    let code_id = code_of(world.store.write(op).await.unwrap());

    let guessed = BrowserToken { secret_hash: hash(), ..token };
    world.store.write(sign_out(&world, guessed)).await.unwrap();
    assert!(is_live(&world, &app).await);
    world.store.write(sign_out(&world, token)).await.unwrap();
    assert!(!is_live(&world, &app).await);
    assert!(is_live(&world, &elsewhere).await);
    assert_eq!(session(&world, token, acme.org_id).await, None);
    world.store.write(sign_out(&world, token)).await.unwrap();
    let late = redeem_code(&world, &acme.terminal, &Arrived { code_id, secret_hash });
    assert_eq!(refusal(world.store.write(late).await), CodeRefusal::SignedOut);
    world.stop().await;
}

#[actix::test]
async fn revocation_erasure_and_suspension_end_it_at_once() {
    let (world, acme) = acme().await;
    let sub = async |token| session(&world, token, acme.org_id).await.unwrap().user_public_id;
    let (revoked, _) = sign_in(&world, &acme.web, "ann").await;
    let (erased, _) = sign_in(&world, &acme.web, "bob").await;
    let (suspended, _) = sign_in(&world, &acme.web, "cleo").await;
    let org_id = acme.org_id;
    let revoke = RevokeUserSessions { org_id, user_public_id: sub(revoked).await, audit: audit(&world) };
    let erase = EraseUser { org_id, user_public_id: sub(erased).await, audit: audit(&world) };
    world.store.write(revoke).await.unwrap();
    assert_eq!(session(&world, revoked, org_id).await, None);
    assert!(session(&world, erased, org_id).await.is_some());
    world.store.write(erase).await.unwrap();
    assert_eq!(session(&world, erased, org_id).await, None);
    assert!(session(&world, suspended, org_id).await.is_some());

    let root = administrator(&world, "root").await;
    world.execute(&format!("UPDATE users SET is_platform_owner = 1 WHERE id = {}", root.user_id));
    for decision in [Decision::Suspend { reason: None }, Decision::Activate] {
        let decide = Decide {
            reference: "acme".to_owned(),
            decision,
            decided_by: root.user_id,
            audit: audit(&world),
            audit_of_organization: audit(&world),
        };
        world.store.write(decide).await.unwrap();
        assert_eq!(session(&world, suspended, org_id).await, None, "not even when it is active again");
    }
    let reasons = "SELECT COUNT(DISTINCT ended_reason) FROM browser_sessions";
    assert_eq!(world.number(reasons), 3);
    world.stop().await;
}

#[actix::test]
async fn only_the_user_that_the_app_named_will_do() {
    let (world, acme) = acme().await;
    let (token, _) = sign_in(&world, &acme.web, "ann").await;
    let ann = session(&world, token, acme.org_id).await.unwrap().user_public_id;
    for (expected, right) in [(ann.clone(), true), ("somebody".to_owned(), false)] {
        let (op, secret_hash) = go_on(&world, token, &acme.web);
        let request =
            CodeRequest { expected_user: Some(expected.clone()), ..code_request(new_code(secret_hash)) };
        let answer = world.store.write(ContinueBrowserSession { request, ..op }).await;
        if right {
            code_of(answer.unwrap());
        } else {
            assert_eq!(refusal(answer), ContinueRefusal::OtherUser);
        }
        let op = web_sign_in(&acme.web, person(&world, acme.org_id, "ann"), new_code(hash()));
        let request = CodeRequest { expected_user: Some(expected), ..op.request.clone() };
        let answer = world.store.write(CompleteWebSignIn { request, ..op }).await;
        if right {
            code_of(answer.unwrap().authorized);
        } else {
            assert_eq!(refusal(answer), SignInRefusal::OtherUser);
        }
    }
    // Who is turned away leaves no trace, not even as a new user.
    let op = web_sign_in(&acme.web, person(&world, acme.org_id, "bob"), new_code(hash()));
    let request = CodeRequest { expected_user: Some(ann), ..op.request.clone() };
    assert_eq!(
        refusal(world.store.write(CompleteWebSignIn { request, ..op }).await),
        SignInRefusal::OtherUser
    );
    assert_eq!(world.number("SELECT COUNT(*) FROM users WHERE org_id > 1"), 1);
    world.stop().await;
}

#[actix::test]
async fn old_rows_leave_and_no_id_comes_back() {
    let (world, acme) = acme().await;
    let (first, _) = sign_in(&world, &acme.web, "ann").await;
    let (second, _) = sign_in(&world, &acme.web, "ann").await;
    world.clock.advance(BROWSER_SESSION_LIFETIME + 1);
    let (third, _) = sign_in(&world, &acme.web, "ann").await;
    assert_eq!(world.number("SELECT COUNT(*) FROM browser_sessions"), 1);
    assert!(first.id < second.id && second.id < third.id);
    world.stop().await;
}
