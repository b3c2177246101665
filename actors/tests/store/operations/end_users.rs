//! The users of an organization: found, signed out, erased; never those of another organization.

use gatehouse_actors::data::authorization_codes::{CodeRedemption, CodeRefusal};
use gatehouse_actors::data::end_users::{
    EndUser, EndUserByPublicId, EndUserPage, EndUsers, EraseUser, NoSuchUser, RevokeUserSessions,
};
use gatehouse_actors::data::services::Service;
use gatehouse_actors::data::sessions::Subject;

use crate::support::{Arrived, Tenant, World, audit, code_for, person, redeem_code, refusal, tenant};

async fn redeem(world: &World, service: &Service, arrived: &Arrived) -> Subject {
    let redeemed = world.store.write(redeem_code(world, service, arrived)).await.unwrap();
    let CodeRedemption::Granted { grant, .. } = redeemed else {
        panic!("expected a session, got {redeemed:?}")
    };
    grant.subject
}

/// Both services of a tenant take the same redirect URI, so that people sign in to either.
fn open_terminals(world: &World) {
    world.execute(
        "UPDATE services SET redirect_uris = (SELECT redirect_uris FROM services WHERE slug = 'web' LIMIT 1)",
    );
}

async fn sign_in(world: &World, service: &Service, name: &str) -> Subject {
    let arrived = code_for(world, service, person(world, service.org_id, name)).await;
    redeem(world, service, &arrived).await
}

async fn find(world: &World, tenant: &Tenant, change: impl FnOnce(&mut EndUsers)) -> EndUserPage {
    let mut question = EndUsers {
        org_id: tenant.org_id,
        email: None,
        service_slug: None,
        limit: 50,
        offset: 0,
        now: world.now(),
    };
    change(&mut question);
    world.store.read(question).await.unwrap()
}

fn emails(page: &EndUserPage) -> Vec<&str> {
    page.users.iter().filter_map(|found| found.user.email.as_deref()).collect()
}

async fn show(world: &World, tenant: &Tenant, public_id: &str) -> Option<EndUser> {
    let public_id = public_id.to_owned();
    world.store.read(EndUserByPublicId { org_id: tenant.org_id, public_id, now: world.now() }).await.unwrap()
}

fn revoke(world: &World, tenant: &Tenant, public_id: &str) -> RevokeUserSessions {
    let user_public_id = public_id.to_owned();
    RevokeUserSessions { org_id: tenant.org_id, user_public_id, audit: audit(world) }
}

fn erase(world: &World, tenant: &Tenant, public_id: &str) -> EraseUser {
    EraseUser { org_id: tenant.org_id, user_public_id: public_id.to_owned(), audit: audit(world) }
}

#[actix::test]
async fn the_list_is_of_one_organization_newest_first_filtered_and_paged() {
    let world = World::new();
    let (acme, globex) = (tenant(&world, "acme").await, tenant(&world, "globex").await);
    open_terminals(&world);
    for name in ["ann", "bob", "a_n"] {
        sign_in(&world, &acme.web, name).await;
    }
    sign_in(&world, &acme.terminal, "bob").await;
    sign_in(&world, &globex.web, "ann").await;
    let all = find(&world, &acme, |_| ()).await;
    assert_eq!((emails(&all), all.total), (vec!["a_n@example.com", "bob@example.com", "ann@example.com"], 3));
    let bob = &all.users[1];
    assert_eq!((bob.session_count, bob.identities.len(), bob.last_login_at()), (2, 1, Some(world.now())));
    let page = find(&world, &acme, |question| (question.limit, question.offset) = (1, 1)).await;
    assert_eq!((&page.users[0], page.total), (bob, 3), "a page tells the same as the whole");
    assert_eq!(show(&world, &acme, &bob.user.public_id).await.as_ref(), Some(bob));
    assert_eq!(show(&world, &globex, &bob.user.public_id).await, None);
    for (text, expected) in [
        ("AN", vec!["ann@example.com"]),
        ("_", vec!["a_n@example.com"]),
        ("%", vec![]),
        ("!", vec![]),
        ("example", vec!["a_n@example.com", "bob@example.com", "ann@example.com"]),
    ] {
        let found = find(&world, &acme, |question| question.email = Some(text.to_owned())).await;
        assert_eq!((emails(&found), found.total), (expected.clone(), i64::try_from(expected.len()).unwrap()));
    }
    let of_service = async |slug: &str| {
        let slug = slug.to_owned();
        find(&world, &acme, |question| question.service_slug = Some(slug)).await
    };
    assert_eq!(emails(&of_service("terminal").await), ["bob@example.com"]);
    assert_eq!(of_service("missing").await.total, 0);
    world.stop().await;
}

