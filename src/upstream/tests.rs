//! Whole sign-ins: against the dev provider on a real port, and against a stand-in that answers as GitHub does.

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use gatehouse_actors::clock::TestClock;
use serde_json::json;

use super::*;
use crate::dev::provider::CLIENT_ID;
use crate::dev::provider::tests::{DevServer, REDIRECT_URI, SECRET, parameter};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn open_id(issuer: &str, client_secret: &str) -> Provider {
    Provider::new(ProviderSettings {
        kind: ProviderKind::Dev,
        endpoints: ProviderEndpoints::OpenId { issuer: issuer.to_owned() },
        client_id: CLIENT_ID.to_owned(),
        client_secret: Secret::new(client_secret.to_owned()),
    })
}

fn request<'a>() -> AuthorizationRequest<'a> {
    AuthorizationRequest {
        redirect_uri: REDIRECT_URI,
        state: "state",
        nonce: "nonce",
        code_verifier: VERIFIER,
        effort: Effort::Any,
        login_hint: None,
        scopes: &[],
        consent_again: false,
    }
}

fn exchange<'a>(code: &'a str, iss: &'a str) -> CallbackExchange<'a> {
    CallbackExchange {
        code,
        redirect_uri: REDIRECT_URI,
        nonce: "nonce",
        code_verifier: VERIFIER,
        iss: Some(iss),
    }
}

fn refused(error: &str) -> UpstreamError {
    UpstreamError::Refused { error: error.to_owned() }
}

/// The dev provider, a client for it and everything that a sign-in needs.
struct Scene {
    server: DevServer,
    provider: Provider,
    http: HttpClient,
}

impl Scene {
    fn new() -> Self {
        let server = DevServer::start();
        let provider = open_id(&server.issuer, SECRET);
        Self { server, provider, http: HttpClient::new() }
    }

    fn clock(&self) -> &TestClock {
        &self.server.clock
    }

    /// Goes through the browser's part and returns the code.
    async fn code(&self, fields: &[(&str, &str)]) -> String {
        let url = self.provider.authorization_url(&self.http, self.clock(), &request()).await.unwrap();
        let mut all = vec![("decision", "sign_in")];
        all.extend(fields);
        let back = self.server.browse(&url, &all).await;
        assert_eq!(parameter(&back, "state").as_deref(), Some("state"));
        assert_eq!(parameter(&back, "iss").as_deref(), Some(self.server.issuer.as_str()));
        parameter(&back, "code").unwrap()
    }

    async fn sign_in(&self, exchange: &CallbackExchange<'_>) -> Result<SignIn, UpstreamError> {
        self.provider.sign_in(&self.http, self.clock(), exchange).await
    }
}

#[test]
fn providers_are_shared_between_workers() {
    fn shareable<T: Send + Sync + 'static>() {}
    shareable::<Arc<Provider>>();
}

#[actix_web::test]
async fn a_person_signs_in_at_an_openid_provider() {
    let scene = Scene::new();
    let person = [("email", "Ada@example.com"), ("name", "Ada Lovelace"), ("email_verified", "true")];
    let code = scene.code(&person).await;
    let signed_in = scene.sign_in(&exchange(&code, &scene.server.issuer)).await.unwrap();
    let identity = signed_in.identity;
    assert_eq!(identity.issuer, scene.server.issuer);
    assert_eq!(identity.email.as_deref(), Some("Ada@example.com"));
    assert_eq!(identity.name.as_deref(), Some("Ada Lovelace"));
    assert!(identity.email_verified);
    assert_eq!(identity.auth_time, Some(1_800_000_000));
    assert_eq!(signed_in.tokens.expires_in, Some(300));
    assert_eq!(signed_in.tokens.scopes, ["openid", "email", "profile"]);

    let code = scene.code(&[("email", "ada@example.com")]).await;
    let again = scene.sign_in(&exchange(&code, &scene.server.issuer)).await.unwrap().identity;
    assert_eq!(again.subject, identity.subject);
    assert!(!again.email_verified, "the box was not ticked");
    scene.server.stop().await;
}

