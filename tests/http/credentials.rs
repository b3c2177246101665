//! Bring-your-own credentials where the database was tampered with: nothing that was moved is used.

use std::net::TcpListener;

use gatehouse::config::provider::ProviderKind;
use gatehouse::config::secret::Secret;
use gatehouse::http::connection::{SecretPlace, seal_secret};
use gatehouse_actors::data::audit::AuditContext;
use gatehouse_actors::data::oauth_credentials::SaveOauthCredential;
use gatehouse_actors::data::organizations::{SeedOrganization, SeedService};
use gatehouse_actors::data::services::{Service, ServiceBySlugs};
use gatehouse_actors::engine::{Statement, WriteTx};
use gatehouse_actors::error::OpError;
use gatehouse_actors::message::WriteOp;
use gatehouse_actors::values;
use serde_json::{Value, json};

use crate::support::{Answer, World, authorize_query, parameter, run, run_production};

const SECRET: &str = "a client secret that nobody may see";

/// Changes the database as somebody with access to the file would.
struct Tamper(&'static Statement);

impl WriteOp for Tamper {
    type Output = usize;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<usize, OpError<()>> {
        Ok(tx.execute(self.0, values![])?)
    }
}

async fn tamper(world: &World, sql: &'static str) {
    let statement = Box::leak(Box::new(Statement { name: "TAMPER", sql }));
    let changed = world.app.store.write(Tamper(statement)).await.unwrap();
    assert!(changed > 0, "{sql}");
}

async fn call(world: &World, token: &str, (method, path): (&str, &str), body: &Value) -> Answer {
    let request = world.request(method, path).bearer(token);
    let request = if body.is_null() { request } else { request.body("application/json", body.to_string()) };
    request.send().await
}

/// Saves GitHub credentials for an organization and returns what the answer shows.
async fn save(world: &World, token: &str, org: &str) -> Value {
    let path = format!("/api/organizations/{org}/oauth-credentials/github");
    let body = json!({ "client_id": format!("client-of-{org}"), "client_secret": SECRET });
    let answer = call(world, token, ("POST", &path), &body).await.expect(201);
    assert!(!answer.body.contains(SECRET));
    answer.json()
}

async fn is_readable(world: &World, token: &str, org: &str) -> bool {
    let path = format!("/api/organizations/{org}/oauth-credentials/github");
    call(world, token, ("GET", &path), &Value::Null).await.expect(200).json()["is_readable"] == true
}

/// What happens to somebody who wants to sign in to the demo app through GitHub.
async fn leave_for_github(world: &World) -> Answer {
    let query = authorize_query(&world.web_redirect_uri());
    let target = format!("/auth/github?org=demo&service=web&{query}");
    world.get(&target).header("accept", "text/html").send().await
}

/// Two active organizations with GitHub credentials of their own, and the token of who administers both.
async fn two_organizations(world: &World) -> String {
    let token = world.platform_tokens("owner@example.com").await.access;
    let body = json!({ "slug": "other", "name": "Other" });
    let made = call(world, &token, ("POST", "/api/organizations"), &body).await.expect(201).json();
    let id = made["organization"]["id"].as_str().unwrap().to_owned();
    let approve = format!("/api/platform/organizations/{id}/approve");
    call(world, &token, ("POST", &approve), &json!({})).await.expect(200);
    save(world, &token, "demo").await;
    save(world, &token, "other").await;
    token
}

#[test]
fn credentials_are_used_from_the_next_request_on() {
    run(async |world| {
        leave_for_github(world).await.expect(404);
        let token = world.platform_tokens("owner@example.com").await.access;
        let saved = save(world, &token, "demo").await;
        let callback = format!("{}/auth/github/callback/demo", world.app.base_url);
        assert_eq!(saved["redirect_uri"], callback.as_str());
        let location = leave_for_github(world).await.expect(303).location();
        let sent: Vec<_> = location.query_pairs().into_owned().collect();
        for (name, value) in [("client_id", "client-of-demo"), ("redirect_uri", callback.as_str())] {
            assert!(sent.contains(&(name.to_owned(), value.to_owned())), "{location}");
        }
    });
}

#[test]
fn a_ciphertext_that_was_moved_opens_nowhere_and_harms_nobody_else() {
    for sql in [
        // Another organization's secret, alone and with everything that belongs to it.
        "UPDATE oauth_credentials SET client_secret_sealed = (SELECT o.client_secret_sealed FROM oauth_credentials o \
         WHERE o.client_id = 'client-of-other') WHERE client_id = 'client-of-demo'",
        "UPDATE oauth_credentials SET (version_id, client_id, client_secret_sealed) = (SELECT o.version_id, \
         o.client_id, o.client_secret_sealed FROM oauth_credentials o WHERE o.client_id = 'client-of-other') \
         WHERE client_id = 'client-of-demo'",
        // Its own secret beside something else: the provider is asked by another client, or asked elsewhere.
        "UPDATE oauth_credentials SET client_id = 'client-of-mallory' WHERE client_id = 'client-of-demo'",
        "UPDATE oauth_credentials SET issuer = 'https://mallory.test' WHERE client_id = 'client-of-demo'",
        "UPDATE oauth_credentials SET version_id = 'older' WHERE client_id = 'client-of-demo'",
        "UPDATE oauth_credentials SET client_secret_sealed = x'00' WHERE client_id = 'client-of-demo'",
    ] {
        run(async |world| {
            let token = two_organizations(world).await;
            tamper(world, sql).await;
            assert!(!is_readable(world, &token, "demo").await, "{sql}");
            assert!(is_readable(world, &token, "other").await, "{sql}");
            let page = leave_for_github(world).await.expect(502);
            assert!(page.body.contains("cannot be read"), "{}", page.body);
            world.web_tokens("ada@example.com").await;
            save_again(world, &token).await;
            leave_for_github(world).await.expect(303);
        });
    }
}

async fn save_again(world: &World, token: &str) {
    let body = json!({ "client_id": "client-of-demo", "client_secret": SECRET });
    let path = "/api/organizations/demo/oauth-credentials/github";
    call(world, token, ("POST", path), &body).await.expect(200);
}

#[test]
fn an_issuer_inside_is_not_connected_to_even_when_it_got_into_the_database() {
    let bait = TcpListener::bind("127.0.0.1:0").unwrap();
    bait.set_nonblocking(true).unwrap();
    let issuer = format!("https://127.0.0.1:{}", bait.local_addr().unwrap().port());
    run_production(async |world| {
        let service = seeded(world).await;
        let (version_id, client_id) = ("01900000-0000-7000-8000-00000000000b", "client");
        let place = SecretPlace {
            org_id: service.org_id,
            provider: ProviderKind::Oidc,
            version_id,
            client_id,
            issuer: Some(&issuer),
        };
        let save = SaveOauthCredential {
            org_id: service.org_id,
            provider: "oidc".to_owned(),
            public_id: "01900000-0000-7000-8000-00000000000a".to_owned(),
            version_id: version_id.to_owned(),
            client_id: client_id.to_owned(),
            client_secret_sealed: seal_secret(&world.app, &place, &Secret::new(SECRET.to_owned())).unwrap(),
            issuer: Some(issuer.clone()),
            audit: AuditContext {
                entry_public_id: "01900000-0000-7000-8000-00000000000c".to_owned(),
                actor_user_id: None,
                ip_address: String::new(),
                user_agent: String::new(),
                now: world.app.clock.now(),
            },
        };
        world.app.store.write(save).await.unwrap();
        let query = authorize_query("https://app.example/cb");
        let target = format!("/auth/oidc?org=acme&service=app&{query}");
        let told = world.get(&target).header("accept", "text/html").send().await.expect(303).location();
        assert_eq!(told.host_str(), Some("app.example"));
        assert!(parameter(&told, "error").is_some_and(|error| error != "access_denied"), "{told}");
    });
    assert_eq!(bait.accept().map(|_| ()).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

async fn seeded(world: &World) -> Service {
    let service = SeedService {
        public_id: "01900000-0000-7000-8000-000000000011".to_owned(),
        plan_public_id: "01900000-0000-7000-8000-000000000012".to_owned(),
        slug: "app".to_owned(),
        name: "App".to_owned(),
        service_type: "web",
        client_id: "acme-app".to_owned(),
        redirect_uris: vec!["https://app.example/cb".to_owned()],
    };
    let seed = SeedOrganization {
        public_id: "01900000-0000-7000-8000-000000000010".to_owned(),
        slug: "acme".to_owned(),
        name: "Acme".to_owned(),
        claim_email: None,
        services: vec![service],
        now: world.app.clock.now(),
    };
    world.app.store.write(seed).await.unwrap();
    let question = ServiceBySlugs { org_slug: "acme".to_owned(), service_slug: "app".to_owned() };
    world.app.store.read(question).await.unwrap().unwrap()
}
