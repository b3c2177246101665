//! Services of an organization: the limit of the tier, the life of a service, and its secrets.

use futures_util::future::join_all;
use gatehouse_actors::data::audit::AuditContext;
use gatehouse_actors::data::authorization_codes::{CodeRedemption, CodeRefusal, RedeemAuthorizationCode};
use gatehouse_actors::data::client_registration::ClientRegistration;
use gatehouse_actors::data::client_secrets::{
    ClientSecretById, RemoveClientSecrets, RotateClientSecret, RotateRefusal, SECRET_GRACE,
};
use gatehouse_actors::data::device_redemption::{RedeemDeviceCode, RedeemRefusal};
use gatehouse_actors::data::plans::{Plan, PlansOfService};
use gatehouse_actors::data::refresh_tokens::{RefreshRefusal, RotateRefreshToken};
use gatehouse_actors::data::service_admin::{
    CreateService, CreateServiceRefusal, CreatedService, DeleteService, DeleteServiceRefusal, ListServices,
    ServiceChanges, ServiceReference, ServiceSettings, ServiceWithPlans, UnknownService, UpdateService,
    UpdateServiceRefusal,
};
use gatehouse_actors::data::services::{Service, ServiceByClientId, ServiceBySlugs};
use gatehouse_actors::data::sessions::SessionByPublicId;
use gatehouse_actors::data::sign_in::SignInRefusal;
use gatehouse_actors::data::token_binding::TokenBinding;

use crate::support::{
    World, code_for, code_of, fresh, hash, hash_of_secret, issue_device_code, new_code, new_session, person,
    public_id, redeem_code, refusal, spawn_write, tenant, typed, web_sign_in,
};

pub(super) fn audit(world: &World) -> AuditContext {
    AuditContext {
        entry_public_id: public_id(),
        actor_user_id: Some("01900000-0000-7000-9000-00000000000a".to_owned()),
        ip_address: "203.0.113.9".to_owned(),
        user_agent: "tests".to_owned(),
        now: world.now(),
    }
}

fn settings(name: &str) -> ServiceSettings {
    ServiceSettings {
        name: name.to_owned(),
        service_type: "web".to_owned(),
        redirect_uris: vec!["https://app.example/callback".to_owned()],
        post_logout_redirect_uris: Vec::new(),
        github_scopes: vec!["read:user".to_owned()],
        google_scopes: Vec::new(),
        microsoft_scopes: Vec::new(),
        device_activation_uri: None,
        registration: ClientRegistration::default(),
    }
}

fn create(world: &World, org_id: i64, slug: &str) -> CreateService {
    CreateService {
        org_id,
        public_id: public_id(),
        plan_public_id: public_id(),
        slug: slug.to_owned(),
        client_id: format!("client-{}", fresh()),
        settings: settings(slug),
        audit: audit(world),
    }
}

/// An active organization of the free tier without services: its row id.
fn empty_organization(world: &World, slug: &str) -> i64 {
    world.execute(&format!(
        "INSERT INTO organizations (public_id, slug, name, status, created_at, updated_at) \
         VALUES ('{}', '{slug}', '{slug}', 'active', 0, 0)",
        public_id()
    ));
    world.number(&format!("SELECT id FROM organizations WHERE slug = '{slug}'"))
}

pub(super) fn named(org_id: i64, reference: &str) -> ServiceReference {
    ServiceReference { org_id, reference: reference.to_owned() }
}

async fn client(world: &World, client_id: &str) -> Option<Service> {
    let service = world.store.recall(ServiceByClientId { client_id: client_id.to_owned() }).await.unwrap();
    service.map(|service| (*service).clone())
}

async fn created(world: &World, org_id: i64, slug: &str) -> CreatedService {
    world.store.write(create(world, org_id, slug)).await.unwrap()
}

