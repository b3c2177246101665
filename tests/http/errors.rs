//! How errors look: the whole table in its three renderings, then errors as real requests meet them.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App as ActixApp, HttpRequest, HttpResponse, web};
use gatehouse::error::{Code, Error, More};
use gatehouse::http::{dialect, headers, observe};
use url::Url;

use crate::support::{
    Answer, Browser, DEVICE_GRANT, Device, Request, SignIn, World, assert_snapshot, authorize_query,
    parameter, run, visible_text,
};

/// Comes back in every body, so that bodies do not differ from run to run.
const REQUEST_ID: &str = "request-of-the-test";

/// The headers that say something about an error.
const HEADERS: [&str; 6] =
    ["allow", "cache-control", "content-type", "location", "retry-after", "www-authenticate"];

/// One answer as text: status, headers, then the members of the body, or what a person reads.
fn describe<'a>(status: u16, header: impl Fn(&str) -> Option<&'a str>, body: &str) -> String {
    let mut text = format!("{status}\n");
    for name in HEADERS {
        if let Some(value) = header(name) {
            writeln!(text, "{name}: {value}").unwrap();
        }
    }
    text.push('\n');
    match serde_json::from_str::<serde_json::Value>(body) {
        Ok(json) => writeln!(text, "{json:#}").unwrap(),
        Err(_) => text.push_str(&visible_text(body)),
    }
    text.truncate(text.trim_end().len());
    text
}

fn describe_answer(world: &World, answer: &Answer) -> String {
    let text = describe(answer.status, |name| answer.header(name), &answer.body);
    let base_url = &world.app.base_url;
    let encoded: String = url::form_urlencoded::byte_serialize(base_url.as_bytes()).collect();
    text.replace(base_url, "BASE_URL").replace(&encoded, "BASE_URL")
}

// ---- the table ----

/// An error with everything that its code may carry.
fn error(code: Code) -> Error {
    let plain = Error::new(code, format!("The sentence of {}.", code.row().0));
    match code {
        Code::ValidationFailed => Error { fields: vec!["name", "slug"], ..plain },
        Code::MethodNotAllowed => {
            let allow = Some("GET, POST".to_owned());
            Error { more: Some(Box::new(More { allow, ..More::default() })), ..plain }
        }
        Code::RateLimited | Code::ServiceUnavailable => plain.retry_after(7),
        Code::InternalServerError => Error::internal("detail for the log alone"),
        _ => plain,
    }
}

/// Fails with the code that the address ends with.
async fn fail(request: HttpRequest) -> Result<HttpResponse, Error> {
    let name = request.path().rsplit('/').next().unwrap();
    let code = Code::ALL.iter().find(|code| code.row().0 == name).unwrap();
    Err(error(*code))
}

async fn render_table(world: &World, route: &str) -> String {
    let app = ActixApp::new()
        .app_data(world.app.clone())
        .wrap(from_fn(headers::defaults))
        .wrap(from_fn(observe::request_line))
        .wrap(from_fn(dialect::render_errors))
        .default_service(web::to(fail));
    let app = init_service(app).await;
    let mut text = String::new();
    for code in Code::ALL {
        let uri = format!("{route}/{}", code.row().0);
        let request = TestRequest::with_uri(&uri)
            .insert_header(("x-request-id", REQUEST_ID))
            .insert_header(("authorization", "Bearer something"));
        let response = call_service(&app, request.to_request()).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = read_body(response).await;
        let body = std::str::from_utf8(&body).unwrap();
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        writeln!(text, "=== {}\n{}\n", code.row().0, describe(status, header, body)).unwrap();
    }
    assert!(!text.contains("for the log alone"), "internal text is shown");
    text
}

#[test]
fn the_table_for_apis() {
    run(async |world| assert_snapshot("table-api", &render_table(world, "/api/x").await));
}

#[test]
fn the_table_for_oauth_routes() {
    run(async |world| assert_snapshot("table-oauth", &render_table(world, "/oauth/token").await));
}

