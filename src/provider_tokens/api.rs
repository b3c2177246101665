//! What the API document says about this slice.

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::objects::PROVIDERS;
use crate::openapi::operation::get;
use crate::openapi::shape::{list, object, text, time, word};

/// Tokens of the providers.
#[must_use]
pub fn chapter() -> Chapter {
    let token = object([
        ("access_token", text("gho_…")),
        ("expires_at", time().or_null().about("Null: it does not say.")),
        ("scopes", list(text("repo"))),
        ("provider", word(&PROVIDERS)),
    ]);
    let operations = vec![
        get("/api/provider-token/{provider}", "getProviderToken", "A token of the user's at a provider")
            .about(
                "Refreshed when it would not last a minute. `REAUTHORIZATION_REQUIRED` says with `reauthorize_url` where \
                 the browser has to go when the user must consent again. Every read is audited.",
            )
            .ok("It. The provider's refresh token is never shown.", token.named("ProviderToken"))
            .refuses(&[Code::NotFound, Code::ReauthorizationRequired, Code::OAuthError]),
    ];
    Chapter {
        tag: "Provider tokens",
        about: "What users let a service do at GitHub, Google or Microsoft.",
        operations,
    }
}