/// The actions of the organization's audit log, oldest first.
pub(super) fn actions(world: &World, org_id: i64) -> Vec<String> {
    let connection = world.sql();
    let mut statement =
        connection.prepare("SELECT action FROM audit_log WHERE org_id = $1 ORDER BY sequence").unwrap();
    let rows = statement.query_map([org_id], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[actix::test]
async fn a_service_comes_with_a_default_plan_and_an_entry() {
    let world = World::new();
    let org_id = empty_organization(&world, "acme");
    let made = created(&world, org_id, "app").await;
    assert_eq!((made.usage.current_services, made.usage.max_services), (1, Some(2)));
    assert_eq!(made.usage.tier, "free");
    assert_eq!((made.default_plan.terms.name.as_str(), made.default_plan.is_default), ("free", true));
    let (service, plans) =
        world.store.read(ServiceWithPlans { service: named(org_id, "app") }).await.unwrap().unwrap();
    assert_eq!((&service, plans.as_slice()), (&made.service, &[made.default_plan][..]));
    let by_id = ServiceWithPlans { service: named(org_id, &service.public_id) };
    assert_eq!(world.store.read(by_id).await.unwrap().unwrap().0, service);
    assert_eq!(actions(&world, org_id), ["service.created"]);
    world.stop().await;
}

#[actix::test]
async fn twelve_at_once_on_a_tier_of_two_give_exactly_two() {
    let world = World::new();
    let org_id = empty_organization(&world, "acme");
    let writes = (0..12).map(|n| spawn_write(&world.store, create(&world, org_id, &format!("app-{n}"))));
    let answers = join_all(writes).await;
    let (made, rest): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 2);
    for answer in rest {
        assert_eq!(refusal(answer), CreateServiceRefusal::LimitReached(2));
    }
    assert_eq!(world.number("SELECT COUNT(*) FROM services WHERE org_id <> 1"), 2);
    assert_eq!(world.number("SELECT COUNT(*) FROM plans"), 2);
    assert_eq!(actions(&world, org_id).len(), 2);
    world.stop().await;
}

#[actix::test]
async fn the_override_counts_before_the_tier_and_nothing_means_unlimited() {
    let world = World::new();
    let org_id = empty_organization(&world, "acme");
    world.execute("UPDATE organizations SET max_services = 0 WHERE slug = 'acme'");
    let refused = refusal(world.store.write(create(&world, org_id, "app")).await);
    assert_eq!(refused, CreateServiceRefusal::LimitReached(0));
    world.execute(
        "UPDATE organizations SET max_services = NULL, tier_id = 'tier_enterprise' WHERE slug = 'acme'",
    );
    for n in 0..60 {
        created(&world, org_id, &format!("app-{n}")).await;
    }
    let list = |limit, offset| ListServices { org_id, service_type: None, limit, offset };
    let (services, usage) = world.store.read(list(3, 1)).await.unwrap();
    assert_eq!((usage.current_services, usage.max_services), (60, None));
    let slugs: Vec<_> = services.iter().map(|listed| listed.service.slug.as_str()).collect();
    assert_eq!(slugs, ["app-58", "app-57", "app-56"], "newest first");
    assert!(services.iter().all(|listed| (listed.plan_count, listed.subscription_count) == (1, 0)));
    let mobile = ListServices { service_type: Some("mobile".to_owned()), ..list(50, 0) };
    assert_eq!(world.store.read(mobile).await.unwrap().0, []);
    world.stop().await;
}

#[actix::test]
async fn a_taken_slug_and_an_organization_that_is_not_active_are_refused() {
    let world = World::new();
    let (acme, globex) = (empty_organization(&world, "acme"), empty_organization(&world, "globex"));
    created(&world, acme, "app").await;
    let again = refusal(world.store.write(create(&world, acme, "app")).await);
    assert_eq!(again, CreateServiceRefusal::SlugTaken);
    created(&world, globex, "app").await; // another organization's names are its own
    world.execute("UPDATE organizations SET status = 'suspended' WHERE slug = 'acme'");
    let refused = refusal(world.store.write(create(&world, acme, "other")).await);
    assert_eq!(refused, CreateServiceRefusal::OrganizationNotActive("suspended".to_owned()));
    world.stop().await;
}

#[actix::test]
async fn a_change_touches_what_it_names_and_is_noted_once() {
    let world = World::new();
    let org_id = empty_organization(&world, "acme");
    let before = created(&world, org_id, "app").await.service;
    let update = |changes| UpdateService { service: named(org_id, "app"), changes, audit: audit(&world) };
    let changes = ServiceChanges {
        redirect_uris: Some(Vec::new()),
        device_activation_uri: Some(Some("https://app.example/activate".to_owned())),
        ..ServiceChanges::default()
    };
    let (after, _) = world.store.write(update(changes.clone())).await.unwrap();
    assert_eq!(after.settings.redirect_uris, Vec::<String>::new());
    assert_eq!(after.settings.github_scopes, before.settings.github_scopes);
    assert_eq!((&after.client_id, &after.slug), (&before.client_id, &before.slug));
    let (stored, _) =
        world.store.read(ServiceWithPlans { service: named(org_id, "app") }).await.unwrap().unwrap();
    assert_eq!(stored, after);
    world.store.write(update(changes)).await.unwrap();
    assert_eq!(actions(&world, org_id), ["service.created", "service.updated"], "no change, no entry");
    let metadata = world.text("SELECT metadata FROM audit_log WHERE action = 'service.updated'").unwrap();
    assert!(metadata.contains("device_activation_uri") && !metadata.contains("github_scopes"), "{metadata}");
    world.stop().await;
}

#[actix::test]
async fn a_service_of_another_organization_is_as_good_as_none() {
    let world = World::new();
    let (acme, globex) = (tenant(&world, "acme").await, empty_organization(&world, "globex"));
    let foreign = world.text("SELECT public_id FROM services WHERE client_id = 'acme-web'").unwrap();
    for reference in [foreign.as_str(), "web"] {
        let service = named(globex, reference);
        assert_eq!(world.store.read(ServiceWithPlans { service: service.clone() }).await.unwrap(), None);
        assert_eq!(world.store.read(PlansOfService { service: service.clone() }).await.unwrap(), None);
        let delete = DeleteService { service: service.clone(), audit: audit(&world) };
        assert_eq!(refusal(world.store.write(delete).await), DeleteServiceRefusal::Unknown);
        let changes = ServiceChanges { name: Some("Mine".to_owned()), ..ServiceChanges::default() };
        let update = UpdateService { service: service.clone(), changes, audit: audit(&world) };
        assert_eq!(refusal(world.store.write(update).await), UpdateServiceRefusal::Unknown);
        let rotate = RotateClientSecret {
            service: service.clone(),
            secret_hash: hash(),
            grace: SECRET_GRACE,
            audit: audit(&world),
        };
        assert_eq!(refusal(world.store.write(rotate).await), RotateRefusal::Unknown);
        let remove = RemoveClientSecrets { service, audit: audit(&world) };
        assert_eq!(refusal(world.store.write(remove).await), UnknownService);
    }
    assert_eq!(world.number("SELECT COUNT(*) FROM audit_log"), 0);
    assert_eq!(client(&world, "acme-web").await, Some(acme.web));
    world.stop().await;
}

#[actix::test]
async fn deleting_a_service_ends_what_it_gave_and_keeps_its_history() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let service = acme.web.clone();
    let ann = || person(&world, acme.org_id, "ann");
    let arrived = code_for(&world, &service, ann()).await;
    let redeemed = world.store.write(redeem_code(&world, &service, &arrived)).await.unwrap();
    let CodeRedemption::Granted { grant, .. } = redeemed else { panic!("no session: {redeemed:?}") };
    let pending_code = code_for(&world, &service, ann()).await;
    let device = issue_device_code(&world, &service).await.unwrap();
    let rotate = RotateClientSecret {
        service: named(acme.org_id, "web"),
        secret_hash: hash(),
        grace: SECRET_GRACE,
        audit: audit(&world),
    };
    world.store.write(rotate).await.unwrap();

    let delete = DeleteService { service: named(acme.org_id, "web"), audit: audit(&world) };
    world.store.write(delete.clone()).await.unwrap();

    let session = SessionByPublicId { public_id: grant.subject.session_public_id.clone() };
    assert!(!world.store.read(session).await.unwrap().unwrap().is_live(world.now()), "the session ended");
    assert_eq!(client(&world, &service.client_id).await, None);
    let redeem = redeem_code(&world, &service, &pending_code);
    assert_eq!(refusal(world.store.write(redeem).await), CodeRefusal::Unknown, "the code is void");
    let sign_in = web_sign_in(&service, ann(), new_code(hash()));
    assert_eq!(refusal(world.store.write(sign_in).await), SignInRefusal::ServiceGone);
    let redeem = RedeemDeviceCode {
        id: device.id,
        secret_hash: hash_of_secret(&device.secret),
        client_id: service.client_id.clone(),
        session: new_session(),
        now: world.now(),
    };
    assert_eq!(refusal(world.store.write(redeem).await), RedeemRefusal::Unknown);
    let id = world.number("SELECT id FROM device_codes");
    let question = typed(&id.to_string(), world.now());
    assert_eq!(world.store.read(question).await.unwrap(), None, "the device's code cannot be typed any more");
    assert_eq!(world.number("SELECT COUNT(*) FROM client_secrets"), 0);
    assert_eq!(world.number("SELECT COUNT(*) FROM sessions"), 1, "history stays");
    let again = DeleteService { audit: audit(&world), ..delete };
    assert_eq!(refusal(world.store.write(again).await), DeleteServiceRefusal::Unknown);
    assert_eq!(actions(&world, acme.org_id), ["client_secret.rotated", "service.deleted"]);
    let entry = world.text("SELECT metadata FROM audit_log WHERE action = 'service.deleted'").unwrap();
    assert!(entry.contains("\"ended_sessions\":1"), "{entry}");

    // The name is free again and inherits nothing.
    let successor = created(&world, acme.org_id, "web").await;
    assert_ne!(successor.service.client_id, service.client_id);
    assert!(!successor.service.has_client_secret);
    let by_slugs = ServiceBySlugs { org_slug: "acme".to_owned(), service_slug: "web".to_owned() };
    assert_eq!(world.store.read(by_slugs).await.unwrap().unwrap().id, successor.service.id);
    assert_eq!(world.number("SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL"), 0);
    world.stop().await;
}

