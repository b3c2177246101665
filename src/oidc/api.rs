//! What the API document says about this slice.

use serde_json::json;

use crate::openapi::document::Chapter;
use crate::openapi::operation::{Answer, Operation, get};
use crate::openapi::shape::{Shape, free, list, object, text, uri};

/// What clients learn by themselves.
#[must_use]
pub fn chapter() -> Chapter {
    let keys =
        object([("keys", list(free(json!({ "kty": "EC", "crv": "P-256", "kid": "…", "alg": "ES256" }))))]);
    let operations = vec![
        public(
            get(
                "/.well-known/openid-configuration",
                "getOpenidConfiguration",
                "What this server can do (OpenID)",
            ),
            metadata(),
        ),
        public(
            get(
                "/.well-known/oauth-authorization-server",
                "getAuthorizationServerMetadata",
                "What this server can do (RFC 8414)",
            ),
            metadata(),
        ),
        public(
            get("/.well-known/jwks.json", "getKeys", "The keys that tokens are signed with"),
            keys.named("Keys"),
        ),
    ];
    Chapter { tag: "Discovery", about: "What clients learn by themselves.", operations }
}

fn public(operation: Operation, shape: Shape) -> Operation {
    operation
        .header("If-None-Match", text("\"…\"").such_as("\"3q2-7w\"").about("An `ETag` that is known."))
        .answer(Answer {
            status: 200,
            about: "The document; keep it for five minutes.",
            bodies: vec![("application/json", shape)],
            headers: vec![("ETag", "Names this version."), ("Cache-Control", "How long it may be kept.")],
        })
        .empty(304, "It is the one that is known.")
}

fn metadata() -> Shape {
    object([
        ("issuer", uri("https://id.example.com")),
        ("authorization_endpoint", uri("https://id.example.com/oauth/authorize")),
        ("token_endpoint", uri("https://id.example.com/oauth/token")),
        ("jwks_uri", uri("https://id.example.com/.well-known/jwks.json")),
        ("response_types_supported", list(text("code"))),
    ])
    .open()
    .about("OpenID Connect Discovery 1.0, section 3, and RFC 8414, section 2; further members as they say.")
    .named("ServerMetadata")
}