#[test]
fn the_table_for_pages() {
    run(async |world| assert_snapshot("table-page", &render_table(world, "/activate").await));
}

#[test]
fn the_documentation_has_the_same_table() {
    let lines = include_str!("../../docs/errors.md").lines();
    let table = lines.skip_while(|line| !line.starts_with("| `error_code` |")).skip(2);
    let table = table.take_while(|line| line.starts_with('|'));
    let documented: Vec<&str> = table.map(|line| line.rsplit_once(" | ").unwrap().0).collect();
    let row = |code: &Code| {
        let (name, status, oauth) = code.row();
        format!("| `{name}` | {} | `{oauth}`", status.as_u16())
    };
    let rows: Vec<String> = Code::ALL.iter().map(row).collect();
    assert_eq!(documented, rows);
}

// ---- real requests ----

/// Collects answers under their names.
struct Album<'w> {
    world: &'w World,
    text: String,
}

impl<'w> Album<'w> {
    fn new(world: &'w World) -> Self {
        Self { world, text: String::new() }
    }

    async fn add(&mut self, name: &str, request: Request) {
        let answer = request.header("x-request-id", REQUEST_ID).send().await;
        let (method, _) = answer.what.split_once(' ').unwrap();
        let answer = describe_answer(self.world, &answer);
        writeln!(self.text, "=== {name} ({method})\n{answer}\n").unwrap();
    }
}

#[test]
fn requests_that_do_not_fit() {
    run(async |world| {
        let mut album = Album::new(world);
        album.add("unknown address", world.get("/nowhere")).await;
        album.add("unknown address, a browser", world.get("/nowhere").header("accept", "text/html")).await;
        let problem = world.get("/api/nowhere").header("accept", "application/problem+json");
        album.add("unknown address, problem details", problem).await;
        album.add("wrong method, one right one", world.post("/api/user")).await;
        album.add("wrong method, two right ones", world.request("DELETE", "/activate/confirm")).await;
        album.add("wrong method, OAuth", world.get("/auth/token")).await;
        album.add("wrong content type", world.post("/auth/token").body("text/plain", "a=b")).await;
        album.add("no content type", world.post("/api/auth/refresh")).await;
        let json = world.post("/activate/confirm").body("application/json", "{}");
        album.add("wrong content type, a form of a page", json).await;
        let gzip = world.post("/auth/token").header("content-encoding", "gzip").form(&[("a", "b")]);
        album.add("compressed", gzip).await;
        let form = "application/x-www-form-urlencoded";
        let large = vec![b'a'; 64 * 1024 + 1];
        album.add("too large", world.post("/auth/token").body(form, large.clone())).await;
        album.add("too large, API", world.post("/api/auth/refresh").body(form, large)).await;
        album.add("not JSON", world.post("/api/auth/refresh").body("application/json", "{\"a\":")).await;
        let nested = world.post("/api/auth/refresh").body("application/json", "{\"refresh_token\":{}}");
        album.add("nested JSON", nested).await;
        let twice = [("grant_type", "refresh_token"), ("grant_type", "authorization_code")];
        album.add("a parameter twice, form", world.post("/auth/token").form(&twice)).await;
        let twice = "{\"refresh_token\":\"a\",\"refresh_token\":\"b\"}";
        album
            .add("a parameter twice, JSON", world.post("/api/auth/refresh").body("application/json", twice))
            .await;
        album.add("a parameter twice, address", world.get("/activate?user_code=a&user_code=b")).await;
        album.add("a parameter missing", world.post("/auth/device/code").form(&[])).await;
        album.add("parameters in the address", world.post("/auth/token?grant_type=x").form(&[])).await;
        assert_snapshot("requests", &album.text);
    });
}

