//! Exports of more events than one piece holds.

use gatehouse_actors::data::login_events::{NoteFailedSignIn, SeenFrom};
use gatehouse_actors::data::services::ServiceBySlugs;
use serde_json::Value;

use crate::support::{World, run};

const OWNER: &str = "owner@example.com";
const PER_MINUTE: usize = 60;

/// Failed sign-ins at the demo organization, as fast as they are kept.
async fn fail(world: &World, count: usize) {
    let question = ServiceBySlugs { org_slug: "demo".to_owned(), service_slug: "web".to_owned() };
    let service = world.app.store.read(question).await.unwrap().unwrap();
    for number in 0..count {
        if number % PER_MINUTE == 0 {
            world.advance(60_000);
        }
        let note = NoteFailedSignIn {
            public_id: format!("event-{number:05}"),
            org_id: service.org_id,
            service_id: service.id,
            provider: "dev".to_owned(),
            method: "web",
            seen_from: SeenFrom::default(),
            reason: "cancelled",
            now: world.app.clock.now(),
        };
        world.app.store.write(note).await.unwrap();
    }
}

#[test]
fn an_export_has_every_event_once_and_in_order() {
    run(async |world| {
        fail(world, 700).await;
        world.web_tokens("ann@example.com").await;
        fail(world, 600).await;
        let member = world.platform_tokens(OWNER).await.access;
        let answer = world
            .get("/api/organizations/demo/analytics/export?format=ndjson")
            .bearer(&member)
            .send()
            .await
            .expect(200);
        let lines: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 1301);
        assert_eq!(lines.iter().filter(|line| line["outcome"] == "success").count(), 1);
        let moments: Vec<&str> = lines.iter().map(|line| line["created_at"].as_str().unwrap()).collect();
        assert!(moments.is_sorted());
        let csv =
            world.get("/api/organizations/demo/analytics/export").bearer(&member).send().await.expect(200);
        assert_eq!(csv.body.matches("\r\n").count(), 1302);
        assert_eq!(csv.header("transfer-encoding"), Some("chunked"), "it is not held in memory");
    });
}
