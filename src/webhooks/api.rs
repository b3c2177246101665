//! What the API document says about this slice.

use gatehouse_actors::data::webhook_deliveries::FAILED_FOR_LONG;

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::objects::event;
use crate::openapi::operation::{Operation, delete, get, patch, post};
use crate::openapi::shape::{Shape, count, flag, integer, list, object, text, time, uri, uuid, word};

/// Events sent to an organization's own addresses.
#[must_use]
pub fn chapter() -> Chapter {
    const ALL: &str = "/api/organizations/{org}/webhooks";
    const ONE: &str = "/api/organizations/{org}/webhooks/{webhook}";
    let all = object([("webhooks", list(webhook())), ("limit", count(10).about("The most there may be."))]);
    let operations: Vec<Operation> = vec![
        get(ALL, "listWebhooks", "List the webhooks of an organization")
            .ok("All of them.", all.named("Webhooks")),
        post(ALL, "createWebhook", "Have events sent to an address")
            .about("The secret is in this answer only. Deliveries are signed as Standard Webhooks asks.")
            .json(settings(uri("https://hooks.example.com/gatehouse").at_most(1024)))
            .created("Made.", object([("webhook", webhook()), ("secret", secret())]).named("CreatedWebhook"))
            .refuses(&[Code::Conflict]),
        get(ONE, "getWebhook", "Look at a webhook").ok("It.", webhook()),
        patch(ONE, "updateWebhook", "Change a webhook")
            .about("Partial; null clears. Switching it on forgives what failed.")
            .json(settings(uri("https://hooks.example.com/gatehouse").at_most(1024).optional()))
            .ok("As it is now.", webhook()),
        delete(ONE, "deleteWebhook", "Delete a webhook").empty(204, "Gone, with what was still to be sent."),
        post(
            "/api/organizations/{org}/webhooks/{webhook}/secret",
            "rotateWebhookSecret",
            "Make a new secret",
        )
        .about("Until the old one expires, deliveries carry a signature of each.")
        .created(
            "The new one.",
            object([("secret", secret()), ("previous_secret_expires_at", time())]).named("WebhookSecret"),
        ),
        post("/api/organizations/{org}/webhooks/{webhook}/ping", "pingWebhook", "Send a trial event")
            .answers(202, "What is sent.", event())
            .refuses(&[Code::Conflict]),
        get(
            "/api/organizations/{org}/webhooks/{webhook}/deliveries",
            "listWebhookDeliveries",
            "What was sent, and how that went",
        )
        .query("before", text("evt_0198c0de4c1f7000_1").about("Only those of older events than this one."))
        .limited(50)
        .ok("The newest first.", object([("deliveries", list(delivery()))]).named("WebhookDeliveries")),
        post(
            "/api/organizations/{org}/webhooks/{webhook}/deliveries/{event}/replay",
            "replayWebhookDelivery",
            "Send an event again",
        )
        .answers(
            202,
            "On its way.",
            object([("event_id", text("evt_0198c0de4c1f7000_1")), ("status", word(&["pending"]))]),
        )
        .refuses(&[Code::Conflict]),
    ];
    Chapter { tag: "Webhooks", about: "Events sent to an organization's own addresses.", operations }
}

fn secret() -> Shape {
    text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
}

fn settings(url: Shape) -> Shape {
    object([
        ("url", url.about("An https address that leads to a public host.")),
        ("description", text("Our CRM").at_most(200).or_null().optional()),
        ("event_types", list(text("user.created")).items_up_to(50).or_null().optional().about("Null: all.")),
        ("enabled", flag(true).optional()),
    ])
}

fn webhook() -> Shape {
    object([
        ("id", uuid()),
        ("org_id", uuid()),
        ("url", uri("https://hooks.example.com/gatehouse")),
        ("description", text("Our CRM")),
        ("event_types", list(text("user.created")).or_null().about("Null: all.")),
        ("enabled", flag(true)),
        ("disabled_reason", text(FAILED_FOR_LONG).or_null().about("Why we switched it off.")),
        ("failing_since", time().or_null()),
        ("previous_secret_expires_at", time().or_null()),
        ("created_at", time()),
        ("updated_at", time()),
    ])
    .named("Webhook")
}

fn delivery() -> Shape {
    object([
        ("event_id", text("evt_0198c0de4c1f7000_1").or_null().about("Null when the event is purged.")),
        ("event_type", text("user.created").or_null()),
        ("status", text("delivered")),
        ("attempts", count(1)),
        ("created_at", time()),
        ("last_attempt_at", time().or_null()),
        ("last_status", integer(200).or_null()),
        ("last_error", text("timeout").or_null()),
        ("next_attempt_at", time().or_null()),
    ])
    .named("WebhookDelivery")
}
