//! Organizations, people and codes to start from.

use std::future::Future;

use gatehouse_actors::data::PLATFORM_ORG_ID;
use gatehouse_actors::data::authorization_codes::{NewAuthorizationCode, RedeemAuthorizationCode};
use gatehouse_actors::data::browser_sessions::NewBrowserSession;
use gatehouse_actors::data::device_codes::NewDeviceCode;
use gatehouse_actors::data::login_events::SeenFrom;
use gatehouse_actors::data::organizations::{SeedOrganization, SeedService};
use gatehouse_actors::data::services::{Service, ServiceById, ServiceBySlugs};
use gatehouse_actors::data::sessions::NewSession;
use gatehouse_actors::data::sign_in::{Authorized, CodeRequest, CompleteDeviceSignIn, CompleteWebSignIn};
use gatehouse_actors::data::token_binding::TokenBinding;
use gatehouse_actors::data::users::{Arrival, Profile};
use gatehouse_actors::device_code_batcher::{IssueDeviceCode, IssuedDeviceCode};
use gatehouse_actors::error::StoreError;

use super::{World, hash, public_id};

/// The redirect URI that every seeded web service has registered.
pub(crate) const REDIRECT_URI: &str = "https://app.example/callback";
/// What every authorization request is bound to (RFC 7636).
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// An active organization with a web service and a terminal service.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) org_id: i64,
    pub(crate) web: Service,
    pub(crate) terminal: Service,
}

/// Makes sure that the organization `slug` exists.
pub(crate) async fn tenant(world: &World, slug: &str) -> Tenant {
    let service = |name: &str, service_type, redirect_uris: &[&str]| SeedService {
        public_id: public_id(),
        plan_public_id: public_id(),
        slug: name.to_owned(),
        name: format!("{name} of {slug}"),
        service_type,
        client_id: format!("{slug}-{name}"),
        redirect_uris: redirect_uris.iter().map(ToString::to_string).collect(),
    };
    let seed = SeedOrganization {
        public_id: public_id(),
        slug: slug.to_owned(),
        name: format!("Organization {slug}"),
        claim_email: None,
        services: vec![service("web", "web", &[REDIRECT_URI]), service("terminal", "desktop", &[])],
        now: world.now(),
    };
    world.store.write(seed).await.unwrap();
    let (web, terminal) = (by_slugs(world, slug, "web").await, by_slugs(world, slug, "terminal").await);
    Tenant { org_id: web.org_id, web, terminal }
}

async fn by_slugs(world: &World, org_slug: &str, service_slug: &str) -> Service {
    let question = ServiceBySlugs { org_slug: org_slug.to_owned(), service_slug: service_slug.to_owned() };
    world.store.read(question).await.unwrap().unwrap()
}

/// The built-in client of the platform realm.
pub(crate) async fn platform(world: &World) -> Service {
    let service = world.store.read(ServiceById { id: 1 }).await.unwrap().unwrap();
    assert_eq!((service.org_id, service.is_platform), (PLATFORM_ORG_ID, true));
    service
}

/// A person with a verified address, as a provider reports them.
pub(crate) fn person(world: &World, org_id: i64, name: &str) -> Arrival {
    let profile = Profile {
        provider: "google".to_owned(),
        issuer: "https://accounts.google.com".to_owned(),
        subject: format!("subject-of-{name}"),
        email: Some(format!("{name}@example.com")),
        email_verified: true,
        name: Some(name.to_owned()),
        avatar_url: None,
    };
    Arrival {
        org_id,
        profile,
        credential_version: None,
        grant: None,
        new_user_public_id: public_id(),
        bootstrap_owner_email: None,
        claims: Vec::new(),
        now: world.now(),
    }
}

/// An authorization code that was handed out.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) code_id: i64,
    pub(crate) secret_hash: [u8; 32],
}

/// Signs a person in on the web, up to the code.
pub(crate) async fn code_for(world: &World, service: &Service, arrival: Arrival) -> Arrived {
    let secret_hash = hash();
    let sign_in = web_sign_in(service, arrival, new_code(secret_hash));
    let code_id = code_of(world.store.write(sign_in).await.unwrap().authorized);
    Arrived { code_id, secret_hash }
}

/// The code, or a failure of the test.
#[track_caller]
pub(crate) fn code_of(authorized: Authorized) -> i64 {
    match authorized {
        Authorized::Code(id) => id,
        Authorized::ConsentNeeded => panic!("asked for consent"),
    }
}

/// The end of a browser's sign-in for an app.
pub(crate) fn web_sign_in(
    service: &Service,
    arrival: Arrival,
    code: NewAuthorizationCode,
) -> CompleteWebSignIn {
    let browser = NewBrowserSession { secret_hash: hash(), amr: vec!["pwd".to_owned()], replaces: None };
    CompleteWebSignIn { arrival, service_id: service.id, browser, request: code_request(code) }
}

/// A request that asks for nothing but a code.
pub(crate) fn code_request(code: NewAuthorizationCode) -> CodeRequest {
    CodeRequest { code, ask_consent: false, expected_user: None }
}

pub(crate) fn new_code(secret_hash: [u8; 32]) -> NewAuthorizationCode {
    NewAuthorizationCode {
        secret_hash,
        redirect_uri: REDIRECT_URI.to_owned(),
        registered_uri: REDIRECT_URI.to_owned(),
        code_challenge: Some(CHALLENGE.to_owned()),
        scope: "openid email".to_owned(),
        nonce: Some("n-0S6_WzA2Mj".to_owned()),
        binding: TokenBinding::default(),
        seen_from: SeenFrom { ip_address: "198.51.100.9".to_owned(), user_agent: "Browser/1".to_owned() },
    }
}

pub(crate) fn new_session() -> NewSession {
    NewSession { public_id: public_id(), refresh_hash: hash(), binding: TokenBinding::default() }
}

/// The token request that redeems a code, right in every respect.
pub(crate) fn redeem_code(world: &World, service: &Service, arrived: &Arrived) -> RedeemAuthorizationCode {
    RedeemAuthorizationCode {
        id: arrived.code_id,
        secret_hash: arrived.secret_hash,
        client_id: service.client_id.clone(),
        redirect_uri: REDIRECT_URI.to_owned(),
        code_challenge: Some(CHALLENGE.to_owned()),
        client_authenticated: false,
        asked: TokenBinding::default(),
        session: new_session(),
        now: world.now(),
    }
}

/// Asks for a device code.
pub(crate) fn issue_device_code(
    world: &World,
    service: &Service,
) -> impl Future<Output = Result<IssuedDeviceCode, StoreError>> + use<> {
    let code = NewDeviceCode {
        org_id: service.org_id,
        service_id: service.id,
        scope: "openid".to_owned(),
        requested_from: "203.0.113.7".to_owned(),
        user_agent: "gatehouse login".to_owned(),
        now: world.now(),
    };
    let store = world.store.clone();
    async move { store.issue_device_code(IssueDeviceCode { code }).await }
}

/// The end of a browser's sign-in for a device code.
pub(crate) fn device_sign_in(
    service: &Service,
    arrival: Arrival,
    device_code_id: i64,
) -> CompleteDeviceSignIn {
    CompleteDeviceSignIn { arrival, service_id: service.id, device_code_id, amr: vec!["otp".to_owned()] }
}
