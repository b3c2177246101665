//! More than one account at providers for one user: never somebody else's, never none.

use futures_util::future::join_all;
use gatehouse_actors::data::authorization_codes::CodeRedemption;
use gatehouse_actors::data::identities::{
    IdentitiesOf, LinkIdentity, LinkRefusal, OwnerOfIdentity, UnlinkIdentity, UnlinkRefusal,
};
use gatehouse_actors::data::own_profile::{ChangeProfile, OwnProfile, ProfileRefusal};
use gatehouse_actors::data::services::Service;
use gatehouse_actors::data::sessions::Subject;
use gatehouse_actors::data::users::{Arrival, Profile};

use super::services::{actions, audit};
use crate::support::{World, code_for, person, redeem_code, refusal, spawn_write, tenant};

async fn sign_in(world: &World, service: &Service, arrival: Arrival) -> Subject {
    let arrived = code_for(world, service, arrival).await;
    let redeemed = world.store.write(redeem_code(world, service, &arrived)).await.unwrap();
    let CodeRedemption::Granted { grant, .. } = redeemed else {
        panic!("expected a session, got {redeemed:?}")
    };
    grant.subject
}

fn at(provider: &str, subject: &str) -> Profile {
    Profile {
        provider: provider.to_owned(),
        issuer: format!("https://{provider}.example"),
        subject: subject.to_owned(),
        email: Some(format!("{subject}@{provider}.example")),
        email_verified: true,
        name: None,
        avatar_url: None,
    }
}

fn link(world: &World, user: &Subject, profile: Profile) -> LinkIdentity {
    LinkIdentity {
        org_id: user.org_id,
        user_id: user.user_id,
        session_public_id: user.session_public_id.clone(),
        profile,
        credential_version: None,
        audit: audit(world),
    }
}

fn unlink(world: &World, user: &Subject, provider: &str) -> UnlinkIdentity {
    UnlinkIdentity {
        org_id: user.org_id,
        user_id: user.user_id,
        user_public_id: user.user_public_id.clone(),
        provider: provider.to_owned(),
        audit: audit(world),
    }
}

async fn providers(world: &World, user: &Subject) -> Vec<String> {
    let identities = world.store.read(IdentitiesOf { user_id: user.user_id }).await.unwrap();
    identities.into_iter().map(|identity| identity.provider).collect()
}

#[actix::test]
async fn a_linked_account_signs_in_to_the_same_user_until_it_is_unlinked() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let ann = sign_in(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    world.store.write(link(&world, &ann, at("github", "ann"))).await.unwrap();
    world.store.write(link(&world, &ann, at("github", "ann"))).await.unwrap();
    assert_eq!(providers(&world, &ann).await, ["google", "github"]);
    let arrival = |world: &World| {
        let mut arrival = person(world, acme.org_id, "ann");
        arrival.profile = at("github", "ann");
        arrival
    };
    let again = sign_in(&world, &acme.web, arrival(&world)).await;
    assert_eq!(again.user_id, ann.user_id);
    let question = OwnerOfIdentity {
        org_id: acme.org_id,
        issuer: "https://github.example".to_owned(),
        subject: "ann".to_owned(),
    };
    assert_eq!(world.store.read(question).await.unwrap(), Some(ann.user_id));

    world.store.write(unlink(&world, &ann, "github")).await.unwrap();
    let stranger = sign_in(&world, &acme.web, arrival(&world)).await;
    assert_ne!(stranger.user_id, ann.user_id);
    assert_eq!(actions(&world, acme.org_id), ["identity.linked", "identity.unlinked"]);
    world.stop().await;
}

