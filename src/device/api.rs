//! What the API document says about this slice.

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::objects::PROVIDERS;
use crate::openapi::operation::{Clients, Operation, get, post};
use crate::openapi::shape::{integer, list, object, text, uri, word};

/// Signing in on a device without a browser (RFC 8628).
#[must_use]
pub fn chapter() -> Chapter {
    let verified = object([
        ("org_slug", text("acme")),
        ("service_slug", text("cli")),
        ("service_name", text("Acme CLI")),
        ("client_id", text("kP3vT9xQ0aZr7LmN2sWc8YbD4eGh6JtU")),
        ("available_providers", list(word(&PROVIDERS))),
        ("expires_in", integer(871)),
    ]);
    let code_errors = &[Code::InvalidGrant, Code::DeviceCodeExpired, Code::OrganizationNotActive];
    let operations = vec![
        issue(post("/oauth/device_authorization", "createDeviceCode", "Ask for a device code")),
        issue(post(
            "/auth/device/code",
            "createDeviceCodeAtAuth",
            "Ask for a device code, at its other address",
        )),
        post("/auth/device/verify", "verifyUserCode", "What a user code is for")
            .about("For organizations with an activation page of their own. Guessing is bounded.")
            .form_or_json(object([(
                "user_code",
                text("WDJB-MJHT").about("Any case, with or without the dash."),
            )]))
            .ok("Who asks.", verified.named("VerifiedUserCode"))
            .refuses(code_errors),
        get("/activate", "showActivation", "The page where a person types a user code")
            .query("user_code", text("WDJB-MJHT"))
            .page("A field for the code; with a code, who asks and the ways to sign in.")
            .refuses(code_errors),
        get("/activate/confirm", "confirmActivation", "The page that asks whether a device may sign in")
            .page("The question."),
        post("/activate/confirm", "decideActivation", "The answer of that page")
            .form(object([("csrf", text("from the page")), ("decision", word(&["approve", "deny"]))]))
            .page("What became of it.")
            .refuses(&[
                Code::Conflict,
                Code::Forbidden,
                Code::DeviceCodeExpired,
                Code::InvalidGrant,
                Code::OrganizationNotActive,
            ]),
    ];
    Chapter { tag: "Devices", about: "Signing in on a device without a browser (RFC 8628).", operations }
}

fn issue(operation: Operation) -> Operation {
    let answer = object([
        ("device_code", text("…")),
        ("user_code", text("WDJB-MJHT")),
        ("verification_uri", uri("https://id.example.com/activate")),
        ("verification_uri_complete", uri("https://id.example.com/activate?user_code=WDJB-MJHT")),
        ("expires_in", integer(900)),
        ("interval", integer(5)),
    ]);
    operation
        .form_or_json(
            object([
                (
                    "client_id",
                    text("kP3vT9xQ0aZr7LmN2sWc8YbD4eGh6JtU").optional().about("Not beside HTTP Basic."),
                ),
                ("client_secret", text("…").optional()),
                (
                    "client_assertion_type",
                    text("urn:ietf:params:oauth:client-assertion-type:jwt-bearer").optional(),
                ),
                ("client_assertion", text("…").optional()),
                ("scope", text("openid email").optional()),
                ("org", text("acme").optional().about("Must be the client's own.")),
                ("service", text("cli").optional().about("Must be the client's own.")),
            ])
            .example_without(&[
                "client_secret",
                "client_assertion_type",
                "client_assertion",
                "org",
                "service",
            ]),
        )
        .ok("Show `user_code` and the address; poll the token endpoint.", answer.named("DeviceAuthorization"))
        .clients(Clients::Any)
        .refuses(&[Code::OrganizationNotActive])
}
