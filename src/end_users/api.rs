//! What the API document says about this slice.

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::objects::{PROVIDERS, revoked, user};
use crate::openapi::operation::{delete, get};
use crate::openapi::shape::{Shape, count, email, integer, list, object, text, time, uri, uuid, word};

/// Those who sign in to an organization's services.
#[must_use]
pub fn chapter() -> Chapter {
    let unknown = &[Code::NotFound];
    let operations = vec![
        get("/api/organizations/{org}/users", "listEndUsers", "List the users of an organization's services")
            .query("email", text("ada@").about("Only those whose address contains this.").at_most(254))
            .query("service_slug", text("shop").about("Only those who signed in to this service.").at_most(254))
            .paged()
            .ok("A page of them.", end_users()),
        get("/api/organizations/{org}/users/{user_id}", "getEndUser", "Look at a user")
            .ok("The user.", end_user())
            .refuses(unknown),
        delete("/api/organizations/{org}/users/{user_id}", "eraseEndUser", "Erase a user")
            .about("Everything that is kept about the person in this organization goes, and nothing brings it back.")
            .empty(204, "Erased.")
            .refuses(unknown),
        delete("/api/organizations/{org}/users/{user_id}/sessions", "signOutEndUser", "Sign a user out everywhere")
            .ok("How many sessions of this organization ended.", revoked())
            .refuses(unknown),
    ];
    Chapter { tag: "Users", about: "Those who sign in to an organization's services.", operations }
}

fn end_user() -> Shape {
    let subscription = object([
        ("id", uuid()),
        ("service_id", uuid()),
        ("service", text("shop")),
        ("service_name", text("Shop")),
        ("plan_id", uuid()),
        ("plan", text("pro")),
        ("features", list(text("export"))),
        ("status", text("active").about("Stripe's own word.")),
        ("current_period_end", time().or_null()),
        ("created_at", time()),
    ]);
    let identity = object([
        ("provider", word(&PROVIDERS)),
        ("issuer", uri("https://github.com")),
        ("email", email().or_null()),
        ("created_at", time()),
        ("last_login_at", time()),
    ]);
    object([
        ("user", user()),
        ("subscriptions", list(subscription)),
        ("identities", list(identity)),
        ("session_count", count(1)),
        ("last_login_at", time().or_null()),
    ])
    .named("EndUser")
}

fn end_users() -> Shape {
    object([
        ("users", list(end_user())),
        ("total", count(1)),
        ("page", integer(1).from(1)),
        ("limit", integer(50).from(1)),
    ])
    .named("EndUsers")
}
