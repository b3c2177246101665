//! Who is it? Accounts are keyed by realm, issuer and subject; e-mail never joins two of them.

use gatehouse_actors::data::authorization_codes::CodeRedemption;
use gatehouse_actors::data::services::Service;
use gatehouse_actors::data::sessions::Subject;
use gatehouse_actors::data::sign_in::SignInRefusal;
use gatehouse_actors::data::users::{Arrival, EmailInUse, Profile};

use crate::support::{
    World, code_for, hash, new_code, person, platform, redeem_code, refusal, tenant, web_sign_in,
};

/// Signs in all the way and returns what the session knows of the user.
async fn sign_in(world: &World, service: &Service, arrival: Arrival) -> Subject {
    let arrived = code_for(world, service, arrival).await;
    let redeemed = world.store.write(redeem_code(world, service, &arrived)).await.unwrap();
    let CodeRedemption::Granted { grant, .. } = redeemed else {
        panic!("expected a session, got {redeemed:?}")
    };
    grant.subject
}

async fn turned_away(world: &World, service: &Service, arrival: Arrival) -> SignInRefusal {
    refusal(world.store.write(web_sign_in(service, arrival, new_code(hash()))).await)
}

fn with(arrival: Arrival, change: impl FnOnce(&mut Profile)) -> Arrival {
    let mut arrival = arrival;
    change(&mut arrival.profile);
    arrival
}

#[actix::test]
async fn the_same_issuer_and_subject_are_the_same_user_whatever_their_address() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let first = sign_in(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let moved = with(person(&world, acme.org_id, "ann"), |profile| {
        profile.email = Some("ann@new.example".to_owned());
    });
    let again = sign_in(&world, &acme.web, moved).await;
    assert_eq!(again.user_public_id, first.user_public_id);
    // An address changes only by the user's own request.
    assert_eq!(again.email.as_deref(), Some("ann@example.com"));
    assert_ne!(again.session_public_id, first.session_public_id);
    assert_eq!(world.number("SELECT COUNT(*) FROM users"), 1);
    world.stop().await;
}

#[actix::test]
async fn another_issuer_with_the_same_subject_is_another_user() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let first = sign_in(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let other = with(person(&world, acme.org_id, "ann"), |profile| {
        profile.issuer = "https://login.elsewhere.example".to_owned();
        profile.email = None;
    });
    let second = sign_in(&world, &acme.web, other).await;
    assert_ne!(second.user_public_id, first.user_public_id);
    assert_eq!(second.email, None);
    world.stop().await;
}

#[actix::test]
async fn a_second_provider_with_the_same_verified_address_is_refused_and_leaves_no_trace() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    sign_in(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let rival = with(person(&world, acme.org_id, "ann"), |profile| {
        profile.provider = "github".to_owned();
        profile.issuer = "https://github.com".to_owned();
        profile.subject = "583231".to_owned();
    });
    let in_use = EmailInUse { email: "ann@example.com".to_owned(), existing_provider: "google".to_owned() };
    assert_eq!(turned_away(&world, &acme.web, rival).await, SignInRefusal::EmailInUse(in_use));
    assert_eq!(world.number("SELECT COUNT(*) FROM users"), 1);
    assert_eq!(world.number("SELECT COUNT(*) FROM identities"), 1);
    assert_eq!(world.number("SELECT COUNT(*) FROM authorization_codes"), 1);
    world.stop().await;
}

#[actix::test]
async fn an_unverified_address_counts_for_nothing() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let ann = sign_in(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let claimant = with(person(&world, acme.org_id, "mallory"), |profile| {
        profile.email = Some("ann@example.com".to_owned());
        profile.email_verified = false;
    });
    let mallory = sign_in(&world, &acme.web, claimant.clone()).await;
    assert_ne!(mallory.user_public_id, ann.user_public_id);
    assert_eq!(mallory.email, None);
    // Verified later, but the address has an owner: still nobody's but ann's.
    let verified = with(claimant, |profile| profile.email_verified = true);
    let mallory = sign_in(&world, &acme.web, verified).await;
    assert_eq!(mallory.email, None);
    assert_eq!(world.number("SELECT COUNT(*) FROM users WHERE email = 'ann@example.com'"), 1);
    world.stop().await;
}

#[actix::test]
async fn a_proved_address_fills_an_empty_place() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let unverified = with(person(&world, acme.org_id, "ann"), |profile| profile.email_verified = false);
    let before = sign_in(&world, &acme.web, unverified).await;
    let after = sign_in(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    assert_eq!((before.email, after.email.as_deref()), (None, Some("ann@example.com")));
    assert_eq!(before.user_public_id, after.user_public_id);
    world.stop().await;
}

