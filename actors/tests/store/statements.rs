//! Every SQL text there is, against the rules that keep it fast and meaning the same to two engines.

use std::collections::BTreeSet;

use gatehouse_actors::data::statements;
use gatehouse_actors::engine::Statement;
use gatehouse_actors::engine::migrate::prepare;
use rusqlite::Connection;
use tempfile::TempDir;

/// Why the statements of a recount may look at every row.
const PROOF: &str = "a recount, asked for by a command";

/// What may look at every row of a table, and why that is no harm.
const MAY_SCAN: &[(&str, &str)] = &[
    ("ANY_ORGANIZATION", "stops at the first row"),
    ("COUNT_LIVE_DEVICE_CODES", "walks the primary key and stops at LIMIT"),
    ("COUNT_DUE_GRANTS", "counts what an index gives, up to a limit, in the report lane"),
    ("SIGNING_KEYS", "a handful of rows, all wanted"),
    ("INSERT_FIRST_SIGNING_KEY", "a handful of rows, asked once at start"),
    ("TIER_OF_PRICE", "a handful of rows, all wanted"),
    ("TIERS", "a handful of rows, all wanted"),
    ("SWEEP_CODES", "walks the primary key and stops at LIMIT"),
    ("SWEEP_DEVICE_CODES", "walks the primary key and stops at LIMIT"),
    ("SWEEP_LOGIN_STATES", "walks the primary key and stops at LIMIT"),
    ("SWEEP_REVOKED_TOKENS", "walks the primary key and stops at LIMIT"),
    ("SWEEP_PUSHED_REQUESTS", "walks the primary key and stops at LIMIT"),
    ("SWEEP_ASSERTIONS", "walks the primary key and stops at LIMIT"),
    ("SWEEP_BROWSER_SESSIONS", "walks the primary key and stops at LIMIT"),
    ("SWEEP_REFRESH_TOKENS", "walks the primary key and stops at LIMIT"),
    ("SWEEP_WAITING_GRANTS", "walks the primary key and stops at LIMIT"),
    ("SWEEP_LOGIN_EVENTS", "walks the primary key and stops at LIMIT"),
    ("COMPARE_DAYS", PROOF),
    ("COMPARE_SERVICES", PROOF),
    ("COMPARE_PROVIDERS", PROOF),
    ("COMPARE_CHANGES", PROOF),
    ("COMPARE_PLATFORM", PROOF),
    ("COMPARE_GROWTH", PROOF),
    ("COMPARE_TOTALS", PROOF),
    ("CLEAR_DAYS", PROOF),
    ("RECOUNT_DAYS", PROOF),
    ("CLEAR_SERVICES", PROOF),
    ("RECOUNT_SERVICES", PROOF),
    ("CLEAR_PROVIDERS", PROOF),
    ("RECOUNT_PROVIDERS", PROOF),
    ("CLEAR_CHANGES", PROOF),
    ("RECOUNT_CHANGES", PROOF),
    ("RECOUNT_LAST", PROOF),
    ("RECOUNT_PLATFORM", PROOF),
    ("RECOUNT_GROWTH", PROOF),
    ("RECOUNT_TOTALS", PROOF),
    ("DENY_DEVICE_CODES_OF_ORGANIZATION", "a suspension is rare, and an index would slow down every code"),
    ("EXPIRE_CODES_OF_ORGANIZATION", "as above; the table holds a minute's codes"),
    ("OUTBOX_WAITING", "walks the index of what is pending and stops at LIMIT"),
    ("PURGE_BROWSER_SESSIONS", "walks the primary key and stops at LIMIT"),
    ("PURGE_CODES", "walks the primary key and stops at LIMIT"),
    ("PURGE_USED", "walks the primary key and stops at LIMIT"),
    ("PURGE_PUSHED", "walks the primary key and stops at LIMIT"),
    ("PURGE_REVOKED", "walks the primary key and stops at LIMIT"),
    ("PURGE_DEVICE_CODES", "walks the primary key and stops at LIMIT"),
    ("PURGE_EVENTS", "walks the primary key of one organization and stops at LIMIT"),
    ("PURGE_LOGIN_STATES", "walks the primary key and stops at LIMIT"),
];

/// Text that means different things to the engines, or nothing to one of them; docs/adr/0003 has the alternatives.
const BANNED: &[&str] = &[
    "now()",
    "current_timestamp",
    "current_time",
    "current_date",
    "datetime(",
    "strftime(",
    "unixepoch(",
    "julianday(",
    "random(",
    "insert or ",
    "replace into",
    "ilike",
    "for update",
    "skip locked",
    "last_insert_rowid",
    "rowid",
    "autoincrement",
    "group_concat",
    "ifnull(",
    "pragma",
    "\"",
    "`",
    "?",
];

fn migrated() -> (Connection, TempDir) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("gatehouse.db");
    drop(prepare(&path).unwrap());
    (Connection::open(path).unwrap(), folder)
}

/// Placeholders in the order in which they stand, repeats included.
fn placeholders(sql: &str) -> Vec<usize> {
    sql.split('$')
        .skip(1)
        .map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().expect("a number after $")
        })
        .collect()
}

