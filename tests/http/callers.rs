//! Who may call what: every route of the table x everybody who might call x every state of an organization.
//!
//! `routes.rs` has a row per route, `guards.rs` what each guard says to whom, `cast.rs` who they are and what belongs
//! to whom. The database is set back after every request that changed something, so that each cell meets the same one,
//! and compared after the requests that were refused, so that a refusal is seen to change nothing.

mod cast;
mod guards;
mod routes;

use std::collections::BTreeSet;
use std::io::Write;

use gatehouse::app::{dev_routes, routes};
use gatehouse::http::resource::Entry;
use serde_json::Value;

use self::cast::{Cast, Tenant, children};
use self::guards::{EVERYBODY, GUARDS, STATUSES, Status, Verdict, Who, verdict};
use self::routes::{Row, rows, rows_of_dev_mode};
use crate::support::{Answer, Moment, World, run};

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
    public("GET",  "/oauth/logout", 200),
    public("POST", "/oauth/logout", 200),
    public("POST", "/oauth/logout/confirm", 400),
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
    public("GET",  "/oauth/consent", 400),
    public("POST", "/oauth/consent", 400),
    public("GET",  "/auth/admin/{provider}", 400),
    public("GET",  "/auth/admin/{provider}/callback", 400),
    public("GET",  "/auth/{provider}", 400),
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
fn all_rows() -> Vec<Row> {
    rows().into_iter().chain(rows_of_dev_mode()).collect()
}

#[test]
fn every_route_has_its_row_and_no_row_is_for_nothing() {
    let resources = || routes().into_iter().chain(dev_routes());
    let entries: Vec<Entry> =
        resources().flat_map(|resource| resource.entries().collect::<Vec<_>>()).collect();
    let in_table: BTreeSet<_> =
        entries.iter().map(|entry| (entry.method, entry.path, entry.caller)).collect();
    let rows = all_rows();
    let in_rows: BTreeSet<_> = rows.iter().map(|row| (row.method, row.path, row.guard)).collect();
    assert_eq!(in_table, in_rows);
    assert_eq!(in_table.len(), entries.len(), "a route stands in the table twice");
    assert_eq!(in_rows.len(), rows.len(), "a route has two rows");
}

#[test]
fn every_guard_in_the_lines_is_somebodys() {
    let used: BTreeSet<_> = all_rows().iter().map(|row| row.guard).collect();
    let lines: BTreeSet<_> = GUARDS.iter().map(|guard| guard.name).collect();
    assert_eq!(used, lines);
    assert_eq!(EVERYBODY.map(|who| who as usize).to_vec(), (0..EVERYBODY.len()).collect::<Vec<_>>());
}

/// A matrix under way.
struct Matrix<'w> {
    world: &'w World,
    cast: Cast,
    moment: Moment,
    cells: usize,
    wrong: Vec<String>,
}

impl<'w> Matrix<'w> {
    async fn on(world: &'w World) -> Self {
        let cast = Cast::assemble(world).await;
        let moment = world.keep().await;
        Self { world, cast, moment, cells: 0, wrong: Vec::new() }
    }

    /// One request.
    async fn send(&self, row: &Row, path: &str, who: Who) -> Answer {
        let request = self.world.request(row.method, path);
        let request = match self.cast.token(who) {
            Some(token) => request.bearer(token),
            None => request,
        };
        let request = match (row.method, row.body) {
            ("GET", _) => request,
            (_, Some(body)) => request.body("application/json", body),
            _ if row.path.starts_with("/api/") => request.body("application/json", "{}"),
            _ => request.form(&[]),
        };
        request.send().await
    }

    fn check(&mut self, what: &str, actual: (u16, &str), expected: (u16, &str)) {
        self.cells += 1;
        if actual != expected {
            self.wrong.push(format!("{what}: {actual:?}, not {expected:?}"));
        }
    }

    /// One cell: is the answer the one of the tables?
    async fn cell(&mut self, row: &Row, who: Who, status: Status) {
        let path = self.cast.a.at(row.path);
        let answer = self.send(row, &path, who).await;
        let what = format!("{} {} as {who:?}, A {}", row.method, row.path, status.word());
        match verdict(row.guard, row.method, who, status) {
            Verdict::Refused(expected, code) => {
                let actual = answer.json()["error_code"].as_str().unwrap_or_default().to_owned();
                self.check(&what, (answer.status, &actual), (expected, code));
                if expected == 404 {
                    self.foreign_looks_like_missing(row, who, &what).await;
                }
            }
            _ => self.check(&what, (answer.status, ""), (row.status_when_let_in(who, status), "")),
        }
        if row.method != "GET" && answer.status < 400 {
            self.world.rewind(&self.moment).await;
            self.set(status).await;
        }
    }