#[actix::test]
async fn one_person_in_two_organizations_is_two_users() {
    let world = World::new();
    let (acme, globex) = (tenant(&world, "acme").await, tenant(&world, "globex").await);
    let here = sign_in(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let there = sign_in(&world, &globex.web, person(&world, globex.org_id, "ann")).await;
    let platform = platform(&world).await;
    let everywhere = sign_in(&world, &platform, person(&world, platform.org_id, "ann")).await;
    assert_ne!(here.user_public_id, there.user_public_id);
    assert_ne!(there.user_public_id, everywhere.user_public_id);
    assert_eq!(here.email, there.email);
    assert_eq!((here.org_slug.as_str(), there.org_slug.as_str()), ("acme", "globex"));
    assert_eq!((here.is_platform, everywhere.is_platform), (false, true));
    world.stop().await;
}

#[actix::test]
async fn a_realm_admits_to_its_own_services_only() {
    let world = World::new();
    let (acme, globex) = (tenant(&world, "acme").await, tenant(&world, "globex").await);
    let stranger = person(&world, globex.org_id, "ann");
    assert_eq!(turned_away(&world, &acme.web, stranger).await, SignInRefusal::ServiceGone);
    let platform = platform(&world).await;
    let tenant_user = person(&world, acme.org_id, "ann");
    assert_eq!(turned_away(&world, &platform, tenant_user).await, SignInRefusal::ServiceGone);
    assert_eq!(world.number("SELECT COUNT(*) FROM users"), 0);
    world.stop().await;
}

#[actix::test]
async fn an_organization_that_is_not_active_admits_nobody() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    for status in ["pending", "suspended", "rejected"] {
        world.execute(&format!("UPDATE organizations SET status = '{status}' WHERE slug = 'acme'"));
        let refused = turned_away(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
        assert_eq!(refused, SignInRefusal::OrganizationNotActive(status.to_owned()));
    }
    assert_eq!(world.number("SELECT COUNT(*) FROM users"), 0);
    world.stop().await;
}

const OWNER: &str = "root@example.com";

fn awaited_owner(world: &World, org_id: i64) -> Arrival {
    Arrival { bootstrap_owner_email: Some(OWNER.to_owned()), ..person(world, org_id, "root") }
}

#[actix::test]
async fn the_platform_owner_is_made_once_in_the_life_of_an_installation() {
    let world = World::new();
    let platform = platform(&world).await;
    assert!(sign_in(&world, &platform, awaited_owner(&world, platform.org_id)).await.is_platform_owner);
    world.execute("UPDATE users SET is_platform_owner = 0");
    assert!(!sign_in(&world, &platform, awaited_owner(&world, platform.org_id)).await.is_platform_owner);
    // Nor does another address, configured later, get what was given once.
    let successor = Arrival {
        bootstrap_owner_email: Some("heir@example.com".to_owned()),
        ..person(&world, platform.org_id, "heir")
    };
    assert!(!sign_in(&world, &platform, successor).await.is_platform_owner);
    world.stop().await;
}

#[actix::test]
async fn nobody_but_the_awaited_person_becomes_platform_owner() {
    let world = World::new();
    let (platform, acme) = (platform(&world).await, tenant(&world, "acme").await);
    let unverified = with(awaited_owner(&world, platform.org_id), |profile| {
        profile.subject = "impostor".to_owned();
        profile.email_verified = false;
    });
    assert!(!sign_in(&world, &platform, unverified).await.is_platform_owner, "unverified address");
    let other = Arrival {
        bootstrap_owner_email: Some(OWNER.to_owned()),
        ..person(&world, platform.org_id, "somebody")
    };
    assert!(!sign_in(&world, &platform, other).await.is_platform_owner, "another address");
    let nameless = with(
        Arrival { bootstrap_owner_email: None, ..person(&world, platform.org_id, "nameless") },
        |profile| profile.email = None,
    );
    assert!(!sign_in(&world, &platform, nameless).await.is_platform_owner, "no address, none awaited");
    let tenant_user = awaited_owner(&world, acme.org_id);
    assert!(!sign_in(&world, &acme.web, tenant_user).await.is_platform_owner, "an organization's realm");
    // None of them used it up.
    assert!(sign_in(&world, &platform, awaited_owner(&world, platform.org_id)).await.is_platform_owner);
    assert_eq!(world.number("SELECT COUNT(*) FROM users WHERE is_platform_owner"), 1);
    world.stop().await;
}