#[actix_web::test]
async fn a_code_is_worth_nothing_without_what_was_kept() {
    let scene = Scene::new();
    let email = [("email", "ada@example.com")];
    let issuer = scene.server.issuer.clone();

    let code = scene.code(&email).await;
    let wrong_nonce = CallbackExchange { nonce: "other", ..exchange(&code, &issuer) };
    assert_eq!(scene.sign_in(&wrong_nonce).await.err(), Some(UpstreamError::IdToken(IdTokenError::Nonce)));
    assert_eq!(
        scene.sign_in(&exchange(&code, &issuer)).await.err(),
        Some(refused("invalid_grant")),
        "replay"
    );

    let code = scene.code(&email).await;
    let wrong_verifier = CallbackExchange { code_verifier: CLIENT_ID, ..exchange(&code, &issuer) };
    assert_eq!(scene.sign_in(&wrong_verifier).await.err(), Some(refused("invalid_grant")));

    let code = scene.code(&email).await;
    for iss in [None, Some("https://evil.test")] {
        let mixed_up = CallbackExchange { iss, ..exchange(&code, &issuer) };
        assert_eq!(scene.sign_in(&mixed_up).await.err(), Some(UpstreamError::WrongIssuer));
    }
    // The mixed-up callbacks were refused before the code went anywhere.
    assert!(scene.sign_in(&exchange(&code, &issuer)).await.is_ok());

    let code = scene.code(&email).await;
    let impostor = open_id(&issuer, "guess");
    let verdict = impostor.sign_in(&scene.http, scene.clock(), &exchange(&code, &issuer)).await;
    assert_eq!(verdict.err(), Some(refused("invalid_client")));
    scene.server.stop().await;
}

#[actix_web::test]
async fn a_new_signing_key_is_fetched_at_most_once_a_minute() {
    let mut scene = Scene::new();
    let issuer = scene.server.issuer.clone();
    let email = [("email", "ada@example.com")];
    let code = scene.code(&email).await;
    assert!(scene.sign_in(&exchange(&code, &issuer)).await.is_ok());

    scene.server = scene.server.restart().await;
    let code = scene.code(&email).await;
    let verdict = scene.sign_in(&exchange(&code, &issuer)).await;
    assert_eq!(verdict.err(), Some(UpstreamError::IdToken(IdTokenError::UnknownKey)), "asked just now");

    scene.clock().advance(60_000);
    let code = scene.code(&email).await;
    assert!(scene.sign_in(&exchange(&code, &issuer)).await.is_ok());
    scene.server.stop().await;
}

#[actix_web::test]
async fn a_provider_that_is_away_is_unreachable_until_it_is_back() {
    let scene = Scene::new();
    let url = scene.provider.authorization_url(&scene.http, scene.clock(), &request()).await.unwrap();
    let nobody = open_id("http://127.0.0.1:1", SECRET);
    let verdict = nobody.authorization_url(&scene.http, scene.clock(), &request()).await;
    assert_eq!(verdict.unwrap_err(), UpstreamError::Unreachable("no connection"));
    scene.server.stop().await;
    // Held, so that no other test gets this port, and never answered: connections are closed at once.
    let held = TcpListener::bind(scene.server.address()).unwrap();
    std::thread::spawn(move || held.incoming().for_each(drop));
    // What was discovered is remembered for an hour, and not for longer.
    let remembered = scene.provider.authorization_url(&scene.http, scene.clock(), &request()).await;
    assert_eq!(remembered.unwrap(), url);
    scene.clock().advance(60 * 60 * 1000);
    // A client of its own: the other one may hold a connection whose end it has not seen yet.
    let http = HttpClient::new();
    assert!(scene.provider.authorization_url(&http, scene.clock(), &request()).await.is_err());
}

/// Answers as github.com and api.github.com do: 200 also for refusals, and codes that say what is to happen.
struct GitHubStandIn {
    url: Url,
    handle: actix_web::dev::ServerHandle,
}

