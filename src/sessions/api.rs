//! What the API document says about this slice.

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::objects::{PROVIDERS, revoked};
use crate::openapi::operation::{Clients, Operation, delete, get, post};
use crate::openapi::shape::{Shape, count, flag, integer, list, object, text, time, uuid, word};

const GRANTS: [&str; 4] = [
    "authorization_code",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:device_code",
    "client_credentials",
];

/// Tokens and the sessions behind them.
#[must_use]
pub fn chapter() -> Chapter {
    let operations = vec![
        token(post("/oauth/token", "createToken", "Redeem a grant for tokens")),
        token(post("/auth/token", "createTokenAtAuth", "Redeem a grant for tokens, at its other address")),
        post("/api/auth/refresh", "refreshToken", "Refresh, for JSON clients")
            .about("Each refresh token works once; a repeat within 10 seconds gets the same successor.")
            .header("DPoP", proof())
            .form_or_json(
                object([("refresh_token", text("the refresh token")), ("scope", text("openid").optional())])
                    .with_credentials(),
            )
            .ok("The next tokens.", tokens())
            .clients(Clients::Optional)
            .refuses(&[Code::InvalidGrant, Code::OrganizationNotActive]),
        post("/api/auth/logout", "logout", "End this session")
            .about("Of the token that is presented. Also 204 for one that ended.")
            .empty(204, "Ended."),
        get("/api/auth/sessions", "listSessions", "List your sessions")
            .paged()
            .ok("A page of them.", sessions()),
        delete("/api/auth/sessions", "endOtherSessions", "End all other sessions")
            .ok("How many ended.", revoked()),
        delete("/api/auth/sessions/{id}", "endSession", "End one of your sessions")
            .empty(204, "Ended.")
            .refuses(&[Code::NotFound]),
    ];
    Chapter { tag: "Sessions", about: "Tokens, and the sessions that they stand and fall with.", operations }
}

fn proof() -> Shape {
    text("a proof").about("Binds the tokens to a key (RFC 9449).")
}

fn token(operation: Operation) -> Operation {
    let secret = |about: &str| text("…").optional().about(about);
    let request = object([
        ("grant_type", word(&GRANTS)),
        ("code", secret("Of `authorization_code`.").such_as("the code")),
        (
            "redirect_uri",
            text("https://shop.example.com/callback").optional().about("As it stood in the request."),
        ),
        ("code_verifier", text("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").optional().about("RFC 7636.")),
        ("refresh_token", secret("Of `refresh_token`.")),
        ("device_code", secret("Of the device grant.")),
        ("scope", text("openid").optional()),
    ])
    .with_credentials()
    .example_without(&["refresh_token", "device_code", "scope"]);
    operation
        .about(
            "RFC 6749, 7636, 8628, 9449, 8707. Parameters travel in the body. A pending device answers 400 with \
             `authorization_pending` until somebody decided; ask again after `interval` seconds.",
        )
        .header("DPoP", proof())
        .form_or_json(request)
        .ok("Tokens.", tokens())
        .clients(Clients::Any)
        .refuses(&[
            Code::InvalidGrant,
            Code::UnsupportedGrantType,
            Code::DeviceCodePending,
            Code::SlowDown,
            Code::DeviceCodeExpired,
            Code::AccessDenied,
            Code::OrganizationNotActive,
        ])
}

impl Shape {
    /// How a client names or authenticates itself in a body, and what the tokens are to be for.
    fn with_credentials(self) -> Self {
        self.with([
            ("client_id", text("kP3vT9xQ0aZr7LmN2sWc8YbD4eGh6JtU").optional()),
            ("client_secret", text("…").optional()),
            (
                "client_assertion_type",
                text("urn:ietf:params:oauth:client-assertion-type:jwt-bearer").optional(),
            ),
            ("client_assertion", text("…").optional()),
            (
                "resource",
                text("https://api.example.com").optional().about("May be given several times (RFC 8707)."),
            ),
        ])
        .example_without(&[
            "client_secret",
            "client_assertion_type",
            "client_assertion",
            "resource",
        ])
    }
}

fn tokens() -> Shape {
    object([
        ("access_token", text("eyJhbGciOiJFUzI1NiJ9…")),
        ("token_type", word(&["Bearer", "DPoP"])),
        ("expires_in", integer(900).about("Seconds.")),
        ("refresh_token", text("…").optional().about("Not for `client_credentials`.")),
        ("scope", text("openid email")),
        ("id_token", text("eyJhbGciOiJFUzI1NiJ9…").optional().about("With the scope `openid`.")),
    ])
    .named("Tokens")
}

fn sessions() -> Shape {
    let session = object([
        ("id", uuid()),
        ("current", flag(true).about("The one that asks.")),
        ("service", text("shop")),
        ("service_name", text("Shop")),
        ("client_id", text("kP3vT9xQ0aZr7LmN2sWc8YbD4eGh6JtU")),
        ("provider", word(&PROVIDERS)),
        ("method", text("web")),
        ("scope", text("openid email")),
        ("user_agent", text("Mozilla/5.0")),
        ("ip_address", text("203.0.113.7")),
        ("created_at", time()),
        ("last_used_at", time()),
        ("expires_at", time()),
    ])
    .named("Session");
    object([
        ("sessions", list(session)),
        ("total", count(1)),
        ("page", integer(1).from(1)),
        ("limit", integer(50).from(1)),
    ])
    .named("Sessions")
}
