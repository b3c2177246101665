//! Consents: asked for, remembered, widened, forgotten with the service or the user.

use gatehouse_actors::data::browser_sessions::{BrowserToken, NewBrowserSession};
use gatehouse_actors::data::end_users::EraseUser;
use gatehouse_actors::data::service_admin::{DeleteService, ServiceReference};
use gatehouse_actors::data::services::Service;
use gatehouse_actors::data::sign_in::{
    Authorized, CodeRequest, CompleteWebSignIn, ContinueBrowserSession, ContinueRefusal, GrantConsent,
};

use crate::support::{Tenant, World, audit, code_of, hash, new_code, person, refusal, tenant, web_sign_in};

/// A browser that signed in to a service that asks.
struct Asked {
    token: BrowserToken,
    user_id: i64,
}

async fn setting() -> (World, Tenant, Asked) {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let asked = sign_in(&world, &acme.web, "ann").await;
    (world, acme, asked)
}

async fn sign_in(world: &World, service: &Service, name: &str) -> Asked {
    let secret_hash = hash();
    let op = web_sign_in(service, person(world, service.org_id, name), new_code(hash()));
    let op = CompleteWebSignIn {
        browser: NewBrowserSession { secret_hash, amr: Vec::new(), replaces: None },
        request: CodeRequest { ask_consent: true, ..op.request },
        ..op
    };
    let done = world.store.write(op).await.unwrap();
    assert_eq!(done.authorized, Authorized::ConsentNeeded);
    Asked { token: BrowserToken { id: done.browser_session_id, secret_hash }, user_id: done.user_id }
}

fn grant(world: &World, service: &Service, asked: &Asked, scope: &str) -> GrantConsent {
    let mut code = new_code(hash());
    scope.clone_into(&mut code.scope);
    GrantConsent {
        token: asked.token,
        org_id: service.org_id,
        user_id: asked.user_id,
        service_id: service.id,
        code,
        now: world.now(),
    }
}

async fn go_on(world: &World, service: &Service, asked: &Asked, scope: &str) -> Authorized {
    let GrantConsent { token, org_id, service_id, code, now, .. } = grant(world, service, asked, scope);
    let request = CodeRequest { code, ask_consent: false, expected_user: None };
    world.store.write(ContinueBrowserSession { token, org_id, service_id, request, now }).await.unwrap()
}

const REMEMBERED: &str = "SELECT scope FROM consents";

#[actix::test]
async fn nothing_is_handed_out_before_the_person_allows_it() {
    let (world, acme, asked) = setting().await;
    assert_eq!(world.number("SELECT COUNT(*) FROM authorization_codes"), 0);
    let code_id = world.store.write(grant(&world, &acme.web, &asked, "openid email")).await.unwrap();
    assert_eq!(world.number("SELECT id FROM authorization_codes"), code_id);
    assert_eq!(world.text(REMEMBERED).as_deref(), Some("email openid"));
    world.store.write(grant(&world, &acme.web, &asked, "openid profile")).await.unwrap();
    assert_eq!(world.text(REMEMBERED).as_deref(), Some("email openid profile"), "one row, the union");
    world.stop().await;
}

#[actix::test]
async fn a_third_party_is_asked_for_until_everything_it_wants_was_allowed() {
    let (world, acme, asked) = setting().await;
    code_of(go_on(&world, &acme.web, &asked, "openid email").await);
    world.execute("UPDATE services SET is_third_party = 1 WHERE slug = 'web'");
    let needed = Authorized::ConsentNeeded;
    assert_eq!(go_on(&world, &acme.web, &asked, "openid email").await, needed);
    world.store.write(grant(&world, &acme.web, &asked, "openid email")).await.unwrap();
    for scope in ["openid email", "email openid", "openid", "email"] {
        code_of(go_on(&world, &acme.web, &asked, scope).await);
    }
    for scope in ["openid email profile", "openi", "profile"] {
        assert_eq!(go_on(&world, &acme.web, &asked, scope).await, needed, "{scope}");
    }
    // What one person allowed one service says nothing of others.
    let bob = sign_in(&world, &acme.web, "bob").await;
    assert_eq!(go_on(&world, &acme.web, &bob, "openid").await, needed);
    world.execute("UPDATE services SET is_third_party = 1");
    assert_eq!(go_on(&world, &acme.terminal, &asked, "openid").await, needed);
    world.stop().await;
}

#[actix::test]
async fn only_the_person_who_was_asked_allows_anything() {
    let (world, acme, asked) = setting().await;
    let bob = sign_in(&world, &acme.web, "bob").await;
    let right = grant(&world, &acme.web, &asked, "openid");
    for (bent, reason) in [
        (GrantConsent { user_id: bob.user_id, ..right.clone() }, ContinueRefusal::OtherUser),
        (GrantConsent { token: bob.token, ..right.clone() }, ContinueRefusal::OtherUser),
        (
            GrantConsent { token: BrowserToken { secret_hash: hash(), ..asked.token }, ..right.clone() },
            ContinueRefusal::NotSignedIn,
        ),
        (GrantConsent { org_id: 1, ..right.clone() }, ContinueRefusal::NotSignedIn),
        (GrantConsent { service_id: 1, ..right.clone() }, ContinueRefusal::ServiceGone),
    ] {
        assert_eq!(refusal(world.store.write(bent).await), reason);
    }
    assert_eq!(world.number("SELECT COUNT(*) FROM consents"), 0);
    assert_eq!(world.number("SELECT COUNT(*) FROM authorization_codes"), 0);
    world.stop().await;
}

#[actix::test]
async fn consents_go_with_the_user_and_with_the_service() {
    let (world, acme, ann) = setting().await;
    let bob = sign_in(&world, &acme.web, "bob").await;
    for asked in [&ann, &bob] {
        world.store.write(grant(&world, &acme.web, asked, "openid")).await.unwrap();
    }
    let user_public_id =
        world.text(&format!("SELECT public_id FROM users WHERE id = {}", ann.user_id)).unwrap();
    let erase = EraseUser { org_id: acme.org_id, user_public_id, audit: audit(&world) };
    world.store.write(erase).await.unwrap();
    assert_eq!(world.number("SELECT user_id FROM consents"), bob.user_id);
    let service = ServiceReference { org_id: acme.org_id, reference: "web".to_owned() };
    world.store.write(DeleteService { service, audit: audit(&world) }).await.unwrap();
    assert_eq!(world.number("SELECT COUNT(*) FROM consents"), 0);
    world.stop().await;
}
