//! Organizations: registered, claimed, renamed.

use futures_util::future::join_all;
use gatehouse_actors::data::PLATFORM_ORG_ID;
use gatehouse_actors::data::audit::AuditChain;
use gatehouse_actors::data::organizations::{
    FirstOwner, NewClaim, OrganizationById, OrganizationsOfMember, RegisterOrganization, RenameOrganization,
    SlugTaken,
};
use gatehouse_actors::data::users::{Arrival, Profile};
use gatehouse_actors::error::OpError;

use crate::support::{
    World, administrator, audit, code_for, person, platform, public_id, refusal, registered, spawn_write,
};

fn unclaimed(world: &World, slug: &str, email: &str) -> RegisterOrganization {
    RegisterOrganization {
        public_id: public_id(),
        slug: slug.to_owned(),
        name: format!("Organization {slug}"),
        owner: FirstOwner::Claimant { email: email.to_owned() },
        audit: audit(world),
    }
}

/// Signs in to the platform realm with `places` to claim organizations.
async fn arrive(world: &World, name: &str, places: usize, change: impl FnOnce(&mut Profile)) {
    let platform = platform(world).await;
    let claim = || NewClaim { membership_public_id: public_id(), audit: audit(world) };
    let claims = std::iter::repeat_with(claim).take(places).collect();
    let mut arrival = Arrival { claims, ..person(world, platform.org_id, name) };
    change(&mut arrival.profile);
    code_for(world, &platform, arrival).await;
}

fn owned(world: &World) -> i64 {
    world.number("SELECT COUNT(*) FROM memberships WHERE role = 'owner'")
}

#[actix::test]
async fn a_registration_makes_owner_entry_and_pending_organization_at_once() {
    let world = World::new();
    let ann = administrator(&world, "ann").await;
    let acme = registered(&world, "acme", ann.user_id).await;
    let (organization, owner) = (acme.organization, acme.owner.unwrap());
    assert_eq!((organization.status.as_str(), organization.max_users), ("pending", Some(3)));
    assert_eq!(organization.owner_user_id.as_deref(), Some(ann.public_id.as_str()));
    assert_eq!((owner.user.public_id, owner.user_id), (ann.public_id, ann.user_id));
    let entries = world.store.read(AuditChain { org_id: organization.id, after: 0, limit: 9 }).await.unwrap();
    assert_eq!(
        entries.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(),
        ["organization.created"]
    );
    let overview = world.store.read(OrganizationById { id: organization.id }).await.unwrap();
    assert_eq!(
        (overview.membership_count, overview.service_count, overview.tier.name.as_str()),
        (1, 0, "free")
    );
    world.stop().await;
}

#[actix::test]
async fn a_slug_is_given_once_also_to_many_at_once() {
    let world = World::new();
    let attempts = (0..20).map(|_| spawn_write(&world.store, unclaimed(&world, "acme", "ann@example.com")));
    let answers = join_all(attempts).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(OpError::Refused(SlugTaken)))));
    assert_eq!(world.number("SELECT COUNT(*) FROM audit_log"), 1, "a refusal leaves no entry");
    world.stop().await;
}

#[actix::test]
async fn the_platform_realm_cannot_be_registered_or_read() {
    let world = World::new();
    assert_eq!(refusal(world.store.write(unclaimed(&world, "platform", "ann@example.com")).await), SlugTaken);
    assert!(world.store.read(OrganizationById { id: PLATFORM_ORG_ID }).await.is_err());
    world.stop().await;
}

