//! The whole document, from the route table and what the slices say about it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::callers::{Guard, guard, schemes, security};
use super::failures::{self, Responses};
use super::operation::{Answer, Clients, Operation};
use super::{path, shape::Shape};
use crate::error::Code;
use crate::http::resource::Entry;

/// What belongs together, as a chapter of the document.
#[derive(Debug)]
pub struct Chapter {
    /// Its tag.
    pub tag: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Its operations.
    pub operations: Vec<Operation>,
}

/// Puts the document together. An operation that no route has is left out; the tests find it.
#[must_use]
pub fn document(entries: &[Entry], chapters: &[Chapter]) -> Value {
    let mut build = Build::default();
    for chapter in chapters {
        for operation in &chapter.operations {
            let entry =
                entries.iter().find(|entry| (entry.method, entry.path) == (operation.method, operation.path));
            if let Some(guard) = entry.and_then(|entry| guard(entry.caller, entry.method)) {
                build.add(chapter.tag, operation, guard);
            }
        }
    }
    let tags: Vec<Value> =
        chapters.iter().map(|chapter| json!({ "name": chapter.tag, "description": chapter.about })).collect();
    let schemas = build.schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema));
    let errors = failures::schemas().map(|(name, schema)| (name.to_owned(), schema));
    let schemas: Map<String, Value> = schemas.chain(errors).collect();
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Gatehouse",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Sign-in, organizations and entitlements in one service",
            "description": INTRODUCTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        // Relative to where the document was read (OpenAPI 3.1, section 4.8.5).
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": build.paths,
        "components": {
            "schemas": schemas,
            "responses": build.responses,
            "headers": failures::headers(),
            "securitySchemes": schemes(),
        },
    })
}

const INTRODUCTION: &str = "\
Times are RFC 3339 in UTC, ids are UUIDs, amounts of money are minor units of their currency. Creating answers 201, \
deleting 204. Bodies may grow by members: ignore those that you do not know.\n\n\
Errors have a stable `error_code` and a sentence; OAuth endpoints say them as RFC 6749 asks, hosted pages as pages. \
`429` and `503` say in `Retry-After` when to come back.\n\n\
Addresses of the operator's own commands (`/internal/…`) and of dev mode (`/dev/…`) are no part of the API and of this \
document.";

#[derive(Default)]
struct Build {
    paths: BTreeMap<&'static str, Map<String, Value>>,
    schemas: BTreeMap<&'static str, Value>,
    responses: Responses,
}

impl Build {
    fn add(&mut self, tag: &str, operation: &Operation, guard: Guard) {
        let mut parameters = path::parameters(operation.path);
        for parameter in &operation.parameters {
            let (schema, about) = self.taken(&parameter.shape);
            parameters.push(json!({
                "name": parameter.name, "in": parameter.place, "required": !parameter.shape.is_optional(),
                "description": about, "schema": schema, "example": parameter.shape.example(),
            }));
        }
        let mut responses: Map<String, Value> =
            operation.answers.iter().map(|answer| (answer.status.to_string(), self.answer(answer))).collect();
        let codes = codes(operation, guard);
        responses.extend(failures::responses(operation.path, &codes, &mut self.responses));
        let description = [operation.description, "\n\n**Who may call:** ", guard.who].concat();
        let mut item = json!({
            "operationId": operation.id,
            "tags": [tag],
            "summary": operation.summary,
            "description": description.trim_start(),
            "parameters": parameters,
            "responses": responses,
            "security": security(guard, operation),
        });
        if let (Some(body), Some(item)) = (&operation.body, item.as_object_mut()) {
            let (schema, _) = self.taken(&body.shape);
            let content = body.media.names().iter().map(|name| {
                ((*name).to_owned(), json!({ "schema": schema, "example": body.shape.example() }))
            });
            let content: Map<String, Value> = content.collect();
            item.insert("requestBody".to_owned(), json!({ "required": !body.optional, "content": content }));
        }
        self.paths.entry(operation.path).or_default().insert(operation.method.to_lowercase(), item);
    }

    fn answer(&mut self, answer: &Answer) -> Value {
        let mut content = Map::new();
        for (media, shape) in &answer.bodies {
            let schema = self.named(shape);
            content.insert((*media).to_owned(), json!({ "schema": schema, "example": shape.example() }));
        }
        let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/X-Request-Id" } });
        if let Some(headers) = headers.as_object_mut() {
            for (name, about) in &answer.headers {
                let header = json!({ "description": about, "schema": { "type": "string" } });
                headers.insert((*name).to_owned(), header);
            }
        }
        let mut response = json!({ "description": answer.about, "headers": headers });
        if let Some(response) = response.as_object_mut().filter(|_| !content.is_empty()) {
            response.insert("content".to_owned(), Value::Object(content));
        }
        response
    }

    fn named(&mut self, shape: &Shape) -> Value {
        self.schemas.extend(shape.parts().clone());
        shape.schema().clone()
    }

    /// A schema and, apart from it, its description.
    fn taken(&mut self, shape: &Shape) -> (Value, Value) {
        let mut schema = self.named(shape);
        let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        (schema, about.unwrap_or_else(|| Value::from("")))
    }
}

/// Every code that an operation can answer with.
fn codes(operation: &Operation, guard: Guard) -> Vec<Code> {
    // Whatever the address: a head that cannot be read, a limit, a defect, a full queue.
    let mut codes = vec![
        Code::BadRequest,
        Code::UriTooLong,
        Code::RateLimited,
        Code::HeadersTooLarge,
        Code::InternalServerError,
        Code::ServiceUnavailable,
    ];
    codes.extend(guard.errors);
    codes.extend(&operation.errors);
    if operation.body.is_some() {
        codes.extend([
            Code::ValidationFailed,
            Code::RequestTimeout,
            Code::PayloadTooLarge,
            Code::UnsupportedMediaType,
        ]);
    }
    if operation.parameters.iter().any(|parameter| parameter.place == "query") {
        codes.push(Code::ValidationFailed);
    }
    if operation.clients != Clients::None {
        codes.push(Code::InvalidClient);
    }
    let mut seen = BTreeSet::new();
    codes.retain(|code| seen.insert(code.row().0));
    codes
}