#[test]
fn grants_that_are_refused() {
    run(async |world| {
        let mut album = Album::new(world);
        let token = |pairs: &[(&str, &str)]| world.post("/oauth/token").form(pairs);
        let code = [("grant_type", "authorization_code"), ("client_id", "demo-web")];
        album.add("unknown client", token(&[("grant_type", "refresh_token"), ("client_id", "nobody")])).await;
        album.add("no client", token(&[("grant_type", "refresh_token")])).await;
        let secret = token(&[code[0], code[1], ("client_secret", "x")]);
        album.add("a public client with a secret", secret).await;
        let basic = token(&code).header("authorization", "Basic ZGVtby13ZWI6eA==");
        album.add("a public client with Basic", basic).await;
        album.add("unknown grant", token(&[("grant_type", "password"), ("client_id", "demo-web")])).await;
        let garbage = [("redirect_uri", "x"), ("code", "garbage"), ("code_verifier", "x")];
        album.add("garbage code", token(&[code.as_slice(), &garbage].concat())).await;
        let refresh = world.post("/api/auth/refresh").form(&[("refresh_token", "garbage")]);
        album.add("garbage refresh token, API", refresh).await;
        let scope = [("client_id", "demo-cli"), ("scope", "admin")];
        album.add("unknown scope", world.post("/auth/device/code").form(&scope)).await;
        let other = [("client_id", "demo-cli"), ("org", "other")];
        album.add("client of another organization", world.post("/auth/device/code").form(&other)).await;

        let poll = |device: &Device| {
            let client = ("client_id", "demo-cli");
            token(&[("grant_type", DEVICE_GRANT), client, ("device_code", &device.device_code)])
        };
        let device = Device::begin(world).await;
        album.add("pending", poll(&device)).await;
        album.add("slow down", poll(&device)).await;
        world.advance(15 * 60 * 1000);
        album.add("expired", poll(&device)).await;
        let denied = Device::begin(world).await;
        denied.decide(world, "ada@example.com", "deny").await.expect(200);
        album.add("denied", poll(&denied)).await;
        let approved = Device::begin(world).await;
        approved.decide(world, "ada@example.com", "approve").await.expect(200);
        approved.poll(world).await.expect(200);
        world.advance(5000);
        album.add("replayed", poll(&approved)).await;
        let foreign =
            [("grant_type", DEVICE_GRANT), ("client_id", "demo-web"), ("device_code", &approved.device_code)];
        album.add("code of another client", token(&foreign)).await;

        let verify = |code: &str| world.post("/auth/device/verify").form(&[("user_code", code)]);
        album.add("unknown user code", verify("BBBB-BBBB")).await;
        for _ in 0..29 {
            verify("BBBB-BBBC").send().await;
        }
        album.add("too many guesses", verify("BBBB-BBBB")).await;
        album.add("too many guesses, page", world.get("/activate?user_code=BBBB-BBBB")).await;
        assert_snapshot("grants", &album.text);
    });
}

#[test]
fn callers_that_are_refused() {
    run(async |world| {
        let mut album = Album::new(world);
        let user = || world.get("/api/user");
        let tokens = world.web_tokens("ada@example.com").await;
        album.add("no token", user()).await;
        album.add("garbage", user().bearer("garbage")).await;
        album.add("another scheme", user().header("authorization", "Basic ZGVtbzp4")).await;
        album.add("two headers", user().bearer(&tokens.access).bearer(&tokens.access)).await;
        world.set_status("demo", "suspended").await;
        album.add("organization suspended", user().bearer(&tokens.access)).await;
        let refresh = || world.post("/api/auth/refresh").form(&[("refresh_token", tokens.refresh.as_str())]);
        album.add("organization suspended, refresh", refresh()).await;
        let device = || world.post("/auth/device/code").form(&[("client_id", "demo-cli")]);
        album.add("organization suspended, device", device()).await;
        let query = authorize_query(&world.web_redirect_uri());
        let start = || world.get(&format!("/auth/dev?org=demo&service=web&{query}"));
        album.add("organization suspended, sign-in", start()).await;
        world.set_status("demo", "active").await;
        world.post("/api/auth/logout").bearer(&tokens.access).send().await.expect(204);
        album.add("session ended", user().bearer(&tokens.access)).await;
        album.add("session ended, refresh", refresh()).await;
        world.advance(15 * 60 * 1000);
        album.add("token expired", user().bearer(&tokens.access)).await;
        world.app.draining.store(true, Ordering::Relaxed);
        album.add("draining", world.get("/health/ready")).await;
        assert_snapshot("callers", &album.text);
    });
}

