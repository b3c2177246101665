//! What the API document says about this slice.

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::operation::{Clients, Operation, get, post};
use crate::openapi::shape::{Shape, integer, object, text, uri, word};

/// Signing in with a browser.
#[must_use]
pub fn chapter() -> Chapter {
    let mut operations = standard();
    operations.extend(at_providers());
    Chapter {
        tag: "Sign-in",
        about: "Signing in with a browser. Before the redirect URI is known to be the app's, errors are pages; after that \
            they go to the app (RFC 6749, section 4.1.2.1).",
        operations,
    }
}

/// The parameters of an authorization request.
fn parameters() -> [(&'static str, Shape); 17] {
    let word_of = |words: &[&str]| word(words).optional();
    [
        ("state", text("af0ifjsldkj").optional().about("At most 2048 bytes.")),
        ("nonce", text("n-0S6_WzA2Mj").optional().about("At most 512 bytes.")),
        ("scope", text("openid email").optional()),
        (
            "code_challenge",
            text("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
                .optional()
                .about("RFC 7636; public clients must."),
        ),
        ("code_challenge_method", word_of(&["S256"])),
        ("response_mode", word_of(&["query", "form_post"])),
        ("prompt", text("login").optional().about("none, login, consent, select_account.")),
        ("max_age", integer(3600).from(0).optional()),
        ("login_hint", text("ada@example.com").optional()),
        ("idp_hint", text("github").optional().about("The provider, if several are there.")),
        ("id_token_hint", text("eyJhbGciOiJFUzI1NiJ9…").optional()),
        (
            "resource",
            text("https://api.example.com").optional().about("RFC 8707; may be given several times."),
        ),
        (
            "dpop_jkt",
            text("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I").optional().about("RFC 9449, section 10."),
        ),
        (
            "request_uri",
            text("urn:ietf:params:oauth:request_uri:…")
                .optional()
                .about("Of a pushed request, and no other."),
        ),
        ("client_id", text("kP3vT9xQ0aZr7LmN2sWc8YbD4eGh6JtU")),
        ("response_type", word(&["code"]).optional()),
        (
            "redirect_uri",
            uri("https://shop.example.com/callback")
                .optional()
                .about("One that is registered, to the letter."),
        ),
    ]
}

fn standard() -> Vec<Operation> {
    let authorize = get("/oauth/authorize", "authorize", "The authorization endpoint");
    let authorize = parameters().into_iter().fold(authorize, |operation, (name, shape)| {
        if shape.is_optional() { operation.query(name, shape) } else { operation.needs(name, shape) }
    });
    let form =
        object(parameters()).example_without(&["request_uri", "id_token_hint", "resource", "dpop_jkt"]);
    let pushed = object([
        ("request_uri", text("urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c")),
        ("expires_in", integer(60)),
    ]);
    let credentials = form.clone().with([
        ("client_secret", text("…").optional()),
        ("client_assertion_type", text("urn:ietf:params:oauth:client-assertion-type:jwt-bearer").optional()),
        ("client_assertion", text("…").optional()),
    ]);
    let pushed_body =
        credentials.example_without(&["client_secret", "client_assertion_type", "client_assertion"]);
    let consent = object([
        ("ticket", text("from the page")),
        ("csrf", text("from the page")),
        ("decision", word(&["allow", "deny"])),
    ]);
    vec![
        browser(authorize),
        browser(post("/oauth/authorize", "authorizeByForm", "The same, by form").form(form)),
        post("/oauth/par", "pushAuthorizationRequest", "Push an authorization request (RFC 9126)")
            .form(pushed_body)
            .created("Send it as `request_uri`, once, soon.", pushed.named("PushedRequest"))
            .clients(Clients::Any)
            .refuses(&[Code::OrganizationNotActive]),
        get("/oauth/consent", "showConsent", "The page that asks for consent")
            .needs("ticket", text("from the redirect"))
            .page("Who asks for what."),
        post("/oauth/consent", "decideConsent", "The answer of that page")
            .form(consent)
            .page("For `response_mode=form_post`: the form that goes on to the app.")
            .redirects("To the app.")
            .refuses(&[Code::Forbidden]),
    ]
}

fn browser(operation: Operation) -> Operation {
    operation
        .about("RFC 6749, section 4.1; OpenID Connect Core, section 3.1.2; answers carry `iss` (RFC 9207).")
        .page("A choice of providers, or the form that goes on to the app.")
        .redirects("To a provider, to the page of consent, or to the app.")
        .refuses(&[
            Code::Forbidden,
            Code::NotFound,
            Code::AccessDenied,
            Code::OrganizationNotActive,
            Code::OAuthError,
        ])
}

fn at_providers() -> Vec<Operation> {
    let start = leaving(get("/auth/{provider}", "startSignIn", "Sign in to a service through a provider"))
        .needs("org", text("acme"))
        .needs("service", text("shop"));
    vec![
        requested(start),
        requested(leaving(get(
            "/auth/admin/{provider}",
            "startAdminSignIn",
            "Sign in to the management API",
        )))
        .query("org_slug", text("acme"))
        .query("invitation", text("the token of the mail").about("Accept this invitation after signing in.")),
        arriving(get(
            "/auth/{provider}/callback",
            "signInCallback",
            "Where a provider sends the browser back",
        )),
        arriving(get(
            "/auth/admin/{provider}/callback",
            "adminSignInCallback",
            "The same, for the management API",
        )),
        arriving(get(
            "/auth/{provider}/callback/{org}",
            "ownSignInCallback",
            "The same, for an organization's own client",
        )),
        leaving(get("/auth/link/{provider}", "startLink", "Go to a provider to link an account there"))
            .needs("ticket", text("from the address that began it"))
            .refuses(&[Code::Conflict]),
        leaving(get("/auth/link/prove/{provider}", "proveLink", "Prove an account before linking"))
            .refuses(&[Code::Conflict]),
    ]
}

/// The parameters of a sign-in that does not begin at the standard endpoint.
fn requested(operation: Operation) -> Operation {
    let taken = ["client_id", "response_type", "redirect_uri"];
    let rest = parameters().into_iter().filter(|(name, _)| !taken.contains(name));
    rest.fold(operation, |operation, (name, shape)| operation.query(name, shape))
        .query(
            "redirect_uri",
            uri("https://shop.example.com/callback")
                .about("Needed, unless `user_code` or `invitation` is there."),
        )
        .query("user_code", text("WDJB-MJHT").about("For a device."))
}

fn leaving(operation: Operation) -> Operation {
    operation
        .page("For `response_mode=form_post`: the form that goes on to the app.")
        .redirects("To the provider, or with an error to the app.")
        .refuses(&[
            Code::Forbidden,
            Code::NotFound,
            Code::InvalidGrant,
            Code::DeviceCodeExpired,
            Code::AccessDenied,
            Code::InvitationExpired,
            Code::Conflict,
            Code::OrganizationNotActive,
            Code::OAuthError,
            Code::ValidationFailed,
        ])
}

fn arriving(operation: Operation) -> Operation {
    leaving(operation)
        .about("Checks the state of this browser, asks the provider, and goes on: to the app, a device's question, an invitation, a link.")
        .query("code", text("the provider's code"))
        .query("state", text("the state of this browser"))
        .query("iss", uri("https://accounts.google.com"))
        .query("error", text("access_denied"))
        .query("error_description", text("The user said no."))
}
