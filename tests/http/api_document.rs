//! The API document against the route table, the table of errors and itself. Whether it is valid `OpenAPI`, and whether
//! its examples and real answers are of its schemas, is checked end to end with a validator that is not ours.

use std::collections::BTreeSet;

use gatehouse::app::{chapters, dev_routes, document, routes};
use gatehouse::error::Code;
use gatehouse::openapi::operation::Operation;
use gatehouse::pages::page_headers;
use serde_json::Value;

use crate::support::run;

/// Routes that are no part of the API: the operator's own commands.
fn is_left_out(path: &str) -> bool {
    path.starts_with("/internal/")
}

fn operations() -> Vec<Operation> {
    chapters().into_iter().flat_map(|chapter| chapter.operations).collect()
}

fn in_document(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let lines = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone()))
    });
    lines.collect()
}

#[test]
fn route_table_and_document_agree_in_both_directions() {
    let table: BTreeSet<(String, String)> = routes()
        .iter()
        .flat_map(|resource| resource.entries().collect::<Vec<_>>())
        .filter(|entry| !is_left_out(entry.path))
        .map(|entry| (entry.method.to_owned(), entry.path.to_owned()))
        .collect();
    let described: Vec<(String, String)> =
        operations().iter().map(|one| (one.method.to_owned(), one.path.to_owned())).collect();
    let once: BTreeSet<_> = described.iter().cloned().collect();
    let apart: Vec<_> = once.symmetric_difference(&table).collect();
    assert!(
        apart.is_empty(),
        "describe the route in its slice's api.rs, or take the description out: {apart:?}"
    );
    assert_eq!(once.len(), described.len(), "an operation is described twice");
    assert_eq!(in_document(&document()), table, "callers.rs does not know a caller of the table");
}

#[test]
fn what_is_for_the_operator_and_for_dev_mode_is_left_out() {
    let document = document();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert!(
        routes().iter().flat_map(|one| one.entries().collect::<Vec<_>>()).any(|one| is_left_out(one.path))
    );
    assert!(!paths.iter().any(|path| is_left_out(path)));
    let of_dev: Vec<&str> =
        dev_routes().iter().flat_map(|one| one.entries().collect::<Vec<_>>()).map(|one| one.path).collect();
    assert!(!of_dev.is_empty());
    assert!(paths.iter().all(|path| !of_dev.contains(&path.as_str())), "{paths:?}");
}

#[test]
fn operations_have_names_of_their_own_and_words_for_people() {
    let mut names = BTreeSet::new();
    for one in operations() {
        assert!(names.insert(one.id), "{} names two operations", one.id);
        assert!(one.id.chars().all(|c| c.is_ascii_alphanumeric()), "{}", one.id);
        assert!(one.summary.len() > 5 && !one.summary.ends_with('.'), "{}", one.id);
        assert!(!one.answers.is_empty(), "{} says no answer", one.id);
    }
}

#[test]
fn the_codes_of_the_document_are_those_of_the_table() {
    let document = document();
    let table: BTreeSet<&str> = Code::ALL.iter().map(|code| code.row().0).collect();
    let of_schema = |name: &str| {
        let words = document["components"]["schemas"][name]["properties"]["error_code"]["enum"].as_array();
        words.unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let table: BTreeSet<String> = table.into_iter().map(ToOwned::to_owned).collect();
    assert_eq!(of_schema("Error"), table);
    assert_eq!(of_schema("OAuthError"), table);
    let mut used = BTreeSet::new();
    for (name, response) in document["components"]["responses"].as_object().unwrap() {
        let schema = &response["content"]["application/json"]["schema"]["allOf"][1]["properties"];
        let status = schema["status"]["const"].as_u64().unwrap();
        for word in schema["error_code"]["enum"].as_array().unwrap() {
            let code = Code::ALL.iter().find(|code| code.row().0 == word.as_str().unwrap()).unwrap();
            assert_eq!(u64::from(code.row().1.as_u16()), status, "{name}");
            used.insert(code.row().0.to_owned());
        }
    }
    // Answered for a method that an address does not have, so by no operation.
    used.insert("METHOD_NOT_ALLOWED".to_owned());
    assert_eq!(used, table, "a code that no operation answers with");
}

#[test]
fn every_reference_leads_somewhere() {
    fn check(document: &Value, value: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                members.values().for_each(|member| check(document, member));
            }
            Value::Array(items) => items.iter().for_each(|item| check(document, item)),
            _ => {}
        }
    }
    let document = document();
    check(&document, &document);
}

#[test]
fn the_document_is_served_and_kept() {
    run(async |world| {
        let answer = world.get("/openapi.json").send().await.expect(200);
        assert_eq!(answer.json(), document());
        let tag = answer.header("etag").unwrap().to_owned();
        world.get("/openapi.json").header("if-none-match", &tag).send().await.expect(304);
    });
}

#[test]
fn the_pages_show_every_operation_without_script() {
    run(async |world| {
        let overview = world.get("/docs").send().await.expect(200);
        for chapter in chapters() {
            let href = format!("/docs/{}", chapter.tag.to_lowercase().replace(' ', "-"));
            assert!(overview.body.contains(&format!("href=\"{href}\"")), "{href}");
            let page = world.get(&href).send().await.expect(200);
            for one in &chapter.operations {
                assert!(page.body.contains(&format!("id=\"{}\"", one.id)), "{}", one.id);
            }
            assert!(!page.body.contains("<script") && !page.body.contains("style="));
            for (name, value) in page_headers(gatehouse::pages::Policy::Hosted) {
                assert_eq!(page.header(name.as_str()).unwrap(), value);
            }
        }
        world.get("/docs/nothing").send().await.expect(404);
    });
}
