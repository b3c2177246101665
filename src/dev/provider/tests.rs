//! The dev provider over HTTP, as a client sees it.

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use gatehouse_actors::clock::TestClock;
use url::Url;

use super::*;
use crate::config::secret::Secret;
use crate::http::resource::mount;
use crate::metrics::requests::Requests;
use crate::upstream::install_crypto_provider;

pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:3000/auth/dev/callback";
pub(crate) const SECRET: &str = "dev secret: +&=%/ü"; // must survive form encoding inside Basic
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A dev provider behind a real server on a port of its own.
pub(crate) struct DevServer {
    pub(crate) issuer: String,
    pub(crate) clock: Arc<TestClock>,
    handle: ServerHandle,
}

impl DevServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::start_on(listener, Arc::new(TestClock::at(1_800_000_000_000)))
    }

    pub(crate) fn address(&self) -> (&'static str, u16) {
        let url: Url = self.issuer.parse().unwrap();
        ("127.0.0.1", url.port().unwrap())
    }

    /// The same provider after a restart: same address, new key, nothing remembered.
    pub(crate) async fn restart(self) -> Self {
        self.stop().await;
        let listener = TcpListener::bind(self.address()).unwrap();
        Self::start_on(listener, self.clock)
    }

    fn start_on(listener: TcpListener, clock: Arc<TestClock>) -> Self {
        install_crypto_provider();
        let issuer = format!("http://{}{MOUNT_PATH}", listener.local_addr().unwrap());
        let secret = Secret::new(SECRET.to_owned());
        let uris = vec![REDIRECT_URI.to_owned()];
        let provider = DevProvider::new(issuer.clone(), secret, uris, clock.clone()).unwrap();
        let provider = web::Data::new(provider);
        let server = HttpServer::new(move || {
            let requests = Requests::new().unwrap();
            App::new().app_data(provider.clone()).configure(|cfg| mount(cfg, &requests, routes()))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { issuer, clock, handle }
    }

    pub(crate) async fn stop(&self) {
        self.handle.stop(false).await;
    }

    /// What a person does in the browser at `url`: looks at the page, fills it in and presses a button. Returns where
    /// the browser is sent.
    pub(crate) async fn browse(&self, url: &Url, fields: &[(&str, &str)]) -> Url {
        let page = awc::Client::new().get(url.as_str()).send().await.unwrap();
        assert_eq!(page.status(), 200);
        let mut form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        form.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let answer = awc::Client::builder()
            .disable_redirects()
            .finish()
            .post(format!("{}/authorize", self.issuer))
            .send_form(&form)
            .await
            .unwrap();
        assert_eq!(answer.status(), 303);
        answer.headers().get("location").unwrap().to_str().unwrap().parse().unwrap()
    }

    fn authorize_url(&self, changes: &[(&str, &str)]) -> Url {
        let mut params = vec![
            ("client_id", CLIENT_ID),
            ("redirect_uri", REDIRECT_URI),
            ("response_type", "code"),
            ("scope", "openid email"),
            ("state", "st"),
            ("nonce", "no"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in changes {
            params.retain(|(known, _)| known != name);
            params.push((name, value));
        }
        Url::parse_with_params(&format!("{}/authorize", self.issuer), params).unwrap()
    }

    async fn code(&self) -> String {
        let sent_to = self
            .browse(&self.authorize_url(&[]), &[("email", "ada@example.com"), ("decision", "sign_in")])
            .await;
        parameter(&sent_to, "code").unwrap()
    }

    async fn token(&self, form: &[(&str, &str)]) -> (u16, serde_json::Value) {
        let request = awc::Client::new().post(format!("{}/token", self.issuer));
        let mut answer = request.send_form(&form).await.unwrap();
        assert_eq!(answer.headers().get("cache-control").unwrap(), "no-store");
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

pub(crate) fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn post_form(code: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
        ("client_id", CLIENT_ID),
        ("client_secret", SECRET),
    ]
}

fn with<'a>(mut form: Vec<(&'a str, &'a str)>, name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    form.retain(|(known, _)| *known != name);
    form.push((name, value));
    form
}

#[actix_web::test]
async fn the_page_escapes_and_is_strict() {
    let server = DevServer::start();
    let url =
        server.authorize_url(&[("state", "\"><script>alert(1)</script>"), ("login_hint", "ada@example.com")]);
    let mut page = awc::Client::new().get(url.as_str()).send().await.unwrap();
    assert_eq!(page.status(), 200);
    let policies: Vec<_> = page.headers().get_all("content-security-policy").cloned().collect();
    assert_eq!(policies, [PAGE_POLICY]);
    assert!(!PAGE_POLICY.contains("form-action"));
    let html = String::from_utf8(page.body().await.unwrap().to_vec()).unwrap();
    assert!(!html.contains("<script>") && html.contains("value=\"ada@example.com\""));
    server.stop().await;
}

#[actix_web::test]
async fn nobody_is_redirected_to_an_unknown_place() {
    let server = DevServer::start();
    let longer = format!("{REDIRECT_URI}/");
    for change in
        [("redirect_uri", longer.as_str()), ("redirect_uri", "https://evil.test/"), ("client_id", "other")]
    {
        let client = awc::Client::builder().disable_redirects().finish();
        let mut answer = client.get(server.authorize_url(&[change]).as_str()).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{change:?}");
        assert!(answer.headers().get("location").is_none());
        let html = String::from_utf8(answer.body().await.unwrap().to_vec()).unwrap();
        assert!(html.contains("cannot be used") && !html.contains("<form"));
    }
    let twice = format!("{}&state=x", server.authorize_url(&[]));
    let answer = awc::Client::new().get(twice).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    server.stop().await;
}

#[actix_web::test]
async fn a_sloppy_client_is_told_so() {
    let server = DevServer::start();
    for (change, error) in [
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("nonce", ""), "invalid_request"),
        (("scope", "email"), "invalid_scope"),
        (("response_type", "token"), "unsupported_response_type"),
    ] {
        let client = awc::Client::builder().disable_redirects().finish();
        let answer = client.get(server.authorize_url(&[change]).as_str()).send().await.unwrap();
        assert_eq!(answer.status(), 303, "{change:?}");
        let sent_to: Url = answer.headers().get("location").unwrap().to_str().unwrap().parse().unwrap();
        assert_eq!(parameter(&sent_to, "error").as_deref(), Some(error), "{change:?}");
        assert_eq!(parameter(&sent_to, "state").as_deref(), Some("st"));
        assert_eq!(parameter(&sent_to, "iss").as_deref(), Some(server.issuer.as_str()));
    }
    server.stop().await;
}

#[actix_web::test]
async fn cancel_is_access_denied() {
    let server = DevServer::start();
    let sent_to = server.browse(&server.authorize_url(&[]), &[("email", ""), ("decision", "cancel")]).await;
    assert_eq!(parameter(&sent_to, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&sent_to, "code"), None);
    server.stop().await;
}

#[actix_web::test]
async fn a_code_is_good_once_for_60_seconds_with_its_verifier() {
    let server = DevServer::start();
    let (code, wrong) = (server.code().await, "A".repeat(43));
    let invalid_grant = (400, json!({ "error": "invalid_grant" }));
    assert_eq!(server.token(&post_form(&code)).await.0, 200);
    assert_eq!(server.token(&post_form(&code)).await, invalid_grant);

    let code = server.code().await;
    assert_eq!(server.token(&with(post_form(&code), "code_verifier", &wrong)).await, invalid_grant);
    assert_eq!(server.token(&post_form(&code)).await, invalid_grant, "a failed try burns the code");

    let code = server.code().await;
    assert_eq!(
        server.token(&with(post_form(&code), "redirect_uri", "http://127.0.0.1/")).await,
        invalid_grant
    );

    let code = server.code().await;
    server.clock.advance(60_000);
    assert_eq!(server.token(&post_form(&code)).await, invalid_grant);
    server.stop().await;
}

#[actix_web::test]
async fn the_client_must_prove_itself() {
    let server = DevServer::start();
    let code = server.code().await;
    let invalid_client = (401, json!({ "error": "invalid_client" }));
    assert_eq!(server.token(&with(post_form(&code), "client_secret", "guess")).await, invalid_client);
    assert_eq!(server.token(&with(post_form(&code), "client_id", "other")).await, invalid_client);
    let unknown_grant = with(post_form(&code), "grant_type", "password");
    assert_eq!(server.token(&unknown_grant).await, (400, json!({ "error": "unsupported_grant_type" })));
    // A stranger's tries did not burn the code.
    assert_eq!(server.token(&post_form(&code)).await.0, 200);
    server.stop().await;
}

#[actix_web::test]
async fn userinfo_needs_a_live_access_token() {
    let server = DevServer::start();
    let (_, tokens) = server.token(&post_form(&server.code().await)).await;
    let ask = async |token: &str| {
        let request = awc::Client::new().get(format!("{}/userinfo", server.issuer)).bearer_auth(token);
        let mut answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<serde_json::Value>().await.ok())
    };
    let (status, claims) = ask(tokens["access_token"].as_str().unwrap()).await;
    assert_eq!((status, claims.unwrap()["email"].as_str()), (200, Some("ada@example.com")));
    assert_eq!(ask("guess").await.0, 401);
    server.clock.advance(300_000);
    assert_eq!(ask(tokens["access_token"].as_str().unwrap()).await.0, 401);
    server.stop().await;
}

#[test]
fn the_same_address_is_the_same_person() {
    let subject = |email: &str| Person::new(email, "", true).unwrap().claims()["sub"].clone();
    assert_eq!(subject("ada@example.com"), subject(" Ada@Example.com "));
    assert_ne!(subject("ada@example.com"), subject("bob@example.com"));
    for text in ["", "ada", "a@b@c", "@b", "a@", "a b@c"] {
        assert!(Person::new(text, "", true).is_none(), "{text:?}");
    }
}