pub(super) fn subscribe(world: &World, plan: &Plan, user: &str, status: &str) {
    let id = plan.id;
    world.execute(&format!(
        "INSERT INTO subscriptions (public_id, user_id, service_id, plan_id, status, created_at, updated_at) \
         SELECT '{}', u.id, p.service_id, p.id, '{status}', 0, 0 FROM users u JOIN plans p ON p.id = {id} \
         WHERE u.email = '{user}@example.com'",
        public_id()
    ));
}

#[actix::test]
async fn a_service_that_somebody_pays_for_is_not_deleted() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let service = named(acme.org_id, "web");
    let plans = world.store.read(PlansOfService { service: service.clone() }).await.unwrap().unwrap();
    subscribe(&world, &plans[0], "ann", "active");
    for (status, allowed) in [("active", false), ("trialing", false), ("past_due", false), ("canceled", true)]
    {
        world.execute(&format!("UPDATE subscriptions SET status = '{status}'"));
        let delete = DeleteService { service: service.clone(), audit: audit(&world) };
        let answer = world.store.write(delete).await;
        if allowed {
            answer.unwrap();
        } else {
            assert_eq!(refusal(answer), DeleteServiceRefusal::HasSubscriptions, "{status}");
        }
    }
    world.stop().await;
}

async fn rotate(world: &World, service: &ServiceReference) -> (i64, [u8; 32]) {
    let secret_hash = hash();
    let rotate = RotateClientSecret {
        service: service.clone(),
        secret_hash,
        grace: SECRET_GRACE,
        audit: audit(world),
    };
    (world.store.write(rotate).await.unwrap().id, secret_hash)
}

