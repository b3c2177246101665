//! What the API document says about this slice.

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::objects::PROVIDERS;
use crate::openapi::operation::{delete, get, patch, post};
use crate::openapi::shape::{email, flag, list, object, text, time, uri, uuid, word};

/// The signed-in user.
#[must_use]
pub fn chapter() -> Chapter {
    let user = object([
        ("id", uuid()),
        ("email", email().or_null()),
        ("name", text("Ada Lovelace").or_null()),
        ("avatar_url", uri("https://avatars.example.com/ada.png").or_null()),
        ("org", text("acme").about("Empty in the platform realm.")),
        ("service", text("shop").about("Empty in the platform realm.")),
        ("is_platform_owner", flag(false)),
        ("created_at", time()),
    ])
    .named("Me");
    let identity = object([
        ("provider", word(&PROVIDERS)),
        ("issuer", uri("https://github.com")),
        ("email", email().or_null()),
        ("created_at", time()),
    ]);
    let consent = object([
        ("service_id", uuid()),
        ("service", text("reports")),
        ("service_name", text("Partner reports")),
        ("client_id", text("acme-reports")),
        ("scope", text("email openid")),
        ("created_at", time()),
        ("updated_at", time()),
    ]);
    let link = object([
        (
            "authorization_url",
            uri("https://id.example.com/auth/link/github?ticket=…")
                .such_as("https://id.example.com/auth/link/github"),
        ),
        ("expires_at", time()),
    ]);
    let operations = vec![
        get("/api/user", "getUser", "Who you are").ok("The user of the token.", user.clone()),
        patch("/api/user", "updateUser", "Change your name or address")
            .about("Partial; a null name clears it. An address must be one that a linked account proves.")
            .json(object([
                ("name", text("Ada Lovelace").at_most(100).or_null().optional()),
                ("email", email().at_most(254).optional()),
            ]))
            .ok("As it is now.", user)
            .refuses(&[Code::Conflict]),
        get("/api/user/consents", "listConsents", "List what you allowed services")
            .ok("All of it, by service.", list(consent.named("Consent"))),
        delete("/api/user/consents/{service_id}", "withdrawConsent", "Take back what you allowed a service")
            .about("Its sessions of yours end, and it has to ask again.")
            .empty(204, "Taken back.")
            .refuses(&[Code::NotFound]),
        get("/api/user/identities", "listIdentities", "List the accounts you sign in with")
            .ok("All of them.", list(identity.named("Identity"))),
        post("/api/user/identities/{provider}/link", "linkIdentity", "Begin to link another account")
            .about("Send the browser to the address. It ends on a page that names both accounts and asks.")
            .ok("Where the browser goes.", link.named("LinkStart"))
            .refuses(&[Code::NotFound, Code::OAuthError]),
        delete("/api/user/identities/{provider}", "unlinkIdentity", "Unlink an account")
            .about("Never the last one.")
            .empty(204, "Unlinked.")
            .refuses(&[Code::NotFound]),
    ];
    Chapter { tag: "User", about: "The signed-in user.", operations }
}
