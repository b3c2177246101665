//! What the API document says about this slice.

use serde_json::json;

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::operation::{Operation, delete, get, post};
use crate::openapi::shape::{Shape, count, flag, free, integer, list, object, text, time, uri, uuid};

/// What users and organizations buy, and what Stripe tells.
#[must_use]
pub fn chapter() -> Chapter {
    const ACCOUNT: &str = "/api/organizations/{org}/stripe-account";
    let operations = vec![
        get("/api/subscription", "getSubscription", "What the user has of the service").ok(
            "The best of their subscriptions, or the default plan.",
            object([
                ("service", text("shop")),
                ("plan", text("pro")),
                ("features", list(text("export"))),
                ("status", text("active")),
                ("current_period_end", time().or_null()),
                ("seats", count(1).or_null()),
                ("entitlements_exp", time().or_null().about("Until when this is sure.")),
                ("entitlements_version", integer(1).about("Grows with every change.")),
            ])
            .named("Subscription"),
        ),
        buying(post("/api/billing/checkout", "createCheckout", "Buy a plan"))
            .json(purchase("plan_id", uuid().at_most(64))),
        managing(post("/api/billing/portal", "openBillingPortal", "Manage what was bought")),
        buying(post("/api/organizations/{org}/billing/checkout", "createOrganizationCheckout", "Buy a tier"))
            .json(purchase("tier_id", text("tier_pro").at_most(64))),
        managing(post(
            "/api/organizations/{org}/billing/portal",
            "openOrganizationBillingPortal",
            "Manage what an organization bought",
        )),
        get(ACCOUNT, "getStripeAccount", "Look at an organization's Stripe account")
            .ok("It, without secrets.", account())
            .refuses(&[Code::NotFound]),
        post(ACCOUNT, "saveStripeAccount", "Sell through an organization's own Stripe account")
            .json(object([
                ("secret_key", text("rk_live_…").at_most(255).about("A secret or restricted key.")),
                ("webhook_secret", text("whsec_…").at_most(1000).about("Several are separated by commas.")),
            ]))
            .created("Saved.", account()),
        delete(ACCOUNT, "removeStripeAccount", "Remove an organization's Stripe account")
            .empty(204, "Removed.")
            .refuses(&[Code::NotFound]),
        delivery(post(
            "/webhooks/stripe",
            "receiveStripeEvent",
            "Stripe's events, of the platform's account",
        )),
        delivery(post(
            "/webhooks/stripe/{org}",
            "receiveStripeEventOfOrganization",
            "Stripe's events, of an organization's account",
        ))
        .refuses(&[Code::NotFound]),
    ];
    Chapter { tag: "Billing", about: "What users and organizations buy, and what Stripe tells.", operations }
}

fn url() -> Shape {
    object([("url", uri("https://checkout.stripe.com/c/pay/cs_test_a1b2c3"))]).named("StripePage")
}

fn at_stripe(operation: Operation) -> Operation {
    operation.ok("Where the browser goes.", url()).refuses(&[
        Code::NotFound,
        Code::Conflict,
        Code::OAuthError,
        Code::ServiceUnavailable,
    ])
}

fn buying(operation: Operation) -> Operation {
    at_stripe(operation).about(
        "Stripe's page for one purchase. Both addresses must be on an origin that is registered for redirects. The same \
         wish again leads to the same page.",
    )
}

fn managing(operation: Operation) -> Operation {
    at_stripe(operation)
        .about("Stripe's own page: cancel, change the card, read invoices.")
        .json(object([("return_url", uri("https://shop.example.com/account").at_most(1024))]))
}

fn purchase(name: &str, wanted: Shape) -> Shape {
    object([
        (name, wanted),
        ("quantity", integer(1).from(1).to(10_000).or_null().optional()),
        ("success_url", uri("https://shop.example.com/thanks").at_most(1024)),
        ("cancel_url", uri("https://shop.example.com/plans").at_most(1024)),
    ])
}

fn account() -> Shape {
    object([
        ("org_id", uuid()),
        ("has_secret_key", flag(true)),
        ("has_webhook_secret", flag(true)),
        ("livemode", flag(true)),
        ("webhook_url", uri("https://id.example.com/webhooks/stripe/0198c0de-4c1f-7000-8000-5a3c1e9f0b21")),
        ("created_at", time()),
        ("updated_at", time()),
    ])
    .named("StripeAccount")
}

fn delivery(operation: Operation) -> Operation {
    operation
        .about("200 once the event is stored. A repeated event is 200 and changes nothing.")
        .json(free(
            json!({ "id": "evt_1PgAbc", "type": "invoice.paid", "created": 1_772_357_400, "data": {} }),
        ))
        .ok("Stored.", object([("received", flag(true))]))
}
