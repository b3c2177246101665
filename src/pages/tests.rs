//! Every page, filled with ordinary and with hostile data. To look at them in a browser:
//! `cargo test --lib pages::tests::gallery -- --ignored` writes them to a temporary folder and prints which.

use super::*;
use actix_web::{body::to_bytes, http::header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const HOSTILE: &str = "\"><script>alert('x')</script><img src=x onerror=alert(1)>{{7*7}}&amp;\u{202E}gnp.exe";
const LONG: &str = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft Süd";
const RTL: &str = "خدمة الدخول للمؤسسة";
const AGENT: &str = "gatehouse-cli/0.1 (linux; x86_64)";

fn providers(label: &str) -> Vec<ProviderChoice> {
    ["github", "google", "microsoft", "oidc", "dev"]
        .into_iter()
        .zip(["GitHub", "Google", "Microsoft", "Example single sign-on", "Dev provider"])
        .map(|(kind, usual)| ProviderChoice {
            href: format!(
                "/auth/{kind}?org=demo&service=cli&user_code={}",
                if label.is_empty() { "BCDF-GHJK" } else { label }
            ),
            kind,
            label: if label.is_empty() { usual.to_owned() } else { label.to_owned() },
        })
        .collect()
}

fn place(agent: &str) -> Place {
    Place::new("203.0.113.7", agent, ago(125_000))
}

/// All pages with `text` in every field that a stranger can influence; ordinary words when it is empty.
#[allow(clippy::too_many_lines)] // one entry a page
fn pages(text: &str) -> Vec<(&'static str, String)> {
    let or = |usual: &str| if text.is_empty() { usual.to_owned() } else { text.to_owned() };
    let confirm = ConfirmDevice {
        service_name: or("Harbor CLI"),
        organization_name: or("Example Shipping"),
        user_code: or("BCDF-GHJK"),
        account: or("ada@example.com"),
        account_provider: or("GitHub"),
        place: place(&or(AGENT)),
        csrf: or("kq3y0sPq7i0"),
    };
    let choose = ChooseDeviceProvider {
        service_name: or("Harbor CLI"),
        organization_name: or("Example Shipping"),
        user_code: or("BCDF-GHJK"),
        place: place(&or(AGENT)),
        providers: providers(text),
        can_change_code: true,
    };
    let none = ChooseDeviceProvider { providers: Vec::new(), place: place(""), ..choose.clone() };
    let outcome = |approved| DeviceOutcome { approved, service_name: or("Harbor CLI") };
    let error = ErrorPage {
        status: 400,
        title: or("This sign-in has expired"),
        message: or("It was started more than ten minutes ago. Go back to the app and sign in again."),
        request_id: or("0193a5c2-7b1e-7c41-9d0a-5f0f6a1c2b3d"),
        action: Some(("/activate".to_owned(), or("Enter a code"))),
    };
    let demo = DevDemo {
        base_url: or("http://127.0.0.1:3000"),
        organization: or("demo"),
        service: or("web"),
        client_id: or("demo-web"),
        terminal_client_id: or("demo-cli"),
        providers: providers(text),
    };
    let choose_web = ChooseProvider {
        service_name: or("Harbor"),
        organization_name: or("Example Shipping"),
        providers: providers(text),
    };
    let consent = Consent {
        service_name: or("Harbor Reports"),
        organization_name: or("Example Shipping"),
        account: or("ada@example.com"),
        account_provider: or("GitHub"),
        scopes: vec![
            ScopeRow { name: or("openid"), description: or("Know that it is you") },
            ScopeRow { name: or("reports.read"), description: String::new() },
        ],
        is_third_party: true,
        destination: or("reports.example"),
        ticket: or("q7i0kq3y0sP"),
        csrf: or("kq3y0sPq7i0"),
    };
    let form_post = FormPost {
        action: or("https://app.example/callback"),
        fields: vec![("code".to_owned(), or("c0de")), ("state".to_owned(), or("s"))],
    };
    let in_use = EmailInUse {
        email: or("ada@example.com"),
        existing_provider: or("GitHub"),
        attempted_provider: or("Google"),
    };
    let confirm_link = ConfirmLink {
        new_account: or("Ada Lovelace, ada@example.org"),
        new_provider: or("GitHub"),
        account: or("ada@example.com"),
        organization: or("example"),
        csrf: or("kq3y0sPq7i0"),
    };
    let prove_link = ProveLink {
        new_account: or("Ada Lovelace, ada@example.org"),
        new_provider: or("GitHub"),
        account: or("ada@example.com"),
        organization: or("example"),
        providers: providers(text),
    };
    let link_outcome =
        |linked| LinkOutcome { linked, provider: or("GitHub"), account: or("ada@example.com") };
    let wrong = EnterCode {
        prefilled: or("BCDF-GHJ"),
        error: Some(or(
            "No device is waiting with this code. It may have expired: start again on your device.",
        )),
    };
    let sign_out = SignOutQuestion { service_name: Some(or("Harbor")), csrf: or("kq3y0sPq7i0") };
    let empty = EnterCode { prefilled: String::new(), error: None };
    [
        ("enter_code", empty.render()),
        ("enter_code_error", wrong.render()),
        ("choose_device_provider", choose.render()),
        ("choose_device_provider_none", none.render()),
        ("confirm_device", confirm.render()),
        ("device_approved", outcome(true).render()),
        ("device_denied", outcome(false).render()),
        ("choose_provider", choose_web.render()),
        ("error", error.render()),
        ("email_in_use", in_use.render()),
        ("prove_link", prove_link.render()),
        ("confirm_link", confirm_link.render()),
        ("linked", link_outcome(true).render()),
        ("not_linked", link_outcome(false).render()),
        ("dev_demo", demo.render()),
        ("consent", consent.render()),
        ("form_post", form_post.render()),
        ("sign_out", sign_out.render()),
        ("signed_out", SignedOut { signed_out: true }.render()),
        ("still_signed_in", SignedOut { signed_out: false }.render()),
    ]
    .into_iter()
    .map(|(name, html)| (name, html.unwrap()))
    .collect()
}

/// The start tags called `name`, attributes included.
fn tags<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    html.match_indices('<')
        .filter_map(|(at, _)| html[at + 1..].split('>').next())
        .filter(|tag| tag.split([' ', '\n', '/']).next() == Some(name))
        .collect()
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_once(&format!(" {name}=\""))?.1.split('"').next()
}