#[allow(clippy::unused_async)] // handlers are async, whether they wait or not
impl GitHubStandIn {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let server = HttpServer::new(|| {
            App::new()
                .route("/login/oauth/access_token", web::post().to(Self::token))
                .route("/api/user", web::get().to(Self::user))
                .route("/api/user/emails", web::get().to(Self::emails))
        });
        let server = server.workers(1).disable_signals().listen(listener).unwrap().run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { url, handle }
    }

    async fn token(http: HttpRequest, form: web::Form<Vec<(String, String)>>) -> HttpResponse {
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
        assert_eq!(http.headers().get("accept").unwrap(), "application/json");
        assert_eq!(http.headers().get("user-agent").unwrap(), "gatehouse");
        assert_eq!(field("client_secret"), SECRET);
        assert_eq!(field("code_verifier"), VERIFIER);
        match field("code") {
            "down" => HttpResponse::BadGateway().json(json!({ "error": "invalid_grant" })),
            "garbage" => HttpResponse::Ok().content_type("text/html").body("<h1>Unicorn!</h1>"),
            "spent" => HttpResponse::Ok().json(json!({
                "error": "bad_verification_code",
                "error_description": "The code passed is incorrect or expired.",
            })),
            code => HttpResponse::Ok().json(json!({
                "access_token": format!("gho_{code}"), "token_type": "bearer", "scope": "read:user,user:email",
            })),
        }
    }

    async fn user() -> HttpResponse {
        HttpResponse::Ok().json(json!({
            "id": 583_231, "login": "octocat", "name": null, "email": "public@example.com",
            "avatar_url": "https://avatars.example.test/u/583231",
        }))
    }

    async fn emails(http: HttpRequest) -> HttpResponse {
        let token = http.headers().get("authorization").unwrap().to_str().unwrap();
        if token == "Bearer gho_noemail" {
            return HttpResponse::NotFound().json(json!({ "message": "Not Found" }));
        }
        HttpResponse::Ok().json(json!([
            { "email": "other@example.com", "primary": false, "verified": true, "visibility": null },
            { "email": "octocat@example.com", "primary": true, "verified": true, "visibility": "private" },
        ]))
    }
}

#[actix_web::test]
async fn a_person_signs_in_at_github() {
    let (http, clock) = (HttpClient::new(), TestClock::at(0));
    let stand_in = GitHubStandIn::start();
    let provider = Provider::new(ProviderSettings {
        kind: ProviderKind::GitHub,
        endpoints: ProviderEndpoints::GitHub {
            base_url: stand_in.url.clone(),
            api_url: stand_in.url.join("api/").unwrap(),
        },
        client_id: "Iv1.client".to_owned(),
        client_secret: Secret::new(SECRET.to_owned()),
    });
    let extra = ["repo".to_owned(), "read:user".to_owned()];
    let url = AuthorizationRequest { scopes: &extra, ..request() };
    let url = provider.authorization_url(&http, &clock, &url).await.unwrap();
    assert!(url.path() == "/login/oauth/authorize" && parameter(&url, "nonce").is_none());
    assert_eq!(parameter(&url, "scope").as_deref(), Some("read:user user:email repo"));
    assert_eq!(parameter(&url, "code_challenge_method").as_deref(), Some("S256"));

    let issuer = stand_in.url.as_str().trim_end_matches('/').to_owned();
    let sign_in = async |code: &str| provider.sign_in(&http, &clock, &exchange(code, &issuer)).await;
    let signed_in = sign_in("good").await.unwrap();
    assert_eq!(signed_in.tokens.scopes, ["read:user", "user:email"]);
    let expected = ExternalIdentity {
        issuer: issuer.clone(),
        subject: "583231".to_owned(),
        email: Some("octocat@example.com".to_owned()),
        email_verified: true,
        name: Some("octocat".to_owned()),
        avatar_url: Some("https://avatars.example.test/u/583231".to_owned()),
        amr: Vec::new(),
        auth_time: None,
    };
    assert_eq!(signed_in.identity, expected);

    assert_eq!(sign_in("noemail").await.unwrap().identity.email, None);
    assert_eq!(sign_in("spent").await.err(), Some(refused("bad_verification_code")));
    assert_eq!(sign_in("down").await.err(), Some(UpstreamError::Status(502)));
    assert_eq!(sign_in("garbage").await.err(), Some(UpstreamError::BadAnswer("not a token answer")));
    stand_in.handle.stop(false).await;
}
