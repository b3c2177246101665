//! Error responses: the codes of the one table, in the dialect of the address.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::error::Code;
use crate::http::dialect::Dialect;

/// Responses of errors, each once, by a name made of dialect, status and codes.
pub type Responses = BTreeMap<String, Value>;

/// The error responses of an operation, by status; adds to `shared` what is not there yet.
pub fn responses(path: &str, codes: &[Code], shared: &mut Responses) -> Map<String, Value> {
    let mut by_status: BTreeMap<u16, BTreeSet<&'static str>> = BTreeMap::new();
    for code in codes {
        let (name, status, _) = code.row();
        by_status.entry(status.as_u16()).or_default().insert(name);
    }
    let dialect = Dialect::of(path, "");
    let reference = |(status, names): (u16, BTreeSet<&'static str>)| {
        let joined: Vec<&str> = names.iter().copied().collect();
        let name = format!("{}.{status}.{}", word(dialect, path), joined.join("."));
        shared.entry(name.clone()).or_insert_with(|| response(dialect, path, status, &joined));
        (status.to_string(), json!({ "$ref": format!("#/components/responses/{name}") }))
    };
    by_status.into_iter().map(reference).collect()
}

fn word(dialect: Dialect, path: &str) -> &'static str {
    match dialect {
        Dialect::OAuth => "oauth",
        Dialect::Page => "page",
        Dialect::Api if path.starts_with("/api/") => "api",
        Dialect::Api => "public",
    }
}

fn response(dialect: Dialect, path: &str, status: u16, names: &[&str]) -> Value {
    let oauth = dialect == Dialect::OAuth;
    let base = if oauth { "OAuthError" } else { "Error" };
    let schema = json!({ "allOf": [
        { "$ref": format!("#/components/schemas/{base}") },
        { "properties": { "error_code": { "enum": names }, "status": { "const": status } } },
    ] });
    let example = example(oauth, names.first().copied().unwrap_or_default());
    let json = json!({ "schema": schema, "example": example });
    let html =
        json!({ "schema": { "type": "string" }, "example": "<!doctype html><html lang=\"en\">…</html>" });
    let mut content = Map::new();
    let is_page = dialect == Dialect::Page;
    if is_page {
        content.insert("text/html".to_owned(), html.clone());
    }
    content.insert("application/json".to_owned(), json.clone());
    content.insert("application/problem+json".to_owned(), json);
    if dialect == Dialect::Api && !path.starts_with("/api/") {
        content.insert("text/html".to_owned(), html);
    }
    let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/X-Request-Id" } });
    let more = match status {
        401 => Some("WWW-Authenticate"),
        429 | 503 => Some("Retry-After"),
        _ => None,
    };
    if let (Some(name), Some(headers)) = (more, headers.as_object_mut()) {
        headers.insert(name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
    }
    let codes = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    json!({ "description": format!("Refused: {codes}."), "content": content, "headers": headers })
}

fn example(oauth: bool, name: &str) -> Value {
    let row = Code::ALL.iter().map(|code| code.row()).find(|row| row.0 == name);
    let (status, title, rfc) = row.map_or((400, "", ""), |(_, status, rfc)| {
        (status.as_u16(), status.canonical_reason().unwrap_or_default(), rfc)
    });
    let sentence = "A sentence that says what is wrong and what to do.";
    let mut body = json!({
        "error": if oauth { rfc } else { sentence },
        "error_code": name,
        "timestamp": "2026-03-01T09:30:00.000Z",
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": sentence,
        "instance": "0198c0de-4c1f-7000-8000-5a3c1e9f0b21",
    });
    let more = match (oauth, name) {
        (true, _) => Some(("error_description", json!(sentence))),
        (_, "VALIDATION_FAILED") => Some(("fields", json!(["name"]))),
        _ => None,
    };
    if let (Some((member, value)), Some(body)) = (more, body.as_object_mut()) {
        body.insert(member.to_owned(), value);
    }
    body
}

/// The schemas `Error` and `OAuthError`.
#[must_use]
pub fn schemas() -> [(&'static str, Value); 2] {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.row().0).collect();
    let mut members = json!({
        "error": { "type": "string", "description": "A sentence that a person can act on." },
        "error_code": { "type": "string", "enum": codes, "description": "The stable code; see docs/errors.md." },
        "timestamp": { "type": "string", "format": "date-time" },
        "type": { "const": "about:blank" },
        "title": { "type": "string", "description": "The phrase of the status." },
        "status": { "type": "integer" },
        "detail": { "type": "string", "description": "The sentence (RFC 9457)." },
        "instance": { "type": "string", "description": "The request's id, as in `X-Request-Id`." },
        "fields": {
            "type": "array", "items": { "type": "string" }, "description": "What is wrong or missing.",
        },
        "reauthorize_url": {
            "type": "string", "format": "uri",
            "description": "With `REAUTHORIZATION_REQUIRED`: where the browser has to go.",
        },
    });
    let required = ["error", "error_code", "timestamp", "type", "title", "status", "detail", "instance"];
    let api = json!({
        "type": "object", "description": "RFC 9457, and the product's own members.",
        "properties": members.clone(), "required": required,
    });
    if let Some(members) = members.as_object_mut() {
        members
            .insert("error".to_owned(), json!({ "type": "string", "description": "The code of the RFC." }));
        members.insert("error_description".to_owned(), json!({ "type": "string" }));
    }
    let mut required: Vec<&str> = required.to_vec();
    required.push("error_description");
    let oauth = json!({
        "type": "object", "description": "RFC 6749, section 5.2, and the product's own members.",
        "properties": members, "required": required,
    });
    [("Error", api), ("OAuthError", oauth)]
}

/// Headers that several responses have.
#[must_use]
pub fn headers() -> Value {
    json!({
        "X-Request-Id": {
            "description": "The request's id. Quote it when you ask for help.", "schema": { "type": "string" },
        },
        "WWW-Authenticate": {
            "description": "How to authenticate (RFC 9110, section 11.6.1).", "schema": { "type": "string" },
        },
        "Retry-After": {
            "description": "Seconds after which it makes sense to try again.", "schema": { "type": "integer" },
        },
    })
}
