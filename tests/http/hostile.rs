//! Whatever is sent to the public routes: never a failure of ours, always an answer in one of the shapes of `docs/errors.md`.

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

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CALLBACK: &str = "http://127.0.0.1/callback";

/// Requests that are right but for a secret. Each is sent to every route, with a flaw or two.
const RECIPES: &[&[(&str, &str)]] = &[
    &[
        ("grant_type", "authorization_code"),
        ("client_id", "demo-web"),
        ("redirect_uri", CALLBACK),
        ("code", "AQAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ("code_verifier", VERIFIER),
    ],
    &[
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", "demo-cli"),
        ("device_code", "AgAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    ],
    &[
        ("grant_type", "refresh_token"),
        ("client_id", "demo-web"),
        ("refresh_token", "AwAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ("scope", "openid"),
    ],
    &[("client_id", "demo-cli"), ("org", "demo"), ("service", "cli"), ("scope", "openid profile")],
    &[("org", "demo"), ("service", "cli"), ("user_code", "BCDF-GHJK")],
    &[
        ("org", "demo"),
        ("service", "web"),
        ("client_id", "demo-web"),
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("state", "s"),
        ("nonce", "n"),
        ("scope", "openid email"),
    ],
    &[("code", "c"), ("state", "s"), ("iss", "http://127.0.0.1")],
    &[("csrf", "x"), ("decision", "approve")],
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
    let name = || prop_oneof![12 => select(NAMES).prop_map(str::to_owned), 1 => ".{0,10}"];
    let flawed = (select(RECIPES), vec((any::<Index>(), prop::option::of(text())), 0..3));
    let flawed = flawed.prop_map(|(recipe, flaws)| {
        let mut pairs: Vec<_> =
            recipe.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        for (place, flaw) in flaws {
            let place = place.index(pairs.len());
            match flaw {
                Some(value) => pairs[place].1 = value,
                None if pairs.len() > 1 => drop(pairs.remove(place)),
                None => pairs.push(pairs[place].clone()),
            }
        }
        pairs
    });
    prop_oneof![6 => flawed, 1 => vec((name(), text()), 0..8)]
}

/// The same as an object, or what else JSON can be.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => text().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => vec(text(), 0..3).prop_map(Value::from),
    ];
    let object = |pairs: Vec<(String, String)>| {
        Value::Object(pairs.into_iter().map(|(name, value)| (name, Value::from(value))).collect())
    };
    let odd = (pairs(), select(NAMES), leaf.clone()).prop_map(move |(pairs, name, leaf)| {
        let mut value = object(pairs);
        value[name] = leaf;
        value
    });
    prop_oneof![
        4 => pairs().prop_map(object),
        4 => odd,
        1 => pairs().prop_map(move |pairs| Value::from(vec![object(pairs)])),
        1 => leaf,
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
        3 => Just("dev".to_owned()),
        2 => select(&["github", "github", "admin", "callback", "%00", "%2e%2e", "%2f", "%ff", "dev%0d%0a"][..])
            .prop_map(str::to_owned),
        1 => "[!$&-;=@-Z_a-z~]{1,40}".prop_filter("the provider that is down", |text| text != "oidc"),
    ];
    let cookie = prop::option::of((
        select(&["gatehouse-activation", "gatehouse-login-x", "gatehouse-login-", "x"][..])
            .prop_map(str::to_owned),
        "[!#-+--:<-\\[\\]-~]{0,200}",
    ));
    // Often none: the token endpoint looks no further when there is one.
    let query = prop_oneof![2 => Just(Vec::new()), 3 => pairs()];
    (any::<Index>(), segment, query, sent(), cookie, select(ACCEPTS)).prop_map(
        |(route, segment, query, sent, cookie, accept)| Case { route, segment, query, sent, cookie, accept },
    )
}

impl Case {
    fn request(&self, world: &World, entry: Entry) -> Request {
        let mut target = entry.path.replace("{provider}", &self.segment);
        if !self.query.is_empty() {
            let query =
                url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
            target = format!("{target}?{query}");
        }
        let request = world.request(entry.method, &target).header("accept", self.accept);
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
        // Nobody is sent anywhere but to this service, its provider, or a registered address: all on this machine.
        if let Some(location) = answer.header("location") {
            let here = location.starts_with('/') && !location.starts_with("//") && !location.contains('\\');
            let loopback = ["http://127.0.0.1:", "http://127.0.0.1/callback", "http://[::1]"];
            prop_assert!(here || loopback.iter().any(|start| location.starts_with(start)), "{location}");
        }
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
