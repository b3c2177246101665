//! Signing out because an app asks (RP-Initiated Logout 1.0), and the `amr` of an `id_token`.

use serde_json::json;

use crate::support::{Browser, SignIn, Tokens, World, claims_of, redeem_form, run};

const GOODBYE: &str = "https://app.example/goodbye";

/// A browser that signed in, and the app's tokens.
async fn signed_in(world: &World, email: &str) -> (Browser, Tokens) {
    let mut sign_in = SignIn::web(world).await;
    let callback = sign_in.at_provider(email).await;
    let back = sign_in.come_back(&callback).await.expect(303).location();
    let code = crate::support::parameter(&back, "code").unwrap();
    let redirect_uri = world.web_redirect_uri();
    let answer = world.post("/oauth/token").form(&redeem_form("demo-web", &redirect_uri, &code)).send().await;
    (sign_in.browser, Tokens::from(&answer.expect(200)))
}

async fn is_live(world: &World, tokens: &Tokens) -> bool {
    world.get("/api/user").bearer(&tokens.access).send().await.status == 200
}

async fn register_goodbye(world: &World) {
    let owner = world.platform_tokens("owner@example.com").await.access;
    let body = json!({ "post_logout_redirect_uris": [GOODBYE] }).to_string();
    let request = world.request("PATCH", "/api/organizations/demo/services/web");
    request.bearer(&owner).body("application/json", body).send().await.expect(200);
}

fn query(pairs: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("/oauth/logout?{query}")
}

#[test]
fn a_hint_signs_out_and_leads_back_to_the_app() {
    run(async |world| {
        register_goodbye(world).await;
        let (mut browser, tokens) = signed_in(world, "ada@example.com").await;
        let (_, other) = signed_in(world, "ada@example.com").await;
        let pairs =
            [("id_token_hint", tokens.id.as_str()), ("post_logout_redirect_uri", GOODBYE), ("state", "a&b")];
        let left = browser.get(world, &query(&pairs)).await.expect(303);
        assert_eq!(left.header("location"), Some("https://app.example/goodbye?state=a%26b"));
        assert!(!is_live(world, &tokens).await);
        assert!(is_live(world, &other).await, "another browser's session");
        assert!(browser.cookies.keys().all(|name| !name.contains("session")), "{:?}", browser.cookies.keys());
        // Once more: it is over already, and no error.
        browser.get(world, &query(&pairs)).await.expect(303);
    });
}

#[test]
fn without_a_hint_the_person_is_asked() {
    run(async |world| {
        let (mut browser, tokens) = signed_in(world, "ada@example.com").await;
        let page = browser.get(world, &query(&[("client_id", "demo-web")])).await.expect(200);
        assert!(is_live(world, &tokens).await);
        let (_, rest) = page.body.split_once("name=\"csrf\" value=\"").unwrap();
        let csrf = rest.split_once('"').unwrap().0.to_owned();
        let confirm = "/oauth/logout/confirm";
        browser.post(world, confirm, &[("csrf", "wrong"), ("decision", "sign_out")]).await.expect(403);
        browser.post(world, confirm, &[("csrf", &csrf), ("decision", "maybe")]).await.expect(400);
        let mut stranger = Browser::default();
        stranger.post(world, confirm, &[("csrf", &csrf), ("decision", "sign_out")]).await.expect(400);
        assert!(is_live(world, &tokens).await);
        let done =
            browser.post(world, confirm, &[("csrf", &csrf), ("decision", "sign_out")]).await.expect(200);
        assert!(done.body.contains("Signed out"));
        assert!(!is_live(world, &tokens).await);
    });
}

#[test]
fn a_hint_of_somebody_else_is_a_question() {
    run(async |world| {
        let (_, ada) = signed_in(world, "ada@example.com").await;
        let (mut browser, eve) = signed_in(world, "eve@example.com").await;
        let page = browser.get(world, &query(&[("id_token_hint", &ada.id)])).await.expect(200);
        assert!(page.body.contains("Sign out?"));
        assert!(is_live(world, &ada).await && is_live(world, &eve).await);
    });
}

#[test]
fn it_leads_nowhere_but_to_a_registered_address() {
    run(async |world| {
        register_goodbye(world).await;
        let (mut browser, tokens) = signed_in(world, "ada@example.com").await;
        let id = tokens.id.as_str();
        for pairs in [
            vec![("post_logout_redirect_uri", GOODBYE)],
            vec![("id_token_hint", id), ("post_logout_redirect_uri", "https://evil.example/")],
            vec![("id_token_hint", id), ("post_logout_redirect_uri", "https://app.example/goodbye/")],
            vec![("client_id", "demo-cli"), ("post_logout_redirect_uri", GOODBYE)],
            vec![("client_id", "demo-cli"), ("id_token_hint", id)],
            vec![("client_id", "nobody")],
            vec![("id_token_hint", "garbage")],
            vec![("id_token_hint", tokens.access.as_str())],
        ] {
            let refused = browser.get(world, &query(&pairs)).await.expect(400);
            assert_eq!(refused.header("location"), None);
        }
        assert!(is_live(world, &tokens).await);
    });
}

#[test]
fn the_id_token_says_how_the_person_was_known_and_keeps_saying_so() {
    run(async |world| {
        let (_, tokens) = signed_in(world, "ada@example.com").await;
        let first = claims_of(&tokens.id);
        assert_eq!(first["amr"].is_array(), first.get("amr").is_some(), "a list or nothing");
        let form =
            [("grant_type", "refresh_token"), ("client_id", "demo-web"), ("refresh_token", &*tokens.refresh)];
        let next = Tokens::from(&world.post("/oauth/token").form(&form).send().await.expect(200));
        let second = claims_of(&next.id);
        for name in ["iss", "sub", "aud", "auth_time", "sid", "amr"] {
            assert_eq!(first.get(name), second.get(name), "{name}");
        }
        assert_ne!(first["at_hash"], second["at_hash"]);
    });
}