#[test]
fn sign_ins_that_are_refused() {
    run(async |world| {
        let mut album = Album::new(world);
        let redirect_uri = world.web_redirect_uri();
        let query = authorize_query(&redirect_uri);
        let start = |query: &str| world.get(&format!("/auth/dev?org=demo&service=web&{query}"));
        album.add("unknown provider", world.get(&format!("/auth/nobody?org=demo&service=web&{query}"))).await;
        album.add("unknown service", world.get(&format!("/auth/dev?org=demo&service=x&{query}"))).await;
        album
            .add("the platform by the front door", world.get("/auth/dev?org=platform&service=admin-cli"))
            .await;
        album.add("no redirect URI", start("state=s")).await;
        let evil = authorize_query("https://evil.example/cb");
        album.add("redirect URI of a stranger", start(&evil)).await;
        let json = start(&evil).header("accept", "application/json");
        album.add("redirect URI of a stranger, a script", json).await;
        let bare = query.split("&code_challenge").next().unwrap();
        album.add("no PKCE, told to the app", start(bare)).await;
        album.add("request object, told to the app", start(&format!("{query}&request=x"))).await;
        let authorize = |more: &str| world.get(&format!("/oauth/authorize?client_id=demo-web&{query}{more}"));
        album.add("response type, told to the app", authorize("&response_type=token")).await;
        album.add("silence, told to the app", authorize("&response_type=code&prompt=none")).await;
        let form = authorize("&response_type=token&response_mode=form_post");
        album.add("response type, told to the app by a form", form).await;
        let ahead = authorize("&response_type=code").header("sec-purpose", "prefetch");
        album.add("a prefetch", ahead.header("accept", "text/html")).await;
        album
            .add("consent to nothing", world.get("/oauth/consent?ticket=x").header("accept", "text/html"))
            .await;
        album.add("unknown client", world.get(&format!("/oauth/authorize?client_id=x&{query}"))).await;
        album
            .add(
                "the provider is down, told to the app",
                world.get(&format!("/auth/oidc?org=demo&service=web&{query}")),
            )
            .await;
        album.add("callback without a state", world.get("/auth/dev/callback?code=x")).await;
        album.add("callback of another browser", world.get("/auth/dev/callback?code=x&state=y")).await;
        album
            .add("decision of nobody", world.post("/activate/confirm").form(&[("decision", "approve")]))
            .await;

        let mut cancelled = SignIn::web(world).await;
        let callback = cancelled.at_provider("ada@example.com").await;
        let state = parameter(&Url::parse(&world.address(&callback)).unwrap(), "state").unwrap();
        let denied = format!("/auth/dev/callback?error=access_denied&state={state}");
        let request = world.get(&denied).header("cookie", &cookies(&cancelled.browser));
        album.add("cancelled at the provider, told to the app", request).await;

        let device = Device::begin(world).await;
        let (browser, csrf) = device.claim(world, "ada@example.com").await;
        let decide = |csrf: &str| {
            let form = [("csrf", csrf), ("decision", "approve")];
            world.post("/activate/confirm").form(&form).header("cookie", &cookies(&browser))
        };
        album.add("decision without its token", decide("wrong")).await;
        album.add("decision from another site", decide(&csrf).header("origin", "https://evil.example")).await;
        decide(&csrf).send().await.expect(200);
        album.add("decided already", decide(&csrf)).await;
        assert_snapshot("sign-ins", &album.text);
    });
}

fn cookies(browser: &Browser) -> String {
    let pairs = browser.cookies.iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join("; ")
}