#[actix::test]
async fn subscriptions_belong_to_their_user() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let ann = sign_in(&world, &acme.web, "ann").await;
    sign_in(&world, &acme.web, "bob").await;
    world.execute(&format!(
        "INSERT INTO subscriptions (public_id, user_id, service_id, plan_id, status, created_at, updated_at) \
         SELECT 'sub', {}, service_id, id, 'active', 1, 1 FROM plans WHERE service_id = {}",
        ann.user_id, acme.web.id
    ));
    let page = find(&world, &acme, |_| ()).await;
    let counts: Vec<_> = page.users.iter().map(|found| found.subscriptions.len()).collect();
    assert_eq!(counts, [0, 1]);
    let subscription = &page.users[1].subscriptions[0];
    assert_eq!((subscription.service_slug.as_str(), subscription.plan_name.as_str()), ("web", "free"));
    world.stop().await;
}

#[actix::test]
async fn revoking_ends_the_living_sessions_of_one_user_and_voids_codes_handed_out_before() {
    let world = World::new();
    let (acme, globex) = (tenant(&world, "acme").await, tenant(&world, "globex").await);
    open_terminals(&world);
    let ann = sign_in(&world, &acme.web, "ann").await;
    sign_in(&world, &acme.terminal, "ann").await;
    sign_in(&world, &acme.web, "bob").await;
    let arrived = code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    assert_eq!(refusal(world.store.write(revoke(&world, &globex, &ann.user_public_id)).await), NoSuchUser);
    assert_eq!(world.store.write(revoke(&world, &acme, &ann.user_public_id)).await.unwrap(), 2);
    assert_eq!(world.number("SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL"), 1);
    let late = world.store.write(redeem_code(&world, &acme.web, &arrived)).await;
    assert_eq!(refusal(late), CodeRefusal::SignedOut);
    world.clock.advance(1);
    assert!(sign_in(&world, &acme.web, "ann").await.is_live(world.now()), "a new sign-in works");
    assert_eq!(world.store.write(revoke(&world, &acme, &ann.user_public_id)).await.unwrap(), 1);
    world.stop().await;
}

#[actix::test]
async fn erasing_leaves_counts_and_nothing_personal() {
    let world = World::new();
    let (acme, globex) = (tenant(&world, "acme").await, tenant(&world, "globex").await);
    let ann = sign_in(&world, &acme.web, "ann").await;
    let elsewhere = sign_in(&world, &globex.web, "ann").await;
    assert_eq!(refusal(world.store.write(erase(&world, &globex, &ann.user_public_id)).await), NoSuchUser);
    world.store.write(erase(&world, &acme, &ann.user_public_id)).await.unwrap();
    assert_eq!(refusal(world.store.write(erase(&world, &acme, &ann.user_public_id)).await), NoSuchUser);
    assert_eq!(refusal(world.store.write(revoke(&world, &acme, &ann.user_public_id)).await), NoSuchUser);
    assert_eq!(show(&world, &acme, &ann.user_public_id).await, None);
    assert_eq!(find(&world, &acme, |_| ()).await.total, 0);
    let row = format!(
        "SELECT COUNT(*) FROM users WHERE id = {} AND email IS NULL AND name IS NULL AND avatar_url IS NULL",
        ann.user_id
    );
    assert_eq!(world.number(&row), 1);
    assert_eq!(world.number("SELECT COUNT(*) FROM identities"), 1);
    assert_eq!(world.number("SELECT COUNT(*) FROM sessions"), 2, "history keeps its sense");
    assert_eq!(
        world.number("SELECT COUNT(*) FROM audit_log WHERE metadata LIKE '%ann%' OR target_id LIKE '%@%'"),
        0
    );
    // The other organization's user is another user.
    assert!(show(&world, &globex, &elsewhere.user_public_id).await.unwrap().user.email.is_some());
    world.clock.advance(1);
    let back = sign_in(&world, &acme.web, "ann").await;
    assert_ne!(back.user_public_id, ann.user_public_id);
    assert!(back.is_live(world.now()));
    world.stop().await;
}
