//! What the API document says about this slice.

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::objects::event;
use crate::openapi::operation::{Answer, get};
use crate::openapi::shape::{flag, list, object, text};

/// The feed of an organization.
#[must_use]
pub fn chapter() -> Chapter {
    let page = object([
        ("events", list(event())),
        ("next_cursor", text("evt_0198c0de4c1f7000_1").or_null().about("Send it as `after`.")),
        ("has_more", flag(false)),
    ])
    .named("EventPage");
    let answer = Answer {
        status: 200,
        about: "A page; or, for `Accept: text/event-stream`, what happens as it happens.",
        bodies: vec![
            ("application/json", page),
            ("text/event-stream", text("id: evt_0198c0de4c1f7000_1\nevent: user.created\ndata: {}\n\n")),
        ],
        headers: Vec::new(),
    };
    let operations = vec![
        get(
            "/api/organizations/{org}/events",
            "followEvents",
            "Read or follow what happens in an organization",
        )
        .about("Each event once, in order, with the id that webhooks carry too. See docs/events.md.")
        .query(
            "after",
            text("latest").about("Go on after this id; `latest`: only what comes. Default: the oldest."),
        )
        .query("types", text("user.created").about("Only these, separated by commas."))
        .header(
            "Last-Event-ID",
            text("evt_0198c0de4c1f7000_1").about("Of a stream that was cut off: go on after it."),
        )
        .limited(50)
        .answer(answer)
        .refuses(&[Code::RateLimited, Code::ServiceUnavailable]),
    ];
    Chapter {
        tag: "Events",
        about: "What happens in an organization, for those who want to hear of it.",
        operations,
    }
}