async fn works(world: &World, service_id: i64, (id, secret_hash): (i64, [u8; 32])) -> bool {
    let secret = world.store.recall(ClientSecretById { id, service_id }).await.unwrap();
    secret.is_some_and(|secret| secret.works(world.now()) && secret.hash == secret_hash)
}

#[actix::test]
async fn a_replaced_secret_works_for_its_grace_and_a_removed_one_not_at_all() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let service = named(acme.org_id, "web");
    let id = acme.web.id;
    let first = rotate(&world, &service).await;
    assert!(client(&world, "acme-web").await.unwrap().is_confidential);
    assert!(!client(&world, "acme-terminal").await.unwrap().is_confidential);
    let second = rotate(&world, &service).await;
    assert!(works(&world, id, first).await && works(&world, id, second).await);
    assert!(!works(&world, acme.terminal.id, second).await, "the secret of another service");
    world.clock.advance(SECRET_GRACE - 1);
    assert!(works(&world, id, first).await);
    world.clock.advance(1);
    assert!(!works(&world, id, first).await && works(&world, id, second).await);
    let remove = || RemoveClientSecrets { service: service.clone(), audit: audit(&world) };
    world.store.write(remove()).await.unwrap();
    assert!(!works(&world, id, second).await);
    assert!(!client(&world, "acme-web").await.unwrap().is_confidential);
    world.store.write(remove()).await.unwrap();
    let expected = ["client_secret.rotated", "client_secret.rotated", "client_secret.removed"];
    assert_eq!(actions(&world, acme.org_id), expected, "removing nothing is no change");
    world.stop().await;
}

