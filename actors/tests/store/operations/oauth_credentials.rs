//! An organization's own clients at providers, and sign-ins that were started with one.

use gatehouse_actors::data::oauth_credentials::{
    DeleteOauthCredential, OauthCredential, OauthCredentialOf, OauthCredentialsOf, OrganizationNotActive,
    SaveOauthCredential, SavedOauthCredential, UnknownOauthCredential,
};
use gatehouse_actors::data::sign_in::{SignInRefusal, WebSignIn};
use gatehouse_actors::error::OpError;

use super::services::{actions, audit};
use crate::support::{Tenant, World, hash, new_code, person, public_id, refusal, tenant, web_sign_in};

fn save(world: &World, org_id: i64, client_id: &str) -> SaveOauthCredential {
    SaveOauthCredential {
        org_id,
        provider: "google".to_owned(),
        public_id: public_id(),
        version_id: public_id(),
        client_id: client_id.to_owned(),
        client_secret_sealed: format!("sealed secret of {client_id}").into_bytes(),
        issuer: None,
        audit: audit(world),
    }
}

fn delete(world: &World, org_id: i64, restore_default: bool) -> DeleteOauthCredential {
    let version_id = public_id();
    DeleteOauthCredential {
        org_id,
        provider: "google".to_owned(),
        version_id,
        restore_default,
        audit: audit(world),
    }
}

async fn found(world: &World, org_id: i64) -> Option<OauthCredential> {
    world.store.read(OauthCredentialOf { org_id, provider: "google".to_owned() }).await.unwrap()
}

async fn saved(world: &World, org_id: i64, client_id: &str) -> SavedOauthCredential {
    world.store.write(save(world, org_id, client_id)).await.unwrap()
}

async fn sign_in(
    world: &World,
    tenant: &Tenant,
    credential_version: Option<&str>,
) -> Result<WebSignIn, OpError<SignInRefusal>> {
    let mut arrival = person(world, tenant.org_id, "ada");
    arrival.credential_version = credential_version.map(ToOwned::to_owned);
    world.store.write(web_sign_in(&tenant.web, arrival, new_code(hash()))).await
}

#[actix::test]
async fn a_second_save_takes_the_place_of_the_first_and_is_another_version() {
    let world = World::new();
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    let first = saved(&world, acme.org_id, "one").await;
    assert!(!first.replaced && first.credential.is_live());
    world.clock.advance(1000);
    let second = saved(&world, acme.org_id, "two").await;
    assert!(second.replaced);
    let (before, after) = (first.credential, second.credential);
    assert_eq!((&after.public_id, after.created_at), (&before.public_id, before.created_at));
    assert_eq!((after.client_id.as_str(), after.updated_at), ("two", before.updated_at + 1000));
    assert_ne!(after.version_id, before.version_id);
    assert_eq!(found(&world, acme.org_id).await.as_ref(), Some(&after));
    assert_eq!(world.store.read(OauthCredentialsOf { org_id: acme.org_id }).await.unwrap(), [after]);
    assert_eq!(found(&world, other.org_id).await, None);
    assert_eq!(actions(&world, acme.org_id), ["oauth_credential.created", "oauth_credential.replaced"]);
    let told = world.text("SELECT metadata FROM audit_log ORDER BY id DESC LIMIT 1").unwrap();
    assert!(told.contains("one") && told.contains("two") && !told.contains("sealed"), "{told}");
    world.stop().await;
}

#[actix::test]
async fn a_deletion_leaves_the_provider_off_and_no_secret_behind() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    assert_eq!(refusal(world.store.write(delete(&world, acme.org_id, false)).await), UnknownOauthCredential);
    let first = saved(&world, acme.org_id, "one").await.credential;
    world.store.write(delete(&world, acme.org_id, false)).await.unwrap();
    let gone = found(&world, acme.org_id).await.unwrap();
    assert!(!gone.is_live() && gone.client_secret_sealed.is_empty());
    assert_ne!(gone.version_id, first.version_id);
    assert_eq!(refusal(world.store.write(delete(&world, acme.org_id, false)).await), UnknownOauthCredential);

    world.clock.advance(1000);
    let again = saved(&world, acme.org_id, "two").await;
    assert!(!again.replaced, "what was deleted is not replaced");
    assert_ne!(again.credential.public_id, first.public_id);
    assert_eq!(again.credential.created_at, world.now());

    world.store.write(delete(&world, acme.org_id, false)).await.unwrap();
    world.store.write(delete(&world, acme.org_id, true)).await.unwrap();
    assert_eq!(found(&world, acme.org_id).await, None);
    assert_eq!(refusal(world.store.write(delete(&world, acme.org_id, true)).await), UnknownOauthCredential);
    world.stop().await;
}

#[actix::test]
async fn only_an_active_organization_saves() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    world.execute("UPDATE organizations SET status = 'suspended' WHERE slug = 'acme'");
    let refused = refusal(world.store.write(save(&world, acme.org_id, "one")).await);
    assert_eq!(refused, OrganizationNotActive("suspended".to_owned()));
    assert_eq!(found(&world, acme.org_id).await, None);
    assert!(actions(&world, acme.org_id).is_empty());
    world.stop().await;
}

#[actix::test]
async fn a_sign_in_ends_with_the_client_that_it_began_with_or_not_at_all() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    assert!(sign_in(&world, &acme, None).await.is_ok());
    let first = saved(&world, acme.org_id, "one").await.credential;
    assert!(sign_in(&world, &acme, Some(&first.version_id)).await.is_ok());
    let codes = world.number("SELECT COUNT(*) FROM authorization_codes");

    let changed = SignInRefusal::CredentialChanged;
    assert_eq!(refusal(sign_in(&world, &acme, None).await), changed, "begun with the platform's client");
    let second = saved(&world, acme.org_id, "two").await.credential;
    assert_eq!(refusal(sign_in(&world, &acme, Some(&first.version_id)).await), changed);
    world.store.write(delete(&world, acme.org_id, false)).await.unwrap();
    for version in [None, Some(second.version_id.as_str())] {
        assert_eq!(refusal(sign_in(&world, &acme, version).await), changed, "the provider is off");
    }
    let tombstone = found(&world, acme.org_id).await.unwrap();
    assert_eq!(refusal(sign_in(&world, &acme, Some(&tombstone.version_id)).await), changed);
    assert_eq!(world.number("SELECT COUNT(*) FROM authorization_codes"), codes);

    world.store.write(delete(&world, acme.org_id, true)).await.unwrap();
    assert_eq!(refusal(sign_in(&world, &acme, Some(&second.version_id)).await), changed);
    assert!(sign_in(&world, &acme, None).await.is_ok());
    world.stop().await;
}
