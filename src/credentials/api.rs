//! What the API document says about this slice.

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::operation::{delete, get, post};
use crate::openapi::shape::{Shape, flag, list, object, text, time, uri, uuid, word};

/// An organization's own clients at sign-in providers.
#[must_use]
pub fn chapter() -> Chapter {
    const ONE: &str = "/api/organizations/{org}/oauth-credentials/{provider}";
    let operations = vec![
        get("/api/organizations/{org}/oauth-credentials", "listOauthCredentials", "List an organization's own clients")
            .ok("Those that are in use.", list(credential())),
        get(ONE, "getOauthCredential", "Look at an organization's client at a provider")
            .ok("It, without the secret.", credential()),
        post(ONE, "saveOauthCredential", "Bring, or replace, a client of one's own at a provider")
            .about(
                "It replaces the platform's for this organization alone. Register `redirect_uri` of the answer at the \
                 provider. For `oidc` the issuer is discovered and checked first; private addresses are refused.",
            )
            .json(
                object([
                    ("client_id", text("Iv1.8a61f9b3a7aba766").at_most(512)),
                    ("client_secret", text("the secret that the provider gave").at_most(2048)),
                    ("issuer", uri("https://login.example.com").at_most(512).or_null().optional()),
                ])
                .example_without(&["issuer"]),
            )
            .ok("Replaced.", credential())
            .created("Saved.", credential()),
        delete(ONE, "deleteOauthCredential", "Remove an organization's client at a provider")
            .about("Nobody signs in through the provider any more, unless the platform's own client is to be used again.")
            .query("restore_default", flag(false).default(false).about("Whether the platform's own client is used again."))
            .empty(204, "Removed.")
            .refuses(&[Code::NotFound]),
    ];
    Chapter {
        tag: "Sign-in providers",
        about: "An organization's own clients at sign-in providers.",
        operations,
    }
}

fn credential() -> Shape {
    object([
        ("id", uuid()),
        ("org_id", uuid()),
        ("provider", word(&["github", "google", "microsoft", "oidc"])),
        ("client_id", text("Iv1.8a61f9b3a7aba766")),
        ("has_secret", flag(true)),
        ("is_readable", flag(true).about("False when the stored secret cannot be opened: save it again.")),
        ("issuer", uri("https://login.example.com").or_null()),
        ("redirect_uri", uri("https://id.example.com/auth/github/callback/acme")),
        ("created_at", time()),
        ("updated_at", time()),
    ])
    .named("OauthCredential")
}