#[test]
fn hostile_data_stays_text() {
    let calm = pages("");
    for ((name, hostile), (_, calm)) in pages(HOSTILE).iter().zip(&calm) {
        assert!(!hostile.contains("alert('x')"), "{name}: unescaped");
        for tag in ["script", "img", "a", "input", "form", "button", "bdi"] {
            assert_eq!(tags(hostile, tag).len(), tags(calm, tag).len(), "{name}: data became a <{tag}>");
        }
    }
}

#[test]
fn data_cannot_turn_the_reading_direction() {
    for (name, html) in pages(HOSTILE) {
        let attributes_aside = html.split('>').filter_map(|part| part.split('<').next());
        assert!(!attributes_aside.collect::<String>().contains('\u{202E}'), "{name}");
    }
}

#[test]
fn every_page_is_well_formed_for_assistive_technology() {
    for (name, html) in pages("").into_iter().chain(pages(HOSTILE)) {
        assert!(html.starts_with("<!doctype html>"), "{name}: quirks mode");
        assert_eq!(attribute(tags(&html, "html")[0], "lang"), Some("en"), "{name}");
        for landmark in ["h1", "main", "header", "footer", "title"] {
            assert_eq!(tags(&html, landmark).len(), 1, "{name}: <{landmark}>");
        }
        let labels: Vec<_> =
            tags(&html, "label").into_iter().filter_map(|tag| attribute(tag, "for")).collect();
        for input in tags(&html, "input") {
            if attribute(input, "type") == Some("hidden") {
                continue;
            }
            let id = attribute(input, "id").unwrap_or_else(|| panic!("{name}: <{input}> has no id"));
            assert!(labels.contains(&id), "{name}: no label for {id}");
        }
        let ids: Vec<_> = html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        for id in &ids {
            assert_eq!(
                ids.iter().filter(|other| other == &id).count(),
                1,
                "{name}: two elements called {id}"
            );
        }
        for referring in ["aria-labelledby", "aria-describedby"] {
            for list in
                html.split(&format!(" {referring}=\"")).skip(1).filter_map(|rest| rest.split('"').next())
            {
                assert!(
                    list.split(' ').all(|id| ids.contains(&id)),
                    "{name}: {referring} {list} leads nowhere"
                );
            }
        }
        for svg in tags(&html, "svg") {
            assert_eq!(attribute(svg, "aria-hidden"), Some("true"), "{name}: decoration is read out");
        }
    }
}

