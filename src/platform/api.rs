//! What the API document says about this slice.

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::objects::{STATUSES, organization_members, tier, user, user_members};
use crate::openapi::operation::{Operation, delete, get, patch, post};
use crate::openapi::shape::{Shape, count, email, flag, integer, list, object, text, uuid, word};

/// What platform owners do.
#[must_use]
pub fn chapter() -> Chapter {
    let reason = || text("Not a customer").at_most(500);
    let limit = || integer(10).to(1_000_000).or_null().optional();
    let unknown = &[Code::NotFound];
    let user_named = object([
        ("user_id", uuid().or_null().optional()),
        ("email", email().at_most(254).or_null().optional()),
    ]);
    let operations = vec![
        get("/api/platform/tiers", "listTiers", "List the tiers").ok("By price.", list(tier())),
        patch("/api/platform/tiers/{id}", "setTierPrice", "Tie a tier to a price at Stripe")
            .json(object([(
                "stripe_price_id",
                text("price_1PgAbc").at_most(255).or_null().about("Null unties it."),
            )]))
            .ok(
                "As it is now.",
                object([("id", text("tier_pro")), ("stripe_price_id", text("price_1PgAbc").or_null())]),
            )
            .refuses(unknown),
        get("/api/platform/organizations", "listAllOrganizations", "List every organization")
            .query("status", word(&STATUSES))
            .query("tier_id", text("tier_free").at_most(64))
            .query(
                "search",
                text("acme").at_most(254).about("A part of the name, the slug or the owner's address."),
            )
            .paged()
            .ok(
                "A page of them.",
                object([("organizations", list(governed())), ("total", count(3))])
                    .named("GovernedOrganizations"),
            ),
        decision(post(
            "/api/platform/organizations/{id}/approve",
            "approveOrganization",
            "Let an organization in",
        ))
        .about("Pending becomes active.")
        .optional_json(object([("tier_id", text("tier_free").at_most(64).or_null().optional())])),
        decision(post(
            "/api/platform/organizations/{id}/reject",
            "rejectOrganization",
            "Turn an organization away",
        ))
        .about("Pending becomes rejected.")
        .json(object([("reason", reason())])),
        decision(post(
            "/api/platform/organizations/{id}/suspend",
            "suspendOrganization",
            "Suspend an organization",
        ))
        .about("Active becomes suspended; sessions, codes, invitations and provider tokens end with it.")
        .optional_json(object([("reason", reason().or_null().optional())])),
        decision(post(
            "/api/platform/organizations/{id}/activate",
            "activateOrganization",
            "Lift a suspension",
        ))
        .about("Suspended becomes active. What ended stays ended.")
        .optional_json(object([])),
        decision(patch(
            "/api/platform/organizations/{id}/tier",
            "setOrganizationTier",
            "Set an organization's tier and limits",
        ))
        .about("A limit that is left out stays, one that is null goes back to the tier's.")
        .json(object([
            ("tier_id", text("tier_pro").at_most(64)),
            ("max_services", limit().from(0)),
            ("max_users", limit().from(1)),
        ])),
        post("/api/platform/owners", "appointPlatformOwner", "Appoint a platform owner")
            .about("An administrator, named by one of the two.")
            .json(user_named.example_without(&["user_id"]))
            .ok("Was one already.", owner())
            .created("Is one now.", owner())
            .refuses(unknown),
        delete("/api/platform/owners/{user_id}", "demotePlatformOwner", "Demote a platform owner")
            .about("Never the last one, never oneself.")
            .empty(204, "Demoted.")
            .refuses(unknown),
    ];
    Chapter { tag: "Platform", about: "Letting organizations in, and who owns the platform.", operations }
}

fn decision(operation: Operation) -> Operation {
    operation.ok("As it is now, flat and nested.", decided()).refuses(&[Code::NotFound, Code::Conflict])
}

fn governed_members() -> Shape {
    organization_members().with([("tier", tier()), ("owner", user().or_null())])
}

fn governed() -> Shape {
    governed_members().named("GovernedOrganization")
}

fn decided() -> Shape {
    let revoked = object([
        ("sessions", count(4)),
        ("device_codes", count(0)),
        ("authorization_codes", count(0)),
        ("invitations", count(1)),
        ("provider_grants", count(2)),
    ]);
    governed_members()
        .with([
            ("organization", governed()),
            ("revoked", revoked.optional().about("What a suspension ended.")),
        ])
        .named("DecidedOrganization")
}

fn owner() -> Shape {
    user_members().with([("is_platform_owner", flag(true))]).named("PlatformOwner")
}
