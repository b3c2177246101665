//! Whatever is sent to the public routes: never a failure of ours, always an answer in the contract's shape.

use actix_web::rt::System;
use gatehouse::app::{dev_routes, routes};
use gatehouse::http::resource::Entry;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;

use crate::support::{Answer, Request, World};

/// A few seconds of requests.
const CASES: u32 = 4000;

/// Names that the routes look at: random names alone would not get past the first check.
const NAMES: &[&str] = &[
    "grant_type",
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "code_challenge",
    "code_challenge_method",
    "redirect_uri",
    "response_type",
    "response_mode",
    "refresh_token",
    "device_code",
    "user_code",
    "org",
    "service",
    "state",
    "nonce",
    "scope",
    "prompt",
    "idp_hint",
    "iss",
    "error",
    "csrf",
    "decision",
    "email",
    "name",
];

/// Values that are right somewhere, and values that were trouble elsewhere.
const VALUES: &[&str] = &[
    "",
    "demo",
    "web",
    "cli",
    "platform",
    "demo-web",
    "demo-cli",
    "platform-admin-cli",
    "gatehouse",
    "dev",
    "code",
    "S256",
    "plain",
    "authorization_code",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:device_code",
    "client_credentials",
    "openid profile",
    "none",
    "approve",
    "deny",
    "cancel",
    "http://127.0.0.1/callback",
    "http://127.0.0.1:99999/callback",
    "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "BCDF-GHJK",
    "AQAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "AgAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "AwAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "' OR 1=1--",
    "<script>alert(1)</script>",
    "%00",
    "\u{0}",
    "\u{202e}\u{200b}",
    "../../etc/passwd",
    "\r\nSet-Cookie: a=b",
];

const MEDIA_TYPES: &[&str] = &[
    "application/x-www-form-urlencoded",
    "application/json",
    "application/json; charset=utf-16",
    "multipart/form-data; boundary=x",
    "text/plain",
    "",
];

const ACCEPTS: &[&str] = &["*/*", "text/html", "application/json", "application/problem+json"];

#[derive(Debug, Clone)]
enum Sent {
    Form(Vec<(String, String)>),
    Json(String),
    Bytes(String, Vec<u8>),
}

/// One hostile request.
#[derive(Debug, Clone)]
struct Case {
    route: Index,
    segment: String,
    query: Vec<(String, String)>,
    sent: Sent,
    cookie: Option<(String, String)>,
    accept: &'static str,
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => select(VALUES).prop_map(str::to_owned),
        2 => ".{0,30}",
        1 => "[ -~]{0,3000}",
    ]
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![12 => select(NAMES).prop_map(str::to_owned), 1 => ".{0,10}"];
    vec((name, text()), 0..8)
}

/// Plain values mostly, and what JSON can nest.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        8 => text().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
    ];
    let members = || vec((select(NAMES), leaf.clone()), 0..8);
    let object = |members: Vec<(&str, Value)>| {
        Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    prop_oneof![
        8 => members().prop_map(object),
        1 => members().prop_map(move |members| Value::from(vec![object(members)])),
        1 => leaf.clone(),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let deep = (1..5000_usize).prop_map(|depth| Sent::Json("[".repeat(depth)));
    prop_oneof![
        6 => pairs().prop_map(Sent::Form),
        6 => json().prop_map(|value| Sent::Json(value.to_string())),
        1 => deep,
        2 => (select(MEDIA_TYPES), vec(any::<u8>(), 0..200)).prop_map(|(media_type, bytes)| {
            Sent::Bytes(media_type.to_owned(), bytes)
        }),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    // Percent-encoded as a browser would, or raw.
    let segment = prop_oneof![
        3 => select(&["dev", "github", "admin", "callback", "%00", "%2e%2e", "%2f", "%ff", "dev%0d%0a"][..])
            .prop_map(str::to_owned),
        1 => "[!$&-;=@-Z_a-z~]{1,40}".prop_filter("the provider that is down", |text| text != "oidc"),
    ];
    let cookie = prop::option::of((
        select(&["gatehouse-activation", "gatehouse-login-x", "gatehouse-login-", "x"][..])
            .prop_map(str::to_owned),
        "[!#-+--:<-\\[\\]-~]{0,200}",
    ));
    (any::<Index>(), segment, pairs(), sent(), cookie, select(ACCEPTS)).prop_map(
        |(route, segment, query, sent, cookie, accept)| Case { route, segment, query, sent, cookie, accept },
    )
}

impl Case {
    fn request(&self, world: &World, entry: Entry) -> Request {
        let path = entry.path.replace("{provider}", &self.segment);
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        let request = world.request(entry.method, &format!("{path}?{query}")).header("accept", self.accept);
        let request = match &self.cookie {
            Some((name, value)) => request.header("cookie", &format!("{name}={value}")),
            None => request,
        };
        if entry.method == "GET" {
            return request;
        }
        match &self.sent {
            Sent::Form(pairs) => {
                let pairs: Vec<_> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
                request.form(&pairs)
            }
            Sent::Json(text) => request.body("application/json", text.as_str()),
            Sent::Bytes(media_type, bytes) => request.body(media_type, bytes.as_slice()),
        }
    }
}

/// What every answer must be, and an error all the more.
fn check(entry: Entry, answer: &Answer) -> Result<(), TestCaseError> {
    prop_assert!(answer.status < 500, "{}: {}", answer.status, answer.body);
    prop_assert!(answer.header("x-request-id").is_some());
    prop_assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    if answer.status < 400 {
        return Ok(());
    }
    prop_assert_eq!(answer.header("cache-control"), Some("no-store"));
    let content_type = answer.header("content-type").unwrap_or_default();
    // The dev provider is another server by nature: RFC 6749 and RFC 6750, but not our members.
    if entry.path.starts_with("/dev/provider/") && !answer.body.contains("error_code") {
        return Ok(());
    }
    if content_type.starts_with("text/html") {
        prop_assert!(answer.body.contains("<h1>"), "{}", answer.body);
        return Ok(());
    }
    prop_assert!(content_type.starts_with("application/"), "{content_type}");
    let body: Value = serde_json::from_str(&answer.body)
        .map_err(|error| TestCaseError::fail(format!("{error}: {}", answer.body)))?;
    for member in ["error", "error_code", "timestamp", "type", "title", "detail", "instance"] {
        prop_assert!(body[member].is_string(), "no {member} in {body}");
    }
    prop_assert_eq!(&body["status"], answer.status);
    if body["error_code"] == "RATE_LIMITED" {
        prop_assert!(answer.header("retry-after").is_some());
    }
    Ok(())
}

#[test]
fn no_input_breaks_a_public_route() {
    let entries: Vec<Entry> = routes()
        .iter()
        .chain(&dev_routes())
        .flat_map(|resource| resource.entries().collect::<Vec<_>>())
        .filter(|entry| entry.caller == "Anonymous")
        .collect();
    let system = System::new();
    let world = system.block_on(World::dev());
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&case(), |case| {
        let entry = *case.route.get(&entries);
        let answer = system.block_on(case.request(&world, entry).send());
        // Time goes on, so that a spent budget of guesses does not hide what is behind it.
        world.advance(20_000);
        check(entry, &answer)
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    system.block_on(async {
        world.get("/health/ready").send().await.expect(200);
        world.web_tokens("ada@example.com").await;
        world.stop().await;
    });
}
