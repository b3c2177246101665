//! The authorization endpoint with a browser that is signed in: single sign-on, `prompt`, `max_age`, consent.

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::browser_sessions::{BROWSER_SESSION_IDLE, BROWSER_SESSION_LIFETIME};

use crate::support::{
    Answer, Browser, Forge, PLATFORM_REDIRECT_URI, SignIn, Tokens, World, authorize_query, claims_of,
    parameter, redeem_form, run,
};

const SECOND: Millis = 1000;

/// `/oauth/authorize` for the demo app, with more parameters.
fn target(world: &World, more: &str) -> String {
    let query = authorize_query(&world.web_redirect_uri());
    format!("/oauth/authorize?client_id=demo-web&response_type=code&idp_hint=dev&{query}{more}")
}

/// What the app is told: a code, or an error.
#[track_caller]
fn told(answer: Answer) -> Result<String, String> {
    let location = answer.expect(303).location();
    match (parameter(&location, "code"), parameter(&location, "error")) {
        (Some(code), None) => Ok(code),
        (None, Some(error)) => Err(error),
        _ => Err(format!("sent to {}", location.path())),
    }
}

/// A browser that signed in to the demo app as this person, and the tokens that the app got.
async fn signed_in(world: &World, email: &str) -> (Browser, Tokens) {
    signed_in_from(world, Browser::default(), email).await
}

async fn signed_in_from(world: &World, browser: Browser, email: &str) -> (Browser, Tokens) {
    let mut sign_in =
        SignIn::begin_in(world, browser, &target(world, "&scope=openid+email&prompt=login")).await;
    let callback = sign_in.at_provider(email).await;
    let code = told(sign_in.come_back(&callback).await).unwrap();
    (sign_in.browser, redeem(world, &code).await)
}

async fn redeem(world: &World, code: &str) -> Tokens {
    let redirect_uri = world.web_redirect_uri();
    let form = redeem_form("demo-web", &redirect_uri, code);
    Tokens::from(&world.post("/oauth/token").form(&form).send().await.expect(200))
}

fn session_of(browser: &Browser) -> Option<String> {
    browser.cookies.get("gatehouse-session-demo").cloned()
}

#[test]
fn a_signed_in_browser_gets_a_code_without_a_trip_and_with_the_original_time() {
    run(async |world| {
        let (mut browser, first) = signed_in(world, "ada@example.com").await;
        let begun = claims_of(&first.id)["auth_time"].clone();
        world.advance(90 * SECOND);
        for more in ["", "&prompt=none", "&max_age=90", "&login_hint=ada@example.com", "&login_hint=0815"] {
            let code = told(browser.get(world, &target(world, more)).await).unwrap();
            let again = redeem(world, &code).await;
            assert_eq!(claims_of(&again.id)["auth_time"], begun, "{more}");
            assert_eq!(claims_of(&again.id)["sub"], claims_of(&first.id)["sub"]);
            assert_ne!(claims_of(&again.id)["sid"], claims_of(&first.id)["sid"]);
        }
        let mut stranger = Browser::default();
        assert_eq!(
            told(stranger.get(world, &target(world, "&prompt=none")).await).unwrap_err(),
            "login_required"
        );
    });
}

#[test]
fn what_the_session_does_not_fit_leads_to_the_provider_or_is_refused_in_silence() {
    run(async |world| {
        let (mut browser, tokens) = signed_in(world, "ada@example.com").await;
        let (_, other) = signed_in(world, "bob@example.com").await;
        world.advance(60 * SECOND + 1);
        let (own, others) = (format!("&id_token_hint={}", tokens.id), format!("&id_token_hint={}", other.id));
        for (more, silent) in [
            ("&max_age=60", "login_required"),
            ("&max_age=0", "login_required"),
            (others.as_str(), "login_required"),
            ("&login_hint=bob@example.com", "account_selection_required"),
        ] {
            let silence = told(browser.get(world, &target(world, &format!("{more}&prompt=none"))).await);
            assert_eq!(silence.unwrap_err(), silent, "{more}");
            let aloud = told(browser.get(world, &target(world, more)).await);
            assert_eq!(aloud.unwrap_err(), "sent to /dev/provider/authorize", "{more}");
        }
        for more in ["&prompt=login", "&prompt=select_account", "&prompt=login+consent"] {
            let aloud = told(browser.get(world, &target(world, more)).await);
            assert_eq!(aloud.unwrap_err(), "sent to /dev/provider/authorize", "{more}");
        }
        // Expired or not, a hint names somebody.
        world.advance(60 * 60 * SECOND);
        told(browser.get(world, &target(world, &format!("{own}&prompt=none"))).await).unwrap();
        let forged = Forge::foreign(&Forge::of(world).await.key_id);
        let claims = claims_of(&tokens.id).to_string();
        let forged = forged.sign(&forged.header().replace("at+jwt", "JWT"), &claims);
        for hint in ["x", tokens.access.as_str(), forged.as_str()] {
            let answer = browser.get(world, &target(world, &format!("&id_token_hint={hint}"))).await;
            assert_eq!(told(answer).unwrap_err(), "invalid_request");
        }
    });
}

