//! What the API document says about this slice.

use serde_json::json;

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::operation::{Clients, Operation, get, post};
use crate::openapi::shape::{Shape, any_of, email, flag, free, integer, list, object, text, uri, uuid, word};

/// Tokens, as their standards treat them.
#[must_use]
pub fn chapter() -> Chapter {
    let operations = vec![
        userinfo(get("/oauth/userinfo", "getUserinfo", "Who the user of an access token is")),
        userinfo(post("/oauth/userinfo", "postUserinfo", "Who the user of an access token is, by form"))
            .header("Content-Type", text("application/x-www-form-urlencoded").about("With `access_token` in the form.")),
        named(post("/oauth/introspect", "introspectToken", "Whether a token is good, and for what"))
            .about("RFC 7662. Why a token is not active is not said. Tokens of other organizations are as good as none.")
            .ok("What is known.", any_of([active(), object([("active", flag(false))])]).named("Introspection"))
            .clients(Clients::Confidential),
        named(post("/oauth/revoke", "revokeToken", "Revoke a token"))
            .about(
                "RFC 7009. A refresh token takes its session with it, an access token only itself. 200 also for a token \
                 that opens nothing.",
            )
            .empty(200, "It opens nothing any more.")
            .clients(Clients::Any)
            .refuses(&[Code::InvalidGrant]),
    ];
    Chapter { tag: "Tokens", about: "Looking at tokens and revoking them.", operations }
}

fn userinfo(operation: Operation) -> Operation {
    operation.about("OpenID Connect Core, section 5.3.").ok("Claims, as the scope allows.", claims())
}

fn claims() -> Shape {
    object([
        ("sub", uuid()),
        ("email", email().optional()),
        ("email_verified", flag(true).optional()),
        ("name", text("Ada Lovelace").optional()),
        ("picture", uri("https://avatars.example.com/ada.png").optional()),
    ])
    .named("Userinfo")
}

fn named(operation: Operation) -> Operation {
    let body = object([
        ("token", text("the token")),
        ("token_type_hint", text("access_token").optional().about("Not needed: what kind it is shows.")),
        ("client_id", text("kP3vT9xQ0aZr7LmN2sWc8YbD4eGh6JtU").optional()),
        ("client_secret", text("…").optional()),
        ("client_assertion_type", text("urn:ietf:params:oauth:client-assertion-type:jwt-bearer").optional()),
        ("client_assertion", text("…").optional()),
    ]);
    operation.form_or_json(body.example_without(&["client_assertion_type", "client_assertion"]))
}

fn active() -> Shape {
    let audience = any_of([text("kP3vT9xQ0aZr7LmN2sWc8YbD4eGh6JtU"), list(text("https://api.example.com"))]);
    object([
        ("active", flag(true)),
        ("token_type", word(&["Bearer", "DPoP"]).optional()),
        ("token_use", word(&["access", "refresh"])),
        ("client_id", text("kP3vT9xQ0aZr7LmN2sWc8YbD4eGh6JtU")),
        ("sub", text("0198c0de-4c1f-7000-8000-5a3c1e9f0b21")),
        ("sid", uuid().optional()),
        ("scope", text("openid email")),
        ("iss", uri("https://id.example.com")),
        ("aud", audience),
        ("exp", integer(1_772_358_300)),
        ("iat", integer(1_772_357_400)),
        ("jti", uuid().optional()),
        ("auth_time", integer(1_772_357_400).optional()),
        ("org", text("acme").optional()),
        ("service", text("shop").optional()),
        ("plan", text("pro").optional()),
        ("features", list(text("export")).optional()),
        ("cnf", free(json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" })).optional()),
    ])
}