    /// Nobody can tell an organization that they have no rights in from one that does not exist.
    async fn foreign_looks_like_missing(&mut self, row: &Row, who: Who, what: &str) {
        let missing = Tenant::missing();
        for (foreign, missing) in
            [(self.cast.a.clone(), missing.clone()), (self.cast.a.by_id(), missing.by_id())]
        {
            let [foreign, missing] = [foreign.at(row.path), missing.at(row.path)];
            let foreign = self.send(row, &foreign, who).await;
            let missing = self.send(row, &missing, who).await;
            self.cells += 1;
            if said(&foreign) != said(&missing) {
                self.wrong.push(format!("{what}: {:?} is no {:?}", said(&foreign), said(&missing)));
            }
            if let Some(name) = self.cast.a.names().into_iter().find(|name| foreign.body.contains(*name)) {
                self.wrong.push(format!("{what}: names {name}"));
            }
        }
    }

    /// Puts A into this state.
    async fn set(&self, status: Status) {
        self.world.set_status("demo", status.word()).await;
    }

    /// The requests before this one were refused or undone, so the database is as it was.
    async fn nothing_changed(&mut self, what: &str, status: Status) {
        self.set(Status::Active).await;
        let changed = self.world.differences(&self.moment).await;
        if !changed.is_empty() {
            self.wrong.push(format!("{what}: refusals changed {changed:?}"));
            self.world.rewind(&self.moment).await;
        }
        self.set(status).await;
    }

    /// Says how large it was. Past the test harness, which keeps what a good test prints to itself.
    fn end(self, name: &str) {
        assert!(
            self.wrong.is_empty(),
            "{} of {} cells:\n{}",
            self.wrong.len(),
            self.cells,
            self.wrong.join("\n")
        );
        let line = format!("{name}: {} cells\n", self.cells);
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
}

/// What an answer says, but for the request's own id: status, body and headers. `Connection` says how much of the body
/// had arrived, which is chance.
fn said(answer: &Answer) -> (u16, Value, BTreeSet<(String, String)>) {
    let mut body = answer.json();
    body.as_object_mut().map(|body| body.remove("instance"));
    let headers =
        answer.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let headers =
        headers.filter(|(name, _)| !["date", "x-request-id", "connection"].contains(&name.as_str()));
    (answer.status, body, headers.collect())
}

#[test]
fn every_caller_gets_the_answer_of_the_matrix() {
    run(async |world| {
        let mut matrix = Matrix::on(world).await;
        for status in STATUSES {
            matrix.set(status).await;
            for row in all_rows() {
                for who in EVERYBODY {
                    matrix.cell(&row, who, status).await;
                }
                let what = format!("{} {}, A {}", row.method, row.path, status.word());
                matrix.nothing_changed(&what, status).await;
            }
        }
        matrix.end("route by caller matrix");
    });
}

/// A path of one's own organization does not lead to what belongs to another (abuse case 142).
#[test]
fn a_path_of_one_organization_opens_nothing_of_another() {
    run(async |world| {
        let mut matrix = Matrix::on(world).await;
        let missing = Tenant::missing();
        for row in all_rows().iter().filter(|row| row.path.contains("{org}")) {
            for child in children(row.path) {
                let [a, b] = [matrix.cast.a.clone(), matrix.cast.b.clone()];
                let path =
                    |other: &Tenant| Tenant::path(row.path, |part| if part == child { other } else { &a });
                let own = [path(&b), path(&missing)];
                let foreign = matrix.send(row, &own[0], Who::OwnerOfA).await;
                let absent = matrix.send(row, &own[1], Who::OwnerOfA).await;
                let what = format!("{} {} with a {child} of B", row.method, row.path);
                matrix.check(&what, (foreign.status, ""), (404, ""));
                if said(&foreign) != said(&absent) {
                    matrix.wrong.push(format!("{what}: {:?} is no {:?}", said(&foreign), said(&absent)));
                }
                matrix.nothing_changed(&what, Status::Active).await;
            }
        }
        matrix.end("children of another organization");
    });
}

#[test]
fn a_refusal_says_which_it_is() {
    run(async |world| {
        let fresh = async || world.web_tokens("ada@example.com").await.access;
        let refused = async |token: Option<&str>, status: u16, code: &str| {
            let request = world.get("/api/user");
            let request = match token {
                Some(token) => request.bearer(token),
                None => request,
            };
            request.send().await.expect_error(status, code);
        };
        refused(None, 401, "UNAUTHORIZED").await;
        refused(Some("garbage"), 401, "JWT_ERROR").await;
        let expired = fresh().await;
        world.advance(15 * 60 * 1000);
        refused(Some(&expired), 401, "TOKEN_EXPIRED").await;
        let ended = fresh().await;
        world.post("/api/auth/logout").bearer(&ended).send().await.expect(204);
        refused(Some(&ended), 401, "UNAUTHORIZED").await;
        let suspended = fresh().await;
        world.set_status("demo", "suspended").await;
        refused(Some(&suspended), 403, "ORGANIZATION_NOT_ACTIVE").await;
    });
}
