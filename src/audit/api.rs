//! What the API document says about this slice.

use serde_json::json;

use crate::openapi::document::Chapter;
use crate::openapi::operation::{Operation, get};
use crate::openapi::shape::{Shape, count, day, email, free, list, object, text, time, uuid};

/// The audit log.
#[must_use]
pub fn chapter() -> Chapter {
    let operations = vec![
        filtered(get(
            "/api/organizations/{org}/audit-log",
            "listAuditLog",
            "Read an organization's audit log",
        )),
        filtered(get("/api/platform/audit-log", "listPlatformAuditLog", "Read the audit log of everything")),
    ];
    Chapter { tag: "Audit log", about: "Who changed what, from where.", operations }
}

fn filtered(operation: Operation) -> Operation {
    operation
        .query("action", text("member.role_changed").at_most(100))
        .query("target_type", text("user").at_most(100))
        .query("target_id", uuid().at_most(100))
        .query("user_id", uuid().at_most(100).about("Who did it."))
        .query("start_date", day().about("The first day, UTC."))
        .query("end_date", day().such_as("2026-03-31").about("The last day, included."))
        .paged()
        .ok("The newest first.", log())
}

fn log() -> Shape {
    let details = || free(json!({ "role": "admin" }));
    let entry = object([
        ("id", uuid()),
        ("actor_user_id", uuid().or_null()),
        ("user_id", uuid().or_null().about("The same as `actor_user_id`.")),
        ("user_email", email().or_null()),
        ("action", text("member.role_changed")),
        ("target_type", text("user")),
        ("target_id", text("0198c0de-4c1f-7000-8000-5a3c1e9f0b21")),
        ("resource_type", text("user").about("The same as `target_type`.")),
        ("resource_id", text("0198c0de-4c1f-7000-8000-5a3c1e9f0b21").about("The same as `target_id`.")),
        ("metadata", details()),
        ("details", details().about("The same as `metadata`.")),
        ("ip_address", text("203.0.113.7")),
        ("user_agent", text("curl/8.5.0")),
        ("org_id", uuid()),
        ("created_at", time()),
    ])
    .named("AuditEntry");
    object([("logs", list(entry)), ("total", count(1))]).named("AuditLog")
}