/// Complaints about all statements at once: one run shows everything there is to mend.
fn complain(about: impl Fn(&Statement) -> Option<String>) {
    let complaints: Vec<_> = statements()
        .into_iter()
        .filter_map(|statement| about(statement).map(|complaint| format!("{}: {complaint}", statement.name)))
        .collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn there_are_statements_and_their_names_tell_them_apart() {
    let all = statements();
    let names: BTreeSet<_> = all.iter().map(|statement| statement.name).collect();
    assert!(all.len() > 40, "the registry lost some: {}", all.len());
    assert_eq!(names.len(), all.len());
}

#[test]
fn every_statement_prepares_on_a_migrated_database() {
    let (connection, _folder) = migrated();
    complain(|statement| match connection.prepare(statement.sql) {
        Ok(prepared) => {
            let highest = placeholders(statement.sql).into_iter().max().unwrap_or(0);
            let count = prepared.parameter_count();
            (count != highest)
                .then(|| format!("{count} parameters, but the highest placeholder is ${highest}"))
        }
        Err(error) => Some(error.to_string()),
    });
}

/// SQLite numbers `$n` by first appearance, PostgreSQL by the number: only this order means the same to both.
#[test]
fn placeholders_are_numbered_in_order_of_first_use() {
    complain(|statement| {
        let found = placeholders(statement.sql);
        let mut highest = 0;
        for &number in &found {
            if number == 0 || number > highest + 1 {
                return Some(format!("${number} after ${highest} in {found:?}"));
            }
            highest = highest.max(number);
        }
        None
    });
}

#[test]
fn no_statement_holds_text_that_the_engines_read_differently() {
    complain(|statement| {
        let sql = statement.sql.to_lowercase();
        let banned = BANNED.iter().find(|banned| sql.contains(**banned))?;
        Some(format!("holds `{banned}`"))
    });
}

#[test]
fn no_statement_is_two() {
    complain(|statement| statement.sql.contains(';').then(|| "holds a semicolon".to_owned()));
}

/// Boolean columns are those that the schema limits to 0 and 1. PostgreSQL has no operator boolean = integer.
#[test]
fn boolean_columns_are_never_compared_with_numbers() {
    let (connection, _folder) = migrated();
    let booleans = boolean_columns(&connection);
    assert!(booleans.contains("is_platform_owner") && booleans.contains("email_verified"), "{booleans:?}");
    complain(|statement| {
        let sql = statement.sql.split_whitespace().collect::<Vec<_>>().join(" ");
        booleans.iter().find_map(|column| {
            let compared = ["= 1", "= 0", "=1", "=0", "<> 1", "<> 0", "!= 1", "!= 0"].iter().find(|tail| {
                sql.contains(&format!("{column} {tail}")) || sql.contains(&format!("{column}{tail}"))
            });
            compared.map(|tail| format!("compares {column} {tail}"))
        })
    });
}

fn boolean_columns(connection: &Connection) -> BTreeSet<String> {
    let mut tables = connection.prepare("SELECT sql FROM sqlite_schema WHERE type = 'table'").unwrap();
    let tables = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
    tables
        .map(Result::unwrap)
        .flat_map(|sql| {
            sql.lines()
                .filter_map(|line| line.split_once(" IN (0, 1)"))
                .filter_map(|(before, _)| before.split_once("CHECK (").map(|(_, column)| column.to_owned()))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn no_statement_scans_a_table_without_a_reason() {
    let (connection, _folder) = migrated();
    complain(|statement| {
        let scans = scans(&connection, statement);
        let may_scan = MAY_SCAN.iter().any(|(name, _)| *name == statement.name);
        match (scans.is_empty(), may_scan) {
            (true, true) => Some("stands in MAY_SCAN but scans nothing".to_owned()),
            (false, false) => Some(scans.join("; ")),
            _ => None,
        }
    });
    let names: BTreeSet<_> = statements().into_iter().map(|statement| statement.name).collect();
    assert!(MAY_SCAN.iter().all(|(name, _)| names.contains(name)), "MAY_SCAN names a statement that is gone");
}

/// The steps of the plan that look at a whole table, index or subquery.
fn scans(connection: &Connection, statement: &Statement) -> Vec<String> {
    // With RETURNING, the plan of an INSERT into a parent table also shows scans of its children. They run only while
    // a violation of the same statement is outstanding (opcode FkIfZero), so never here. A DELETE does run them.
    connection.pragma_update(None, "foreign_keys", !statement.sql.starts_with("INSERT")).unwrap();
    let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statement.sql)).unwrap();
    // Unbound parameters are NULL, which the planner does not look at.
    let mut rows = plan.raw_query();
    let mut scans = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let step: String = row.get("detail").unwrap();
        // A constant row is no table: the SELECT of an INSERT that has no FROM.
        if step.starts_with("SCAN ") && step != "SCAN CONSTANT ROW" {
            scans.push(step);
        }
    }
    scans
}

#[test]
fn every_table_is_strict() {
    let (connection, _folder) = migrated();
    let lax: Option<String> = connection
        .query_row(
            "SELECT group_concat(name) FROM pragma_table_list \
             WHERE schema = 'main' AND type = 'table' AND NOT strict \
             AND name NOT LIKE 'sqlite_%' AND name <> 'schema_migrations'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(lax, None);
}
