//! What the API document says about this slice.

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::operation::{get, post};
use crate::openapi::shape::{object, text, word};

/// The pages of linking.
#[must_use]
pub fn chapter() -> Chapter {
    let operations = vec![
        get("/auth/link/confirm", "confirmLink", "The page that asks whether to link two accounts")
            .page("The question, naming both accounts.")
            .refuses(&[Code::Conflict]),
        post("/auth/link/confirm", "decideLink", "The answer of that page")
            .form(object([("csrf", text("from the page")), ("decision", word(&["link", "cancel"]))]))
            .page("What became of it.")
            .refuses(&[Code::Forbidden, Code::Conflict]),
    ];
    Chapter { tag: "Linking", about: "Pages that link a second account to a user.", operations }
}
