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
