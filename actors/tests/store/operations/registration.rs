//! What a service registers as an OAuth client.

use gatehouse_actors::data::client_registration::{
    AuthMethod, ClientRegistration, RegistrationChanges, ServiceScope, SigningAlgorithm,
};
use gatehouse_actors::data::client_secrets::{
    RemoveClientSecrets, RotateClientSecret, RotateRefusal, SECRET_GRACE,
};
use gatehouse_actors::data::service_admin::{
    ServiceChanges, ServiceWithPlans, UpdateService, UpdateServiceRefusal,
};
use gatehouse_actors::data::services::{Service, ServiceByClientId};
use serde_json::json;

use super::services::{audit, named};
use crate::support::{World, hash, refusal, tenant};

fn everything() -> ClientRegistration {
    ClientRegistration {
        token_endpoint_auth_method: Some(AuthMethod::PrivateKeyJwt),
        jwks: Some(json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "AA" }] })),
        id_token_signed_response_alg: SigningAlgorithm::EdDsa,
        backchannel_logout_uri: Some("https://app.example/logout".to_owned()),
        backchannel_logout_session_required: true,
        dpop_bound_access_tokens: true,
        require_pushed_authorization_requests: true,
        is_third_party: true,
        scopes: vec![ServiceScope { name: "files".to_owned(), description: "Your files".to_owned() }],
        resources: vec!["https://api.example/".to_owned()],
    }
}

fn changes_to(all: &ClientRegistration) -> RegistrationChanges {
    let all = all.clone();
    RegistrationChanges {
        token_endpoint_auth_method: Some(all.token_endpoint_auth_method),
        jwks: Some(all.jwks),
        id_token_signed_response_alg: Some(all.id_token_signed_response_alg),
        backchannel_logout_uri: Some(all.backchannel_logout_uri),
        backchannel_logout_session_required: Some(all.backchannel_logout_session_required),
        dpop_bound_access_tokens: Some(all.dpop_bound_access_tokens),
        require_pushed_authorization_requests: Some(all.require_pushed_authorization_requests),
        is_third_party: Some(all.is_third_party),
        scopes: Some(all.scopes),
        resources: Some(all.resources),
    }
}

fn update(world: &World, org_id: i64, registration: RegistrationChanges) -> UpdateService {
    let changes = ServiceChanges { registration, ..ServiceChanges::default() };
    UpdateService { service: named(org_id, "web"), changes, audit: audit(world) }
}

async fn client(world: &World) -> Service {
    world.store.read(ServiceByClientId { client_id: "acme-web".to_owned() }).await.unwrap().unwrap()
}

fn method(method: AuthMethod) -> RegistrationChanges {
    RegistrationChanges { token_endpoint_auth_method: Some(Some(method)), ..RegistrationChanges::default() }
}

#[actix::test]
async fn every_member_is_kept_and_read_in_both_views() {
    let world = World::new();
    let org_id = tenant(&world, "acme").await.org_id;
    assert_eq!(client(&world).await.registration, ClientRegistration::default());
    let (after, _) = world.store.write(update(&world, org_id, changes_to(&everything()))).await.unwrap();
    assert_eq!(after.settings.registration, everything());
    let (stored, _) =
        world.store.read(ServiceWithPlans { service: named(org_id, "web") }).await.unwrap().unwrap();
    assert_eq!(stored, after);
    assert_eq!(client(&world).await.registration, everything());
    let cleared = changes_to(&ClientRegistration::default());
    world.store.write(update(&world, org_id, cleared)).await.unwrap();
    assert_eq!(client(&world).await.registration, ClientRegistration::default());
    world.stop().await;
}

#[actix::test]
async fn a_client_is_confidential_by_its_method_or_else_by_its_secret() {
    let world = World::new();
    let org_id = tenant(&world, "acme").await.org_id;
    let told = |service: &Service| (service.auth_method, service.is_confidential);
    assert_eq!(told(&client(&world).await), (AuthMethod::None, false));
    let rotate = || RotateClientSecret {
        service: named(org_id, "web"),
        secret_hash: hash(),
        grace: SECRET_GRACE,
        audit: audit(&world),
    };
    world.store.write(rotate()).await.unwrap();
    assert_eq!(told(&client(&world).await), (AuthMethod::ClientSecretBasic, true));
    // A confidential client does not become public by the way.
    let public = update(&world, org_id, method(AuthMethod::None));
    assert_eq!(refusal(world.store.write(public).await), UpdateServiceRefusal::HasSecret);
    world.store.write(update(&world, org_id, method(AuthMethod::ClientSecretPost))).await.unwrap();
    let remove = RemoveClientSecrets { service: named(org_id, "web"), audit: audit(&world) };
    world.store.write(remove).await.unwrap();
    assert_eq!(
        told(&client(&world).await),
        (AuthMethod::ClientSecretPost, true),
        "no secret, and not public"
    );
    let keys = update(&world, org_id, method(AuthMethod::PrivateKeyJwt));
    assert_eq!(refusal(world.store.write(keys).await), UpdateServiceRefusal::NoKeys);
    world.store.write(update(&world, org_id, method(AuthMethod::None))).await.unwrap();
    assert_eq!(told(&client(&world).await), (AuthMethod::None, false));
    let refused = refusal(world.store.write(rotate()).await);
    assert_eq!(refused, RotateRefusal::OtherMethod(AuthMethod::None));
    world.stop().await;
}