#[actix::test]
async fn nobody_elses_account_is_linked_and_no_second_one_of_a_provider() {
    let world = World::new();
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    let ann = sign_in(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let bob = sign_in(&world, &acme.web, person(&world, acme.org_id, "bob")).await;
    world.store.write(link(&world, &bob, at("github", "bob"))).await.unwrap();
    let refused = refusal(world.store.write(link(&world, &ann, at("github", "bob"))).await);
    assert_eq!(refused, LinkRefusal::BelongsToAnother);
    world.store.write(link(&world, &ann, at("github", "ann"))).await.unwrap();
    let refused = refusal(world.store.write(link(&world, &ann, at("github", "second"))).await);
    assert_eq!(refused, LinkRefusal::OneThereAlready);

    // The same account at another organization is another realm's business.
    let elsewhere = sign_in(&world, &other.web, person(&world, other.org_id, "eve")).await;
    world.store.write(link(&world, &elsewhere, at("github", "bob"))).await.unwrap();
    assert_eq!(providers(&world, &bob).await, ["google", "github"]);
    world.stop().await;
}

#[actix::test]
async fn a_session_that_ended_or_is_another_users_links_nothing() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let ann = sign_in(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let bob = sign_in(&world, &acme.web, person(&world, acme.org_id, "bob")).await;
    let mixed = LinkIdentity { user_id: bob.user_id, ..link(&world, &ann, at("github", "ann")) };
    assert_eq!(refusal(world.store.write(mixed).await), LinkRefusal::SessionEnded);
    world.execute("UPDATE sessions SET ended_at = 1, ended_reason = 'logout'");
    let late = link(&world, &ann, at("github", "ann"));
    assert_eq!(refusal(world.store.write(late).await), LinkRefusal::SessionEnded);
    let mut own = link(&world, &ann, at("github", "ann"));
    own.credential_version = Some("gone".to_owned());
    world.execute("UPDATE sessions SET ended_at = NULL, ended_reason = NULL");
    assert_eq!(refusal(world.store.write(own).await), LinkRefusal::CredentialChanged);
    assert_eq!(providers(&world, &ann).await, ["google"]);
    world.stop().await;
}

#[actix::test]
async fn the_last_account_stays_also_when_all_are_unlinked_at_once() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let ann = sign_in(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    assert_eq!(refusal(world.store.write(unlink(&world, &ann, "google")).await), UnlinkRefusal::LastOne);
    assert_eq!(refusal(world.store.write(unlink(&world, &ann, "github")).await), UnlinkRefusal::Unknown);
    for provider in ["github", "microsoft", "oidc"] {
        world.store.write(link(&world, &ann, at(provider, "ann"))).await.unwrap();
    }
    let all = ["google", "github", "microsoft", "oidc"];
    let answers =
        join_all(all.map(|provider| spawn_write(&world.store, unlink(&world, &ann, provider)))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
    let refused: Vec<_> = answers.into_iter().filter(Result::is_err).map(refusal).collect();
    assert_eq!(refused, [UnlinkRefusal::LastOne]);
    assert_eq!(providers(&world, &ann).await.len(), 1);
    world.stop().await;
}

#[actix::test]
async fn an_address_changes_only_to_a_proved_one_that_nobody_else_has() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let ann = sign_in(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let bob = sign_in(&world, &acme.web, person(&world, acme.org_id, "bob")).await;
    let change = |name: Option<Option<&str>>, email: Option<&str>| ChangeProfile {
        org_id: acme.org_id,
        user_id: ann.user_id,
        user_public_id: ann.user_public_id.clone(),
        name: name.map(|name| name.map(ToOwned::to_owned)),
        email: email.map(ToOwned::to_owned),
        audit: audit(&world),
    };
    let refused = refusal(world.store.write(change(Some(Some("Eve")), Some("ann@github.example"))).await);
    assert_eq!(refused, ProfileRefusal::Unproven);
    let mut unproved = at("github", "ann");
    unproved.email_verified = false;
    world.store.write(link(&world, &ann, unproved)).await.unwrap();
    let refused = refusal(world.store.write(change(None, Some("ann@github.example"))).await);
    assert_eq!(refused, ProfileRefusal::Unproven);
    let mut taken = at("microsoft", "ann");
    taken.email.clone_from(&bob.email);
    world.store.write(link(&world, &ann, taken)).await.unwrap();
    let refused = refusal(world.store.write(change(None, bob.email.as_deref())).await);
    assert_eq!(refused, ProfileRefusal::InUse);

    world.store.write(link(&world, &ann, at("oidc", "ann"))).await.unwrap();
    let changed = world.store.write(change(Some(Some("Ann B")), Some("ann@oidc.example"))).await.unwrap();
    let expected = OwnProfile { name: Some("Ann B".into()), email: Some("ann@oidc.example".into()) };
    assert_eq!(changed, expected);
    let again = world.store.write(change(Some(Some("Ann B")), None)).await.unwrap();
    assert_eq!(again, expected, "what is not named stays");
    assert_eq!(world.store.write(change(Some(None), None)).await.unwrap().name, None);
    let told: Vec<_> = actions(&world, acme.org_id).into_iter().filter(|one| one == "user.updated").collect();
    assert_eq!(told.len(), 2, "nothing changed, nothing told");
    world.stop().await;
}
