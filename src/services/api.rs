//! What the API document says about this slice.

use serde_json::json;

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::operation::{delete, get, patch, post};
use crate::openapi::shape::{
    Shape, count, flag, free, integer, list, number, object, text, time, uri, uuid, word,
};

const TYPES: [&str; 4] = ["web", "mobile", "desktop", "api"];
const METHODS: [&str; 4] = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
const ALGORITHMS: [&str; 3] = ["ES256", "RS256", "EdDSA"];

/// Services, their secrets and plans.
#[must_use]
pub fn chapter() -> Chapter {
    const ALL: &str = "/api/organizations/{org}/services";
    const ONE: &str = "/api/organizations/{org}/services/{svc}";
    const SECRET: &str = "/api/organizations/{org}/services/{svc}/client-secret";
    const PLANS: &str = "/api/organizations/{org}/services/{svc}/plans";
    const PLAN: &str = "/api/organizations/{org}/services/{svc}/plans/{plan}";
    let unknown = &[Code::NotFound];
    let operations = vec![
        get(ALL, "listServices", "List the services of an organization")
            .query("service_type", word(&TYPES).about("Only those of this type."))
            .paged()
            .ok("The newest first, and how many there may be.", services()),
        post(ALL, "createService", "Make a service")
            .about(
                "An OAuth client, with a default plan. Redirect URIs are https, http on loopback, or a private-use \
                 scheme with a dot; without a fragment.",
            )
            .json(with_settings(object([
                ("slug", text("shop").at_most(40).about("3 to 40 of a-z, 0-9 and single dashes. Never changes.")),
                ("name", text("Shop").at_most(100)),
                ("service_type", word(&TYPES)),
            ])))
            .created("Made.", created())
            .refuses(&[Code::Conflict, Code::ServiceLimitExceeded]),
        get(ONE, "getService", "Look at a service").ok("The service, flat and nested, with its plans.", detail()),
        patch(ONE, "updateService", "Change a service")
            .about("Partial; null clears. `slug` and `client_id` never change.")
            .json(with_settings(object([
                ("name", text("Shop").at_most(100).optional()),
                ("service_type", word(&TYPES).optional()),
            ])))
            .ok("As it is now.", detail())
            .refuses(&[Code::Conflict]),
        delete(ONE, "deleteService", "Delete a service")
            .about("Its sessions end. One with active subscriptions stays.")
            .empty(204, "Gone.")
            .refuses(&[Code::Conflict]),
        post(SECRET, "rotateClientSecret", "Make, or replace, the client secret")
            .about("The secret is in this answer only. The ones before it go on working for the grace.")
            .optional_json(object([(
                "grace_seconds",
                integer(3600).from(0).to(86400).or_null().optional().about("0: the ones before it stop at once."),
            )]))
            .created("The new one.", secret())
            .refuses(&[Code::Conflict]),
        delete(SECRET, "removeClientSecrets", "Remove all client secrets")
            .about("The service is a public client again; its sessions end.")
            .empty(204, "Removed."),
        get(PLANS, "listPlans", "List the plans of a service").ok("All of them.", list(plan_answer())).refuses(unknown),
        post(PLANS, "createPlan", "Make a plan")
            .about("The price as `price_cents` or as `price_monthly`, not both.")
            .json(plan_input(text("Pro").at_most(100)))
            .created("Made.", plan_answer())
            .refuses(&[Code::Conflict]),
        patch(PLAN, "updatePlan", "Change a plan")
            .about("Partial; null clears.")
            .json(plan_input(text("Pro").at_most(100).optional()))
            .ok("As it is now.", plan_answer())
            .refuses(&[Code::Conflict]),
        delete(PLAN, "deletePlan", "Delete a plan")
            .about("Not the default one, and none with subscriptions.")
            .empty(204, "Gone.")
            .refuses(&[Code::Conflict]),
    ];
    Chapter {
        tag: "Services",
        about: "OAuth clients of an organization, their secrets and plans.",
        operations,
    }
}

/// What can be set about a service beside its name and type. All of it may be left out.
fn with_settings(base: Shape) -> Shape {
    let uris = || list(uri("https://shop.example.com/callback")).items_up_to(50).or_null().optional();
    let scopes = |example: &str| list(text(example)).items_up_to(50).or_null().optional();
    let switch = || flag(false).or_null().optional();
    base.with([
        ("redirect_uris", uris()),
        ("post_logout_redirect_uris", uris()),
        ("github_scopes", scopes("repo")),
        ("google_scopes", scopes("https://www.googleapis.com/auth/calendar")),
        ("microsoft_scopes", scopes("Mail.Read")),
        ("device_activation_uri", uri("https://shop.example.com/activate").or_null().optional()),
        ("token_endpoint_auth_method", word(&METHODS).or_null().optional()),
        ("jwks", keys().or_null().optional().about("For `private_key_jwt`: public keys only.")),
        ("id_token_signed_response_alg", word(&ALGORITHMS).or_null().optional()),
        ("backchannel_logout_uri", uri("https://shop.example.com/logout").or_null().optional()),
        ("backchannel_logout_session_required", switch()),
        ("dpop_bound_access_tokens", switch()),
        ("require_pushed_authorization_requests", switch()),
        ("is_third_party", switch().about("People are asked for consent.")),
        ("scopes", list(scope()).items_up_to(50).or_null().optional()),
        (
            "resources",
            list(uri("https://api.example.com")).items_up_to(50).or_null().optional().about("RFC 8707."),
        ),
    ])
    .example_without(&["jwks"])
}

