//! The objects that several slices show; see `http::objects`.

use serde_json::json;

use super::shape::{Shape, count, email, free, integer, object, text, time, uri, uuid, word};

/// States of an organization.
pub const STATUSES: [&str; 4] = ["active", "pending", "suspended", "rejected"];
/// Roles in an organization.
pub const ROLES: [&str; 3] = ["member", "admin", "owner"];
/// Sign-in providers that a person can come from.
pub const PROVIDERS: [&str; 5] = ["github", "google", "microsoft", "oidc", "dev"];

/// A user, as others see them.
#[must_use]
pub fn user_members() -> Shape {
    object([
        ("id", uuid()),
        ("email", email().or_null().about("An address that a provider proved; null without one.")),
        ("name", text("Ada Lovelace").or_null()),
        ("avatar_url", uri("https://avatars.example.com/ada.png").or_null()),
        ("created_at", time()),
    ])
}

/// A user, as others see them.
#[must_use]
pub fn user() -> Shape {
    user_members().named("User")
}

/// The members of an organization, to be put into other objects.
#[must_use]
pub fn organization_members() -> Shape {
    object([
        ("id", uuid()),
        ("slug", text("acme").about("Its name in addresses; never changes.")),
        ("name", text("Acme")),
        ("owner_user_id", uuid().or_null().about("Null until somebody claims the organization.")),
        ("status", word(&STATUSES)),
        ("tier_id", text("tier_free")),
        ("max_services", count(5).or_null().about("Set for this organization; null: what the tier says.")),
        ("max_users", count(10).or_null().about("Set for this organization; null: what the tier says.")),
        ("approved_by", uuid().or_null()),
        ("approved_at", time().or_null()),
        ("rejected_by", uuid().or_null()),
        ("rejected_at", time().or_null()),
        ("rejection_reason", text("Not a customer").or_null()),
        ("created_at", time()),
        ("updated_at", time()),
    ])
}

/// An organization.
#[must_use]
pub fn organization() -> Shape {
    organization_members().named("Organization")
}

/// A tier.
#[must_use]
pub fn tier() -> Shape {
    object([
        ("id", text("tier_free")),
        ("name", text("free")),
        ("display_name", text("Free")),
        ("default_max_services", count(2).or_null().about("Null: unlimited.")),
        ("default_max_users", count(3).or_null().about("Null: unlimited.")),
        ("features", free(json!({ "sso": true }))),
        ("price_cents", count(4900).about("Per month, in minor units of the currency.")),
        ("currency", text("USD")),
        ("created_at", time()),
    ])
    .named("Tier")
}

/// A membership.
#[must_use]
pub fn membership() -> Shape {
    object([
        ("id", uuid()),
        ("org_id", uuid()),
        ("user_id", uuid()),
        ("role", word(&ROLES)),
        ("created_at", time()),
    ])
    .named("Membership")
}

/// How many sessions ended.
#[must_use]
pub fn revoked() -> Shape {
    object([("message", text("2 sessions were ended.")), ("revoked_count", count(2))]).named("Revoked")
}

/// An event of an organization: what feeds, streams and webhooks carry.
#[must_use]
pub fn event() -> Shape {
    object([
        ("id", text("evt_0198c0de4c1f7000_1").about("Its id, and the cursor to go on after it. Opaque.")),
        ("type", text("user.created")),
        ("timestamp", time()),
        ("organization_id", uuid()),
        ("sequence", integer(1).from(0).about("Its number in the organization, without gaps.")),
        (
            "data",
            free(json!({ "user_id": "0198c0de-4c1f-7000-8000-5a3c1e9f0b21" })).about("See docs/events.md."),
        ),
    ])
    .named("Event")
}