#[actix::test]
async fn rotating_again_never_cuts_a_grace_short_and_is_bounded() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let service = named(acme.org_id, "web");
    let mut secrets = Vec::new();
    for _ in 0..5 {
        secrets.push(rotate(&world, &service).await);
    }
    for secret in secrets {
        assert!(works(&world, acme.web.id, secret).await);
    }
    let sixth = || RotateClientSecret {
        service: service.clone(),
        secret_hash: hash(),
        grace: SECRET_GRACE,
        audit: audit(&world),
    };
    assert_eq!(refusal(world.store.write(sixth()).await), RotateRefusal::TooMany);
    world.clock.advance(SECRET_GRACE);
    world.store.write(sixth()).await.unwrap();
    assert_eq!(world.number("SELECT COUNT(*) FROM client_secrets"), 2, "expired ones are gone");
    world.stop().await;
}

#[actix::test]
async fn a_code_without_a_challenge_needs_the_secret_and_takes_no_verifier() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let secret_hash = hash();
    let mut code = new_code(secret_hash);
    let challenge = code.code_challenge.take();
    let arrival = person(&world, acme.org_id, "ann");
    let signed_in = world.store.write(web_sign_in(&acme.web, arrival, code)).await.unwrap();
    let id = code_of(signed_in.authorized);
    let arrived = code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let bound = redeem_code(&world, &acme.web, &arrived);
    let unbound = RedeemAuthorizationCode {
        id,
        secret_hash,
        code_challenge: None,
        client_authenticated: true,
        ..bound.clone()
    };
    for bent in [
        RedeemAuthorizationCode { code_challenge: challenge, ..unbound.clone() }, // a verifier, but no challenge
        RedeemAuthorizationCode { client_authenticated: false, ..unbound.clone() }, // the secret was removed since
        RedeemAuthorizationCode { code_challenge: None, client_authenticated: true, ..bound }, // no verifier
    ] {
        assert_eq!(refusal(world.store.write(bent).await), CodeRefusal::CodeVerifier);
    }
    let granted = world.store.write(unbound).await.unwrap();
    assert!(matches!(granted, CodeRedemption::Granted { .. }), "{granted:?}");
    world.stop().await;
}

#[actix::test]
async fn the_refresh_token_of_a_confidential_client_needs_the_client() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let arrived = code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let redeem = redeem_code(&world, &acme.web, &arrived);
    let refresh_hash = redeem.session.refresh_hash;
    let redeemed = world.store.write(redeem).await.unwrap();
    let CodeRedemption::Granted { grant, .. } = redeemed else { panic!("no session: {redeemed:?}") };
    rotate(&world, &named(acme.org_id, "web")).await;
    let anonymous = RotateRefreshToken {
        id: grant.refresh_token_id,
        secret_hash: refresh_hash,
        successor_hash: hash(),
        client_id: None,
        asked: TokenBinding::default(),
        requested_scope: None,
        now: world.now(),
        audit: audit(&world),
    };
    let refused = refusal(world.store.write(anonymous.clone()).await);
    assert_eq!(refused, RefreshRefusal::ClientNotAuthenticated);
    let named = RotateRefreshToken { client_id: Some("acme-web".to_owned()), ..anonymous };
    world.store.write(named).await.unwrap();
    world.stop().await;
}