#[actix::test]
async fn only_a_verified_platform_sign_in_of_the_address_claims() {
    let world = World::new();
    world.store.write(unclaimed(&world, "acme", "ann@example.com")).await.unwrap();
    arrive(&world, "bob", 8, |_| ()).await;
    arrive(&world, "liar", 8, |profile| {
        profile.email = Some("ann@example.com".to_owned());
        profile.email_verified = false;
    })
    .await;
    let tenant = crate::support::tenant(&world, "globex").await;
    let claims = vec![NewClaim { membership_public_id: public_id(), audit: audit(&world) }];
    let end_user = Arrival { claims, ..person(&world, tenant.org_id, "ann") };
    code_for(&world, &tenant.web, end_user).await;
    assert_eq!(owned(&world), 0);
    arrive(&world, "ann", 8, |_| ()).await;
    assert_eq!(owned(&world), 1);
    let actions = "SELECT action || ' ' || (actor_user_id = (SELECT public_id FROM users WHERE org_id = 1 \
                   AND email = 'ann@example.com')) FROM audit_log ORDER BY id DESC LIMIT 1";
    assert_eq!(world.text(actions).as_deref(), Some("organization.claimed 1"));
    assert_eq!(world.number("SELECT COUNT(*) FROM organizations WHERE claim_email IS NOT NULL"), 0);
    world.stop().await;
}

#[actix::test]
async fn an_account_known_by_another_address_claims_nothing() {
    let world = World::new();
    arrive(&world, "ann", 8, |_| ()).await;
    world.store.write(unclaimed(&world, "acme", "new@example.com")).await.unwrap();
    // The provider now proves another address, which the account does not take over by itself.
    arrive(&world, "ann", 8, |profile| profile.email = Some("new@example.com".to_owned())).await;
    assert_eq!(owned(&world), 0);
    world.stop().await;
}

#[actix::test]
async fn one_sign_in_claims_a_bounded_number_and_the_next_one_goes_on() {
    let world = World::new();
    for slug in ["a-1", "a-2", "a-3", "a-4", "a-5"] {
        world.store.write(unclaimed(&world, slug, "ann@example.com")).await.unwrap();
    }
    world.execute("UPDATE organizations SET status = 'rejected' WHERE slug = 'a-2'");
    let mut counts = Vec::new();
    for _ in 0..3 {
        arrive(&world, "ann", 3, |_| ()).await;
        counts.push(owned(&world));
    }
    assert_eq!(counts, [3, 4, 4], "what was rejected is not claimed");
    world.stop().await;
}

#[actix::test]
async fn a_new_name_is_noted_once_and_the_same_name_not_at_all() {
    let world = World::new();
    let ann = administrator(&world, "ann").await;
    let id = registered(&world, "acme", ann.user_id).await.organization.id;
    for name in ["Acme", "Acme"] {
        let rename = RenameOrganization { id, name: name.to_owned(), audit: audit(&world) };
        assert_eq!(world.store.write(rename).await.unwrap().organization.name, "Acme");
    }
    assert_eq!(world.number("SELECT COUNT(*) FROM audit_log WHERE action = 'organization.renamed'"), 1);
    world.stop().await;
}

#[actix::test]
async fn the_list_of_a_member_is_paged_and_theirs_alone() {
    let world = World::new();
    let (ann, bob) = (administrator(&world, "ann").await, administrator(&world, "bob").await);
    for slug in ["a-1", "a-2", "a-3"] {
        registered(&world, slug, ann.user_id).await;
    }
    registered(&world, "b-1", bob.user_id).await;
    world.execute("UPDATE organizations SET status = 'active' WHERE slug = 'a-2'");
    let slugs = async |status: Option<&str>, limit, offset| {
        let status = status.map(ToOwned::to_owned);
        let question = OrganizationsOfMember { user_id: ann.user_id, status, limit, offset };
        let found = world.store.read(question).await.unwrap();
        found.into_iter().map(|found| found.organization.slug).collect::<Vec<_>>()
    };
    assert_eq!(slugs(None, 2, 0).await, ["a-1", "a-2"]);
    assert_eq!(slugs(None, 2, 2).await, ["a-3"]);
    assert_eq!(slugs(Some("active"), 9, 0).await, ["a-2"]);
    world.stop().await;
}
