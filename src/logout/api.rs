//! What the API document says about this slice.

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::operation::{Operation, get, post};
use crate::openapi::shape::{object, text, uri, word};

/// Signing out (OpenID Connect RP-Initiated Logout 1.0).
#[must_use]
pub fn chapter() -> Chapter {
    let by_query = get("/oauth/logout", "signOut", "Sign out of the browser's session")
        .query("id_token_hint", text("eyJhbGciOiJFUzI1NiJ9…"))
        .query("client_id", text("kP3vT9xQ0aZr7LmN2sWc8YbD4eGh6JtU"))
        .query("post_logout_redirect_uri", uri("https://shop.example.com/").about("One that is registered."))
        .query("state", text("xyz"));
    let by_form = post("/oauth/logout", "signOutByForm", "The same, by form").form(object([
        ("id_token_hint", text("eyJhbGciOiJFUzI1NiJ9…").optional()),
        ("client_id", text("kP3vT9xQ0aZr7LmN2sWc8YbD4eGh6JtU").optional()),
        ("post_logout_redirect_uri", uri("https://shop.example.com/").optional()),
        ("state", text("xyz").optional()),
    ]));
    let confirm = post("/oauth/logout/confirm", "confirmSignOut", "The answer of the page that asks")
        .form(object([("csrf", text("from the page")), ("decision", word(&["sign_out", "stay"]))]))
        .page("What became of it.")
        .redirects("Signed out, and back to the app.")
        .refuses(&[Code::Forbidden]);
    let operations = vec![leaving(by_query), leaving(by_form), confirm];
    Chapter { tag: "Sign-out", about: "Signing out (OpenID Connect RP-Initiated Logout 1.0).", operations }
}

fn leaving(operation: Operation) -> Operation {
    operation
        .about("Asks first, unless the hint is of the person who is signed in here.")
        .page("The question, or that the browser is signed out.")
        .redirects("Signed out, and back to the app.")
        .refuses(&[Code::ValidationFailed])
}
