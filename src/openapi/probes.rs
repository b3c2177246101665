//! What the API document says about liveness and readiness, and about itself.

use serde_json::json;

use super::document::Chapter;
use super::operation::{Answer, Operation, get};
use super::shape::{Shape, free, object, text, word};

/// Is it well?
#[must_use]
pub fn chapter() -> Chapter {
    let ready = || {
        object([("status", word(&["ready"])), ("actors", free(json!({ "writer": { "committed": 12 } })))])
            .named("Readiness")
    };
    let operations = vec![
        get("/health/live", "isLive", "Whether the process runs")
            .ok("It does.", object([("status", word(&["ok"]))])),
        get("/health/ready", "isReady", "Whether it can serve").ok("It can.", ready()),
        get("/health", "getHealth", "Whether it can serve, at its other address").ok("It can.", ready()),
        kept(
            get("/assets/gatehouse.css", "getStylesheet", "The stylesheet of hosted pages"),
            "text/css",
            text("body {}"),
        )
        .query("v", text("0123456789abcdef").about("Names the content, which may then be kept for good.")),
        get("/metrics", "getMetrics", "What is counted and measured")
            .about("The text format of Prometheus. Where it is shown is a setting.")
            .answer(Answer {
                status: 200,
                about: "The figures.",
                bodies: vec![("text/plain", text("# TYPE gatehouse_http_requests_total counter\n"))],
                headers: Vec::new(),
            }),
        kept(
            get("/openapi.json", "getApiDocument", "This document"),
            "application/json",
            object([("openapi", text("3.1.1"))]).open().named("ApiDocument"),
        ),
        get("/docs", "readDocs", "This document, to be read").page("All operations, by topic."),
        get("/docs/{topic}", "readDocsTopic", "One topic of this document, to be read")
            .page("Its operations.")
            .refuses(&[crate::error::Code::NotFound]),
    ];
    Chapter { tag: "Operations", about: "Liveness, readiness, and the API document itself.", operations }
}

fn kept(operation: Operation, media: &'static str, shape: Shape) -> Operation {
    operation
        .header("If-None-Match", text("\"3q2-7w\"").about("An `ETag` that is known."))
        .answer(Answer {
            status: 200,
            about: "It.",
            bodies: vec![(media, shape)],
            headers: vec![("ETag", "Names this version.")],
        })
        .empty(304, "It is the one that is known.")
}
