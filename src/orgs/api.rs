//! What the API document says about this slice.

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::objects::{STATUSES, membership, organization, tier, user};
use crate::openapi::operation::{get, patch, post};
use crate::openapi::shape::{Shape, count, email, list, object, text, word};

/// Organizations.
#[must_use]
pub fn chapter() -> Chapter {
    let operations = vec![
        post("/api/organizations", "registerOrganization", "Register an organization")
            .about(
                "It is pending until a platform owner approves it. Signed in, the caller owns it. Anonymous, \
                 `owner_email` is needed: whoever signs in to the management API with that proved address may claim it. \
                 The answer is the same whether or not a user has the address.",
            )
            .json(object([
                ("slug", text("acme").at_most(40).about("3 to 40 of a-z, 0-9 and single dashes. Never changes.")),
                ("name", text("Acme").at_most(100)),
                ("owner_email", email().at_most(254).or_null().optional()),
            ]))
            .created("Registered.", registered())
            .refuses(&[Code::Conflict]),
        get("/api/organizations", "listOrganizations", "List your organizations")
            .query("status", word(&STATUSES).about("Only those in this state."))
            .paged()
            .ok("Those that the caller is a member of.", list(overview())),
        get("/api/organizations/{org}", "getOrganization", "Look at an organization").ok("It.", overview()),
        patch("/api/organizations/{org}", "renameOrganization", "Rename an organization")
            .json(object([("name", text("Acme").at_most(100))]))
            .ok("As it is now.", overview()),
    ];
    Chapter { tag: "Organizations", about: "Register, list, read and rename organizations.", operations }
}

fn overview() -> Shape {
    object([
        ("organization", organization()),
        ("membership_count", count(4)),
        ("service_count", count(2)),
        ("tier", tier()),
    ])
    .named("OrganizationOverview")
}

fn registered() -> Shape {
    object([
        ("organization", organization()),
        ("owner", user().or_null().about("Null until somebody claims the organization.")),
        ("membership", membership().or_null()),
    ])
    .named("RegisteredOrganization")
}
