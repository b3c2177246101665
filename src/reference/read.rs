//! From the document to pages.

use serde_json::Value;

use crate::pages::docs::{Answer, DocsOverview, DocsTopic, Line, Member, Operation, TopicLink};

const METHODS: [&str; 4] = ["get", "post", "patch", "delete"];
/// How deep members of members are shown; further down, the named schema says it.
const DEPTH: usize = 3;

/// The name of a tag in addresses.
fn slug(tag: &str) -> String {
    tag.to_lowercase().replace(' ', "-")
}

fn string(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The same without the marks of Markdown.
fn plain(value: &Value, name: &str) -> String {
    string(value, name).replace(['*', '`'], "")
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Every operation: address, method and what is said about it.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &'static str, &Value)> {
    let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
    paths.flat_map(|(path, item)| {
        METHODS.into_iter().filter_map(move |method| item.get(method).map(|one| (path.as_str(), method, one)))
    })
}

fn of_tag<'v>(document: &'v Value, tag: &str) -> Vec<(&'v str, &'static str, &'v Value)> {
    let first = |one: &'v Value| list(one, "tags").first().and_then(Value::as_str).unwrap_or_default();
    operations(document).filter(|(_, _, one)| first(one) == tag).collect()
}

pub(super) fn overview(document: &Value) -> DocsOverview {
    let topics = list(document, "tags").iter().map(|tag| {
        let name = string(tag, "name");
        let lines = of_tag(document, &name).into_iter();
        TopicLink {
            href: format!("/docs/{}", slug(&name)),
            operations: lines
                .map(|(path, method, one)| Line {
                    id: string(one, "operationId"),
                    method: method.to_uppercase(),
                    path: path.to_owned(),
                    summary: string(one, "summary"),
                })
                .collect(),
            about: plain(tag, "description"),
            name,
        }
    });
    let info = document.get("info").unwrap_or(&Value::Null);
    let schemes = document.pointer("/components/securitySchemes").and_then(Value::as_object);
    DocsOverview {
        version: string(info, "version"),
        introduction: paragraphs(&string(info, "description")),
        topics: topics.collect(),
        schemes: schemes
            .into_iter()
            .flatten()
            .map(|(name, scheme)| (name.clone(), plain(scheme, "description")))
            .collect(),
    }
}

fn paragraphs(text: &str) -> Vec<String> {
    text.split("\n\n").map(|part| part.replace(['*', '`'], "")).filter(|part| !part.is_empty()).collect()
}

pub(super) fn topic(document: &Value, asked: &str) -> Option<DocsTopic> {
    let tag = list(document, "tags").iter().find(|tag| slug(&string(tag, "name")) == asked)?;
    let name = string(tag, "name");
    let operations =
        of_tag(document, &name).into_iter().map(|(path, method, one)| operation(document, path, method, one));
    Some(DocsTopic { operations: operations.collect(), about: plain(tag, "description"), name })
}

fn operation(document: &Value, path: &str, method: &str, one: &Value) -> Operation {
    let parameters = list(one, "parameters").iter().map(|parameter| Member {
        name: string(parameter, "name"),
        depth: 0,
        kind: format!(
            "{}, {}",
            string(parameter, "in"),
            kind(parameter.get("schema").unwrap_or(&Value::Null))
        ),
        required: parameter.get("required").and_then(Value::as_bool).unwrap_or_default(),
        about: plain(parameter, "description"),
    });
    let body = one.pointer("/requestBody/content").and_then(Value::as_object);
    let media = body.map(|body| body.keys().cloned().collect::<Vec<_>>().join(" or ")).unwrap_or_default();
    let sent = body.and_then(|body| body.values().next()).unwrap_or(&Value::Null);
    let responses = one.get("responses").and_then(Value::as_object).into_iter().flatten();
    let security = list(one, "security").iter().filter_map(Value::as_object);
    Operation {
        id: string(one, "operationId"),
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: string(one, "summary"),
        about: paragraphs(&string(one, "description")),
        security: security
            .map(|way| {
                let names: Vec<&str> = way.keys().map(String::as_str).collect();
                if names.is_empty() { "nothing".to_owned() } else { names.join(" and ") }
            })
            .collect(),
        parameters: parameters.collect(),
        body: members(document, sent.get("schema").unwrap_or(&Value::Null)),
        example: example(sent),
        media,
        answers: responses.map(|(status, response)| answer(document, status, response)).collect(),
    }
}

fn resolved<'v>(document: &'v Value, value: &'v Value) -> &'v Value {
    let reference = value.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
    reference.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

fn answer(document: &Value, status: &str, response: &Value) -> Answer {
    let response = resolved(document, response);
    let content = response.get("content").and_then(Value::as_object);
    let json = content.and_then(|content| content.get("application/json"));
    let is_good = status.starts_with(['2', '3']);
    let shown = json.filter(|_| is_good).unwrap_or(&Value::Null);
    Answer {
        status: status.to_owned(),
        about: plain(response, "description"),
        media: content
            .map(|content| content.keys().cloned().collect::<Vec<_>>().join(", "))
            .unwrap_or_default(),
        members: members(document, shown.get("schema").unwrap_or(&Value::Null)),
        example: example(shown),
    }
}

fn example(media: &Value) -> String {
    let example = media.get("example");
    example.and_then(|example| serde_json::to_string_pretty(example).ok()).unwrap_or_default()
}

fn kind(schema: &Value) -> String {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        return name.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = words
            .iter()
            .map(|word| word.as_str().map_or_else(|| "null".to_owned(), ToOwned::to_owned))
            .collect();
        return words.join(" | ");
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let named = match schema.get("type") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        Some(Value::String(name)) => name.clone(),
        _ => return String::new(),
    };
    match (schema.get("items"), schema.get("format").and_then(Value::as_str)) {
        (Some(items), _) => format!("{named} of {}", kind(items)),
        (None, Some(format)) => format!("{named}, {format}"),
        (None, None) => named,
    }
}

/// The members of an object, and of the objects in it, as lines.
fn members(document: &Value, schema: &Value) -> Vec<Member> {
    let mut lines = Vec::new();
    collect(document, schema, 0, &mut lines);
    lines
}

fn collect(document: &Value, schema: &Value, depth: usize, lines: &mut Vec<Member>) {
    let schema = resolved(document, schema);
    let choice = list(schema, "anyOf").iter().find(|one| one.get("type") != Some(&Value::from("null")));
    let schema = choice.or(schema.get("items")).map_or(schema, |inner| resolved(document, inner));
    let required = list(schema, "required");
    for (name, member) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        lines.push(Member {
            name: name.clone(),
            depth,
            kind: kind(member),
            required: required.iter().any(|one| one == name.as_str()),
            about: plain(member, "description"),
        });
        if depth + 1 < DEPTH {
            collect(document, member, depth + 1, lines);
        }
    }
}