#[test]
fn who_comes_from_the_provider_must_be_who_the_app_named() {
    run(async |world| {
        let (browser, tokens) = signed_in(world, "ada@example.com").await;
        for (email, right) in [("bob@example.com", false), ("ada@example.com", true)] {
            let wish = target(world, &format!("&prompt=login&id_token_hint={}", tokens.id));
            let before = session_of(&browser);
            let twin = Browser { cookies: browser.cookies.clone() };
            let mut sign_in = SignIn::begin_in(world, twin, &wish).await;
            let callback = sign_in.at_provider(email).await;
            let answer = told(sign_in.come_back(&callback).await);
            if right {
                answer.unwrap();
                assert_ne!(session_of(&sign_in.browser), before, "a new value at each sign-in");
            } else {
                assert_eq!(answer.unwrap_err(), "login_required");
                assert_eq!(session_of(&sign_in.browser), before, "who was turned away is not signed in");
            }
        }
    });
}

#[test]
fn a_session_dies_of_idleness_and_of_age() {
    run(async |world| {
        let silent = |world: &World| target(world, "&prompt=none");
        let (mut browser, _) = signed_in(world, "ada@example.com").await;
        world.advance(BROWSER_SESSION_IDLE - 1);
        told(browser.get(world, &silent(world)).await).unwrap();
        world.advance(BROWSER_SESSION_IDLE - 1);
        told(browser.get(world, &silent(world)).await).unwrap();
        world.advance(BROWSER_SESSION_IDLE);
        assert_eq!(told(browser.get(world, &silent(world)).await).unwrap_err(), "login_required");

        let (mut browser, _) = signed_in(world, "ada@example.com").await;
        for _ in 0..7 {
            world.advance(BROWSER_SESSION_LIFETIME / 8);
            told(browser.get(world, &silent(world)).await).unwrap();
        }
        world.advance(BROWSER_SESSION_LIFETIME / 8);
        assert_eq!(told(browser.get(world, &silent(world)).await).unwrap_err(), "login_required");
    });
}

#[test]
fn a_suspension_ends_it_and_reactivation_brings_nothing_back() {
    run(async |world| {
        let (mut browser, _) = signed_in(world, "ada@example.com").await;
        world.set_status("demo", "suspended").await;
        browser.get(world, &target(world, "")).await.expect(403);
        // By the real operation, as the platform does it; the line above only set the status.
        world.set_status("demo", "active").await;
        let owner = world.platform_tokens("owner@example.com").await;
        for decision in ["suspend", "activate"] {
            let path = format!("/api/platform/organizations/demo/{decision}");
            world.post(&path).bearer(&owner.access).body("application/json", "{}").send().await.expect(200);
        }
        let answer = browser.get(world, &target(world, "&prompt=none")).await;
        assert_eq!(told(answer).unwrap_err(), "login_required");
    });
}