#[test]
fn no_page_needs_what_its_policy_forbids() {
    for (name, html) in pages("") {
        assert!(tags(&html, "style").is_empty() && !html.contains(" style="), "{name}: inline style");
        let handlers = html
            .split(" on")
            .skip(1)
            .filter_map(|rest| rest.split_once('='))
            .any(|(word, _)| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()));
        assert!(!handlers, "{name}: inline event handler");
        let scripts = tags(&html, "script");
        if name == "dev_demo" {
            assert_eq!(scripts.len(), 1);
            assert!(scripts.iter().all(|tag| attribute(tag, "src").is_some()), "{name}: inline script");
        } else if name == "form_post" {
            assert_eq!(scripts.len(), 1);
            assert!(html.contains(&format!("<script>{FORM_POST_SCRIPT}</script>")), "{name}: another script");
        } else {
            assert!(scripts.is_empty(), "{name}: hosted pages work without script");
        }
        for outside in ["src=\"http", "src=\"//", "url("] {
            assert!(!html.contains(outside), "{name}: loads from elsewhere");
        }
    }
}

#[test]
fn denying_is_as_easy_as_approving() {
    let (_, html) = pages("").swap_remove(4);
    let buttons = tags(&html, "button");
    let decisions: Vec<_> = buttons.iter().filter_map(|tag| attribute(tag, "value")).collect();
    assert_eq!(decisions, ["approve", "deny"]);
    assert!(html.contains("method=\"post\" action=\"/activate/confirm\""));
    assert!(html.contains("name=\"csrf\" value=\"kq3y0sPq7i0\""));
}

#[test]
fn the_script_never_turns_data_into_markup() {
    let script = include_str!("dev_demo.js");
    for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage"] {
        assert!(!script.contains(way), "{way}");
    }
}

#[test]
fn answers_carry_the_headers_of_their_policy() {
    let page = EnterCode { prefilled: String::new(), error: None };
    for (policy, has_script) in [
        (Policy::Hosted, false),
        (Policy::DevProvider, false),
        (Policy::Handover, false),
        (Policy::Demo, true),
        (Policy::FormPost, true),
    ] {
        let response = respond_with(&page, StatusCode::BAD_REQUEST, policy);
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let value = |name| response.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(value(header::CONTENT_TYPE), "text/html; charset=utf-8");
        assert_eq!(value(header::CACHE_CONTROL), "no-store");
        assert_eq!(value(header::X_FRAME_OPTIONS), "DENY");
        let csp = value(header::CONTENT_SECURITY_POLICY);
        assert!(csp.starts_with("default-src 'none'; "), "{csp}");
        assert!(csp.contains("frame-ancestors 'none'") && csp.contains("base-uri 'none'"), "{csp}");
        assert!(!csp.contains("unsafe"), "{csp}");
        assert_eq!(csp.contains("script-src"), has_script, "{csp}");
    }
}

#[test]
fn the_policy_names_the_one_script_that_posts_a_form() {
    let hash = STANDARD.encode(crate::crypto::token::sha256(FORM_POST_SCRIPT.as_bytes()));
    let policy =
        page_headers(Policy::FormPost).into_iter().find(|(name, _)| name == "content-security-policy");
    assert!(policy.unwrap().1.ends_with(&format!("; script-src 'sha256-{hash}'")));
}

#[derive(Template)]
#[template(source = "{{ value }}", ext = "html")]
struct Broken {
    value: Unprintable,
}

struct Unprintable;

impl std::fmt::Display for Unprintable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Err(std::fmt::Error)
    }
}

#[actix_web::test]
async fn a_page_that_does_not_render_is_a_plain_500() {
    let response = respond(&Broken { value: Unprintable }, StatusCode::OK);
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.headers().get(header::CONTENT_TYPE).unwrap(), "text/plain; charset=utf-8");
    assert_eq!(response.headers().get(header::CACHE_CONTROL).unwrap(), "no-store");
    let body = to_bytes(response.into_body()).await.unwrap();
    assert!(body.starts_with(b"This page could not be shown."));
}

#[test]
#[ignore = "writes files, for a person to look at"]
fn gallery() {
    let folder = std::env::temp_dir().join("gatehouse-pages");
    for (kind, text) in [("calm", ""), ("hostile", HOSTILE), ("long", LONG), ("rtl", RTL)] {
        let folder = folder.join(kind);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, html) in pages(text) {
            std::fs::write(folder.join(name).with_extension("html"), html).unwrap();
        }
    }
    println!("{}", folder.display());
}
