//! A database that is set back, so that many requests meet the same one, and compared, so that a request that must not
//! change anything is seen not to.

use gatehouse_actors::engine::{ReadTx, Statement, WriteTx};
use gatehouse_actors::error::{OpError, StoreError};
use gatehouse_actors::message::{ReadOp, WriteOp};
use gatehouse_actors::values;

use super::World;

/// A statement made at run time. Tests are few and short, so its text is never freed.
fn statement(sql: String) -> &'static Statement {
    Box::leak(Box::new(Statement { name: "OF_A_TEST", sql: Box::leak(sql.into_boxed_str()) }))
}

/// A table with the statements that keep it, compare it and set it back.
#[derive(Clone)]
struct Table {
    name: String,
    keep: &'static Statement,
    empty: &'static Statement,
    refill: &'static Statement,
    differs: &'static Statement,
}

/// What the service writes by itself, whenever it likes: when a session was last used, how far a delivery is.
const ITS_OWN_COLUMNS: [&str; 1] = ["last_used_at"];
const ITS_OWN_TABLES: [&str; 2] = ["outbox", "outbox_targets"];

impl Table {
    fn of(name: String, columns: &str) -> Self {
        let kept = format!("kept_{name}");
        let rows = |one: &str, other: &str| {
            format!("EXISTS (SELECT {columns} FROM {one} EXCEPT SELECT {columns} FROM {other})")
        };
        let differs = format!("SELECT {} OR {}", rows(&name, &kept), rows(&kept, &name));
        Self {
            keep: statement(format!("CREATE TABLE {kept} AS SELECT * FROM {name}")),
            empty: statement(format!("DELETE FROM {name}")),
            refill: statement(format!("INSERT INTO {name} SELECT * FROM {kept}")),
            differs: statement(differs),
            name,
        }
    }
}

/// The database as it was at one moment. The audit log is left out: it only ever grows.
#[derive(Clone)]
pub(crate) struct Moment(Vec<Table>);

const TABLES: Statement = Statement {
    name: "TABLES",
    sql: "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'audit_log' AND name NOT LIKE 'sqlite!_%' \
          ESCAPE '!' ORDER BY name",
};
const COLUMNS: Statement = Statement { name: "COLUMNS", sql: "SELECT name FROM pragma_table_info($1)" };
/// Rows refer to each other, so the references are looked at when all are back.
const REFERENCES_LATER: Statement =
    Statement { name: "REFERENCES_LATER", sql: "PRAGMA defer_foreign_keys = ON" };

struct Keep;

impl WriteOp for Keep {
    type Output = Moment;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Moment, OpError<()>> {
        let mut tables = Vec::new();
        for name in tx.all(&TABLES, values![], |row| row.get::<String>(0))? {
            let mut columns = tx.all(&COLUMNS, values![&name], |row| row.get::<String>(0))?;
            columns.retain(|column| !ITS_OWN_COLUMNS.contains(&column.as_str()));
            let table = Table::of(name, &columns.join(", "));
            tx.execute(table.keep, values![])?;
            tables.push(table);
        }
        Ok(Moment(tables))
    }
}

struct Rewind(Moment);

impl WriteOp for Rewind {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        tx.execute(&REFERENCES_LATER, values![])?;
        for table in &self.0.0 {
            tx.execute(table.empty, values![])?;
        }
        for table in &self.0.0 {
            tx.execute(table.refill, values![])?;
        }
        Ok(())
    }
}

struct Differences(Moment);

impl ReadOp for Differences {
    type Output = Vec<String>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Vec<String>, StoreError> {
        let mut changed = Vec::new();
        for table in self.0.0.iter().filter(|table| !ITS_OWN_TABLES.contains(&table.name.as_str())) {
            if tx.one(table.differs, values![], |row| row.get::<bool>(0))? {
                changed.push(table.name.clone());
            }
        }
        Ok(changed)
    }
}

impl World {
    /// Remembers the database as it is. Once per test.
    pub(crate) async fn keep(&self) -> Moment {
        self.app.store.write(Keep).await.unwrap()
    }

    /// Sets the database back.
    pub(crate) async fn rewind(&self, moment: &Moment) {
        self.app.store.write(Rewind(moment.clone())).await.unwrap();
    }

    /// The tables that are not as they were.
    pub(crate) async fn differences(&self, moment: &Moment) -> Vec<String> {
        self.app.store.read(Differences(moment.clone())).await.unwrap()
    }
}
