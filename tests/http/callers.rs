//! Who may call what: every route of the table with every kind of caller.

use std::collections::BTreeSet;

use gatehouse::app::{dev_routes, routes};
use gatehouse::http::resource::Entry;

use crate::support::{World, run};

/// The kinds of caller, in the order of the columns below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NoToken,
    Garbage,
    Expired,
    Ended,
    Web,
    Device,
    Platform,
    Suspended,
}

const KINDS: [Kind; 8] = [
    Kind::NoToken,
    Kind::Garbage,
    Kind::Expired,
    Kind::Ended,
    Kind::Web,
    Kind::Device,
    Kind::Platform,
    Kind::Suspended,
];

/// Method, path, caller as the handler's signature says, and the status for each kind of caller. The request is bare,
/// so that what a public route answers is its own: a page, a document, or the complaint that something is missing.
type Row = (&'static str, &'static str, &'static str, [u16; 8]);

/// A public route answers everybody alike, whatever token comes with the request.
const fn public(method: &'static str, path: &'static str, status: u16) -> Row {
    (method, path, "Anonymous", [status; 8])
}

#[rustfmt::skip]
const EXPECTED: &[Row] = &[
    public("GET",  "/health/live", 200),
    public("GET",  "/health/ready", 200),
    public("GET",  "/health", 200),
    public("GET",  "/.well-known/jwks.json", 200),
    public("GET",  "/.well-known/openid-configuration", 200),
    public("GET",  "/.well-known/oauth-authorization-server", 200),
    public("GET",  "/assets/gatehouse.css", 200),
    public("POST", "/auth/token", 400),
    public("POST", "/oauth/token", 400),
    public("POST", "/api/auth/refresh", 400),
    // A bearer token is no way for a client to authenticate (RFC 6749, section 2.3).
    ("POST", "/oauth/introspect", "Anonymous",         [401, 401, 401, 401, 401, 401, 401, 401]),
    ("POST", "/oauth/revoke", "Anonymous",             [401, 401, 401, 401, 401, 401, 401, 401]),
    //                                                  none  garb  exp   ended web   dev   plat  susp
    ("GET",  "/oauth/userinfo", "Bearer",              [401,  401,  401,  401,  200,  200,  200,  403]),
    ("POST", "/oauth/userinfo", "Bearer",              [401,  401,  401,  401,  200,  200,  200,  403]),
    //                                                  none  garb  exp   ended web   dev   plat  susp
    ("POST", "/api/auth/logout", "TokenHolder",        [401,  401,  401,  204,  204,  204,  204,  204]),
    ("GET",  "/api/auth/sessions", "SignedIn",         [401,  401,  401,  401,  200,  200,  200,  403]),
    ("DELETE", "/api/auth/sessions", "SignedIn",       [401,  401,  401,  401,  200,  200,  200,  403]),
    ("DELETE", "/api/auth/sessions/{id}", "SignedIn",  [401,  401,  401,  401,  404,  404,  404,  403]),
    // A bearer token is no way for a client to authenticate (RFC 6749, section 2.3).
    ("POST", "/auth/device/code", "Anonymous", [400, 401, 401, 401, 401, 401, 401, 401]),
    // A bearer token is no way for a client to authenticate (RFC 6749, section 2.3).
    ("POST", "/oauth/device_authorization", "Anonymous", [400, 401, 401, 401, 401, 401, 401, 401]),
    public("POST", "/auth/device/verify", 400),
    public("GET",  "/activate", 200),
    public("GET",  "/activate/confirm", 400),
    public("POST", "/activate/confirm", 400),
    public("GET",  "/oauth/authorize", 400),
    public("POST", "/oauth/authorize", 400),
    public("GET",  "/auth/admin/{provider}", 400),
    public("GET",  "/auth/admin/{provider}/callback", 400),
    public("GET",  "/auth/{provider}", 400),
    public("GET",  "/auth/link/confirm", 400),
    public("POST", "/auth/link/confirm", 400),
    public("GET",  "/auth/link/prove/{provider}", 400),
    public("GET",  "/auth/link/{provider}", 400),
    ("GET", "/api/provider-token/{provider}", "SignedIn",         [401, 401, 401, 401, 404, 404, 403, 403]),
    ("GET", "/api/user/identities", "SignedIn",                   [401, 401, 401, 401, 200, 200, 200, 403]),
    ("POST", "/api/user/identities/{provider}/link", "SignedIn",  [401, 401, 401, 401, 200, 200, 200, 403]),
    ("DELETE", "/api/user/identities/{provider}", "SignedIn",     [401, 401, 401, 401, 400, 400, 400, 403]),
    public("GET",  "/auth/{provider}/callback", 400),
    public("GET",  "/auth/{provider}/callback/{org}", 400),
    //                                                  none  garb  exp   ended web   dev   plat  susp
    ("GET",  "/api/user", "SignedIn",                  [401,  401,  401,  401,  200,  200,  200,  403]),
    ("GET", "/api/subscription", "ServiceUser",        [401,  401,  401,  401,  200,  200,  403,  403]),
    public("POST", "/webhooks/stripe", 415),
    // The management API. The platform's caller owns the platform and the demo organization, and sends no JSON.
    ("GET", "/api/organizations", "Administrator", [401, 401, 401, 401, 403, 403, 200, 403]),
    ("POST", "/api/organizations", "MaybeAdministrator", [415, 401, 401, 401, 403, 403, 415, 403]),
    ("GET", "/api/organizations/{org}", "AnyMember", [401, 401, 401, 401, 403, 403, 200, 403]),
    ("PATCH", "/api/organizations/{org}", "AtLeastAdmin", [401, 401, 401, 401, 403, 403, 400, 403]),
    ("POST", "/api/organizations/{org}/transfer-ownership", "OnlyOwner", [401, 401, 401, 401, 403, 403, 415, 403]),
    ("POST", "/api/organizations/{org}/members/transfer-ownership", "OnlyOwner", [401, 401, 401, 401, 403, 403, 415, 403]),
    ("GET", "/api/organizations/{org}/members", "AnyMember", [401, 401, 401, 401, 403, 403, 200, 403]),
    ("PATCH", "/api/organizations/{org}/members/{user_id}", "OnlyOwner", [401, 401, 401, 401, 403, 403, 400, 403]),
    ("POST", "/api/organizations/{org}/members/{user_id}", "AnyMember", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("DELETE", "/api/organizations/{org}/members/{user_id}", "AnyMember", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("GET", "/api/organizations/{org}/users", "AnyMember, Active", [401, 401, 401, 401, 403, 403, 200, 403]),
    ("GET", "/api/organizations/{org}/users/{user_id}", "AnyMember", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("DELETE", "/api/organizations/{org}/users/{user_id}", "OnlyOwner", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("DELETE", "/api/organizations/{org}/users/{user_id}/sessions", "AtLeastAdmin", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("GET", "/api/organizations/{org}/oauth-credentials", "AnyMember", [401, 401, 401, 401, 403, 403, 200, 403]),
    ("GET", "/api/organizations/{org}/oauth-credentials/{provider}", "AnyMember", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("POST", "/api/organizations/{org}/oauth-credentials/{provider}", "AtLeastAdmin, Active", [401, 401, 401, 401, 403, 403, 415, 403]),
    ("DELETE", "/api/organizations/{org}/oauth-credentials/{provider}", "AtLeastAdmin, Active", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("GET", "/api/organizations/{org}/audit-log", "AtLeastAdmin", [401, 401, 401, 401, 403, 403, 200, 403]),
    ("GET", "/api/organizations/{org}/invitations", "AtLeastAdmin", [401, 401, 401, 401, 403, 403, 200, 403]),
    ("POST", "/api/organizations/{org}/invitations", "AtLeastAdmin, Active", [401, 401, 401, 401, 403, 403, 415, 403]),
    ("POST", "/api/organizations/{org}/invitations/{invitation}", "AtLeastAdmin", [401, 401, 401, 401, 403, 403, 415, 403]),
    ("DELETE", "/api/organizations/{org}/invitations/{invitation}", "AtLeastAdmin", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("GET", "/api/invitations", "Administrator", [401, 401, 401, 401, 403, 403, 200, 403]),
    ("POST", "/api/invitations/accept", "Administrator", [401, 401, 401, 401, 403, 403, 415, 403]),
    ("POST", "/api/invitations/decline", "Administrator", [401, 401, 401, 401, 403, 403, 415, 403]),
    ("GET", "/api/organizations/{org}/services", "AnyMember, Active", [401, 401, 401, 401, 403, 403, 200, 403]),
    ("POST", "/api/organizations/{org}/services", "AtLeastAdmin, Active", [401, 401, 401, 401, 403, 403, 415, 403]),
    ("GET", "/api/organizations/{org}/services/{svc}", "AnyMember, Active", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("PATCH", "/api/organizations/{org}/services/{svc}", "AtLeastAdmin, Active", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("DELETE", "/api/organizations/{org}/services/{svc}", "OnlyOwner, Active", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("POST", "/api/organizations/{org}/services/{svc}/client-secret", "AtLeastAdmin, Active", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("DELETE", "/api/organizations/{org}/services/{svc}/client-secret", "AtLeastAdmin, Active", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("GET", "/api/organizations/{org}/services/{svc}/plans", "AnyMember, Active", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("POST", "/api/organizations/{org}/services/{svc}/plans", "AtLeastAdmin, Active", [401, 401, 401, 401, 403, 403, 415, 403]),
    ("PATCH", "/api/organizations/{org}/services/{svc}/plans/{plan}", "AtLeastAdmin, Active", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("DELETE", "/api/organizations/{org}/services/{svc}/plans/{plan}", "AtLeastAdmin, Active", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("GET", "/api/organizations/{org}/events", "AtLeastAdmin", [401, 401, 401, 401, 403, 403, 200, 403]),
    ("GET", "/api/organizations/{org}/webhooks", "AtLeastAdmin", [401, 401, 401, 401, 403, 403, 200, 403]),
    ("POST", "/api/organizations/{org}/webhooks", "AtLeastAdmin, Active", [401, 401, 401, 401, 403, 403, 415, 403]),
    ("GET", "/api/organizations/{org}/webhooks/{webhook}", "AtLeastAdmin", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("PATCH", "/api/organizations/{org}/webhooks/{webhook}", "AtLeastAdmin, Active", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("DELETE", "/api/organizations/{org}/webhooks/{webhook}", "AtLeastAdmin, Active", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("POST", "/api/organizations/{org}/webhooks/{webhook}/secret", "AtLeastAdmin, Active", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("POST", "/api/organizations/{org}/webhooks/{webhook}/ping", "AtLeastAdmin, Active", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("GET", "/api/organizations/{org}/webhooks/{webhook}/deliveries", "AtLeastAdmin", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("POST", "/api/organizations/{org}/webhooks/{webhook}/deliveries/{event}/replay", "AtLeastAdmin, Active", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("GET", "/api/platform/tiers", "PlatformOwner", [401, 401, 401, 401, 403, 403, 200, 403]),
    ("GET", "/api/platform/organizations", "PlatformOwner", [401, 401, 401, 401, 403, 403, 200, 403]),
    ("POST", "/api/platform/organizations/{id}/approve", "PlatformOwner", [401, 401, 401, 401, 403, 403, 415, 403]),
    ("POST", "/api/platform/organizations/{id}/reject", "PlatformOwner", [401, 401, 401, 401, 403, 403, 415, 403]),
    ("POST", "/api/platform/organizations/{id}/suspend", "PlatformOwner", [401, 401, 401, 401, 403, 403, 415, 403]),
    ("POST", "/api/platform/organizations/{id}/activate", "PlatformOwner", [401, 401, 401, 401, 403, 403, 415, 403]),
    ("PATCH", "/api/platform/organizations/{id}/tier", "PlatformOwner", [401, 401, 401, 401, 403, 403, 400, 403]),
    ("POST", "/api/platform/owners", "PlatformOwner", [401, 401, 401, 401, 403, 403, 415, 403]),
    ("DELETE", "/api/platform/owners/{user_id}", "PlatformOwner", [401, 401, 401, 401, 403, 403, 404, 403]),
    ("GET", "/api/platform/audit-log", "PlatformOwner", [401, 401, 401, 401, 403, 403, 200, 403]),
    public("GET",  "/invitations/accept", 400),
    public("GET",  "/invitations/confirm", 400),
    public("POST", "/invitations/confirm", 400),
];

#[rustfmt::skip]
const EXPECTED_IN_DEV_MODE: &[Row] = &[
    public("GET",  "/dev/provider/.well-known/openid-configuration", 200),
    public("GET",  "/dev/provider/jwks.json", 200),
    public("GET",  "/dev/provider/authorize", 400),
    public("POST", "/dev/provider/authorize", 400),
    // A provider of its own: it knows its own client and its own tokens only.
    public("POST", "/dev/provider/token", 401),
    public("GET",  "/dev/provider/userinfo", 401),
    public("POST", "/dev/provider/userinfo", 401),
    public("GET",  "/", 303),
    public("GET",  "/dev", 200),
    public("GET",  "/dev/callback", 200),
    public("GET",  "/dev/app.js", 200),
];

fn expected() -> impl Iterator<Item = &'static Row> {
    EXPECTED.iter().chain(EXPECTED_IN_DEV_MODE)
}

fn entries() -> Vec<Entry> {
    routes().iter().chain(&dev_routes()).flat_map(|resource| resource.entries().collect::<Vec<_>>()).collect()
}

#[test]
fn every_route_has_its_row_and_no_row_is_for_nothing() {
    let entries = entries();
    let in_table: BTreeSet<_> =
        entries.iter().map(|entry| (entry.method, entry.path, entry.caller)).collect();
    let in_rows: BTreeSet<_> =
        expected().map(|(method, path, caller, _)| (*method, *path, *caller)).collect();
    assert_eq!(in_table, in_rows);
    assert_eq!(in_table.len(), entries.len(), "a route stands in the table twice");
}

#[test]
fn every_caller_gets_the_answer_of_the_matrix() {
    run(async |world| {
        let mut wrong = Vec::new();
        for (column, kind) in KINDS.into_iter().enumerate() {
            for (method, path, _, statuses) in expected() {
                let token = token_of(world, kind).await;
                let status = status(world, (method, path), token.as_deref()).await;
                if status != statuses[column] {
                    wrong.push(format!("{method} {path} as {kind:?}: {status}, not {}", statuses[column]));
                }
                if kind == Kind::Suspended {
                    world.set_status("demo", "active").await;
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn a_refusal_says_which_it_is() {
    run(async |world| {
        for (kind, status, error_code) in [
            (Kind::NoToken, 401, "UNAUTHORIZED"),
            (Kind::Garbage, 401, "JWT_ERROR"),
            (Kind::Expired, 401, "TOKEN_EXPIRED"),
            (Kind::Ended, 401, "UNAUTHORIZED"),
            (Kind::Suspended, 403, "ORGANIZATION_NOT_ACTIVE"),
        ] {
            let request = world.get("/api/user");
            let answer = match token_of(world, kind).await {
                Some(token) => request.bearer(&token),
                None => request,
            };
            answer.send().await.expect_error(status, error_code);
        }
    });
}

async fn status(world: &World, (method, path): (&str, &str), token: Option<&str>) -> u16 {
    let request = world.request(method, &filled_in(path));
    let request = match token {
        Some(token) => request.bearer(token),
        None => request,
    };
    let request = if method == "POST" { request.form(&[]) } else { request };
    request.send().await.status
}

/// An address with something in place of each parameter.
fn filled_in(path: &str) -> String {
    let fill = |segment| match segment {
        "{provider}" => "dev",
        segment if segment.starts_with('{') => "demo",
        segment => segment,
    };
    path.split('/').map(fill).collect::<Vec<_>>().join("/")
}

/// A token by the real flow, fresh for every request because some requests end its session.
async fn token_of(world: &World, kind: Kind) -> Option<String> {
    Some(match kind {
        Kind::NoToken => return None,
        Kind::Garbage => "garbage".to_owned(),
        Kind::Web => world.web_tokens("ada@example.com").await.access,
        Kind::Device => world.device_tokens("ada@example.com").await.access,
        Kind::Platform => world.platform_tokens("owner@example.com").await.access,
        Kind::Expired => {
            let tokens = world.web_tokens("ada@example.com").await;
            world.advance(15 * 60 * 1000);
            tokens.access
        }
        Kind::Ended => {
            let tokens = world.web_tokens("ada@example.com").await;
            world.post("/api/auth/logout").bearer(&tokens.access).send().await.expect(204);
            tokens.access
        }
        Kind::Suspended => {
            let tokens = world.web_tokens("ada@example.com").await;
            world.set_status("demo", "suspended").await;
            tokens.access
        }
    })
}