fn keys() -> Shape {
    let key =
        free(json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }));
    object([("keys", list(key))]).open()
}

fn scope() -> Shape {
    object([("name", text("orders:read")), ("description", text("See your orders"))])
}

fn service_members() -> Shape {
    object([
        ("id", uuid()),
        ("org_id", uuid()),
        ("slug", text("shop")),
        ("name", text("Shop")),
        ("service_type", word(&TYPES)),
        ("client_id", text("kP3vT9xQ0aZr7LmN2sWc8YbD4eGh6JtU")),
        ("has_client_secret", flag(false)),
        ("github_scopes", list(text("repo"))),
        ("google_scopes", list(text("https://www.googleapis.com/auth/calendar"))),
        ("microsoft_scopes", list(text("Mail.Read"))),
        ("redirect_uris", list(text("https://shop.example.com/callback"))),
        ("post_logout_redirect_uris", list(text("https://shop.example.com/"))),
        ("device_activation_uri", uri("https://shop.example.com/activate").or_null()),
        ("created_at", time()),
        ("token_endpoint_auth_method", word(&METHODS).about("What holds, also when nothing was chosen.")),
        ("jwks", keys().or_null()),
        ("id_token_signed_response_alg", word(&ALGORITHMS)),
        ("backchannel_logout_uri", uri("https://shop.example.com/logout").or_null()),
        ("backchannel_logout_session_required", flag(false)),
        ("dpop_bound_access_tokens", flag(false)),
        ("require_pushed_authorization_requests", flag(false)),
        ("is_third_party", flag(false)),
        ("scopes", list(scope())),
        ("resources", list(text("https://api.example.com"))),
    ])
}

fn service() -> Shape {
    service_members().named("Service")
}

fn usage() -> Shape {
    object([
        ("current_services", count(1)),
        ("max_services", count(2).or_null().about("Null: unlimited.")),
        ("tier", text("free")),
    ])
    .named("Usage")
}

fn grants() -> Shape {
    list(free(json!({}))).such_as(json!([]))
}

fn services() -> Shape {
    let listed = service_members().with([("plan_count", count(1)), ("subscription_count", count(0))]);
    object([("services", list(listed.named("ListedService"))), ("usage", usage())]).named("Services")
}

fn created() -> Shape {
    object([
        ("service", service()),
        ("default_plan", plan_members().named("Plan")),
        ("usage", usage()),
        ("provider_grants", grants()),
    ])
    .named("CreatedService")
}

fn detail() -> Shape {
    service_members()
        .with([("service", service()), ("plans", list(plan_answer())), ("provider_grants", grants())])
        .named("ServiceDetail")
}

fn secret() -> Shape {
    object([
        ("client_id", text("kP3vT9xQ0aZr7LmN2sWc8YbD4eGh6JtU")),
        ("client_secret", text("the secret, shown once")),
        ("created_at", time()),
        ("previous_secret_expires_at", time().or_null()),
        ("grace_seconds", count(3600)),
        ("ended_sessions", count(0)),
    ])
    .named("ClientSecret")
}

fn plan_input(name: Shape) -> Shape {
    object([
        ("name", name),
        ("description", text("For teams").at_most(1000).or_null().optional()),
        ("price_cents", count(4900).optional()),
        ("price_monthly", number(49.0).optional().about("Instead of `price_cents`, in major units.")),
        ("currency", text("USD").like("^[A-Za-z]{3}$").optional().about("ISO 4217.")),
        ("features", list(text("export").at_most(100)).items_up_to(50).or_null().optional()),
        ("is_default", flag(false).optional()),
        ("stripe_price_id", text("price_1PgAbc").at_most(255).or_null().optional()),
    ])
    .example_without(&["price_monthly"])
}

fn plan_members() -> Shape {
    object([
        ("id", uuid()),
        ("service_id", uuid()),
        ("name", text("Pro")),
        ("description", text("For teams").or_null()),
        ("price_cents", count(4900)),
        ("currency", text("USD")),
        ("price_monthly", number(49.0)),
        ("features", list(text("export"))),
        ("is_default", flag(false)),
        ("stripe_price_id", text("price_1PgAbc").or_null()),
        ("created_at", time()),
    ])
}

fn plan_answer() -> Shape {
    plan_members()
        .with([("plan", plan_members().named("Plan")), ("subscription_count", count(0))])
        .named("PlanAnswer")
}