#[test]
fn a_cookie_that_was_planted_is_not_adopted_and_a_damaged_one_is_nobody() {
    run(async |world| {
        let (victim, _) = signed_in(world, "mallory@example.com").await;
        let planted = session_of(&victim).unwrap();
        let mut browser = Browser::default();
        browser.cookies.insert("gatehouse-session-demo".to_owned(), planted.clone());
        let (browser, _) = signed_in_from(world, browser, "ada@example.com").await;
        assert_ne!(session_of(&browser).unwrap(), planted);
        // The planted one is over: it was replaced, and does not follow the person who signed in.
        let mut attacker = Browser::default();
        attacker.cookies.insert("gatehouse-session-demo".to_owned(), planted);
        let silent = target(world, "&prompt=none");
        assert_eq!(told(attacker.get(world, &silent).await).unwrap_err(), "login_required");

        let good = session_of(&browser).unwrap();
        let (head, _) = good.split_at(good.len() - 4);
        let damaged = [
            String::new(),
            "x".to_owned(),
            head.to_owned(),
            format!("{head}AAAA"),
            format!("{good}="),
            "x".repeat(10_000),
            format!("{good}; gatehouse-session-demo={good}"),
        ];
        for value in damaged {
            let request = world.get(&silent).header("cookie", &format!("gatehouse-session-demo={value}"));
            assert_eq!(told(request.send().await).unwrap_err(), "login_required");
        }
    });
}

#[test]
fn an_organization_and_the_platform_do_not_mix_in_one_browser() {
    run(async |world| {
        let platform = |more: &str| {
            let query = authorize_query(PLATFORM_REDIRECT_URI);
            format!("/oauth/authorize?client_id=platform-admin-cli&response_type=code&{query}{more}")
        };
        let (browser, _) = signed_in(world, "owner@example.com").await;
        let demo = session_of(&browser).unwrap();
        let mut browser = browser;
        let answer = browser.get(world, &platform("&prompt=none")).await;
        assert_eq!(told(answer).unwrap_err(), "login_required");
        browser.cookies.insert("gatehouse-session-platform".to_owned(), demo.clone());
        let answer = browser.get(world, &platform("&prompt=none")).await;
        assert_eq!(told(answer).unwrap_err(), "login_required");

        let mut sign_in = SignIn::begin_in(world, browser, &platform("&idp_hint=dev")).await;
        let callback = sign_in.at_provider("owner@example.com").await;
        told(sign_in.come_back(&callback).await).unwrap();
        let mut browser = sign_in.browser;
        told(browser.get(world, &platform("&prompt=none")).await).unwrap();
        assert_eq!(session_of(&browser), Some(demo), "each realm has its own cookie");
        told(browser.get(world, &target(world, "&prompt=none")).await).unwrap();
    });
}

#[test]
fn nothing_is_handed_out_ahead_of_the_person() {
    run(async |world| {
        let (browser, _) = signed_in(world, "ada@example.com").await;
        let cookie = format!("gatehouse-session-demo={}", session_of(&browser).unwrap());
        for (name, value) in
            [("sec-purpose", "prefetch"), ("sec-purpose", "prefetch;prerender"), ("purpose", "prefetch")]
        {
            let request = world.get(&target(world, "&prompt=none")).header("cookie", &cookie);
            let answer = request.header(name, value).header("accept", "text/html").send().await.expect(403);
            assert!(answer.header("location").is_none() && answer.header("set-cookie").is_none());
            assert!(!answer.body.contains("code="), "{}", answer.body);
        }
        let head = world.request("HEAD", &target(world, "&prompt=none")).header("cookie", &cookie);
        assert!(head.send().await.expect(405).header("location").is_none());
    });
}

#[test]
fn a_form_of_another_site_is_asked_to_come_again_with_its_cookies() {
    run(async |world| {
        let (mut browser, _) = signed_in(world, "ada@example.com").await;
        let uri = world.web_redirect_uri();
        let query = authorize_query(&uri);
        let mut form: Vec<(String, String)> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        for (name, value) in [("client_id", "demo-web"), ("response_type", "code"), ("prompt", "none")] {
            form.push((name.to_owned(), value.to_owned()));
        }
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (&**name, &**value)).collect();
        told(browser.post(world, "/oauth/authorize", &form).await).unwrap();
        // As a browser sends it: without the cookie, and saying where it comes from.
        let cross = world.post("/oauth/authorize").form(&form).header("sec-fetch-site", "cross-site");
        let again = cross.send().await.expect(303);
        let location = again.header("location").unwrap().to_owned();
        assert!(location.starts_with("/oauth/authorize?"), "{location}");
        told(browser.get(world, &location).await).unwrap();
    });
}
