//! Origins of registered redirect URIs: as registered at this moment, in a browser's one form.

use gatehouse_actors::data::redirect_origins::IsRedirectOrigin;
use gatehouse_actors::data::service_admin::{DeleteService, ServiceChanges, ServiceReference, UpdateService};

use crate::support::{Tenant, World, audit, tenant};

async fn is_known(world: &World, origin: &str) -> bool {
    world.store.read(IsRedirectOrigin { origin: origin.to_owned() }).await.unwrap()
}

fn web(acme: &Tenant) -> ServiceReference {
    ServiceReference { org_id: acme.org_id, reference: "web".to_owned() }
}

async fn register(world: &World, acme: &Tenant, uris: &[&str]) {
    let redirect_uris = Some(uris.iter().map(ToString::to_string).collect());
    let changes = ServiceChanges { redirect_uris, ..ServiceChanges::default() };
    let update = UpdateService { service: web(acme), changes, audit: audit(world) };
    world.store.write(update).await.unwrap();
}

#[actix::test]
async fn an_origin_is_known_exactly() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let uris = [
        "https://app.a.test/cb",
        "https://APP2.a.test:443/cb?x=1",
        "https://app.a.test:8443/cb",
        "http://localhost:5173/cb",
        "com.example.app:/cb",
    ];
    register(&world, &acme, &uris).await;
    for origin in
        ["https://app.a.test", "https://app2.a.test", "https://app.a.test:8443", "http://localhost:5173"]
    {
        assert!(is_known(&world, origin).await, "{origin}");
    }
    for origin in [
        "null",
        "",
        "*",
        "https://app.a.test.evil.test",
        "https://evil-app.a.test",
        "https://appXa.test",
        "http://app.a.test",
        "https://app.a.test:444",
        "https://app.a.test:443",
        "https://app.a.test/",
        "https://app.a.test/cb",
        "HTTPS://app.a.test",
        "https://App.a.test",
        "https://app.a.test@evil.test",
        "http://localhost",
        "http://localhost:5174",
        "http://127.0.0.1:5173",
        "com.example.app://",
    ] {
        assert!(!is_known(&world, origin).await, "{origin}");
    }
    world.stop().await;
}

#[actix::test]
async fn a_loopback_address_has_any_port() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    register(&world, &acme, &["http://127.0.0.1:1/cb", "http://[::1]/cb"]).await;
    for origin in ["http://127.0.0.1", "http://127.0.0.1:5173", "http://[::1]:8080", "http://[::1]"] {
        assert!(is_known(&world, origin).await, "{origin}");
    }
    for origin in ["http://127.0.0.1.evil.test", "https://127.0.0.1", "http://127.0.0.11", "http://[::1]x"] {
        assert!(!is_known(&world, origin).await, "{origin}");
    }
    world.stop().await;
}

#[actix::test]
async fn what_is_no_longer_registered_is_no_longer_known() {
    let world = World::new();
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    assert!(is_known(&world, "https://app.example").await, "seeded");
    register(&world, &acme, &["https://new.example/cb"]).await;
    assert!(is_known(&world, "https://new.example").await);
    assert!(is_known(&world, "https://app.example").await, "the other one has it still");
    register(&world, &other, &[]).await;
    assert!(!is_known(&world, "https://app.example").await);
    world.store.write(DeleteService { service: web(&acme), audit: audit(&world) }).await.unwrap();
    assert!(!is_known(&world, "https://new.example").await);
    assert_eq!(world.number("SELECT COUNT(*) FROM redirect_origins"), 0);
    world.stop().await;
}
