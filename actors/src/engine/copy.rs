//! A copy of a database that others write to, and whether a file is a database that can be relied on.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::migrate::{MIGRATION_TABLE, newest};
use super::sqlite::failed;
use crate::backup::WriteBack;
use crate::error::StoreError;

/// Of the engine's own steps, four for a row: so that little is written between two looks at a copy.
const STEPS_BETWEEN_LOOKS: i32 = 1000;

/// What was found in a database file that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inspection {
    /// The schema version, counted from 1.
    pub(crate) schema: i32,
    /// The newest schema version that this program knows.
    pub(crate) known: i32,
}

/// Writes everything that is committed in the database at `source` into the file at `target`, which must be empty.
///
/// It is one statement and so one snapshot; writers go on meanwhile. What was deleted is not in the copy. `write_back` is
/// of the target, and settles it as it grows.
pub(crate) fn copy_into(source: &Path, target: &Path, mut write_back: WriteBack) -> Result<(), StoreError> {
    let connection = read_only(source)?;
    let Some(target) = target.to_str() else {
        return Err(StoreError::Failed(format!("{} is not valid UTF-8", target.display())));
    };
    let (refused, refusal) = mpsc::channel();
    let settle = move || match write_back.settle() {
        Ok(()) => false,
        Err(error) => {
            let _ = refused.send(error); // received below, where the engine says no more than that it was interrupted
            true
        }
    };
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(settle)).map_err(|error| failed(&error))?;
    connection.execute("VACUUM INTO ?1", [target]).map_err(|error| {
        refusal.try_recv().map_or_else(|_| failed(&error), |cause| StoreError::Failed(cause.to_string()))
    })?;
    Ok(())
}

/// Reads the whole file: pages, indexes, constraints, foreign keys, schema version.
pub(crate) fn inspect(path: &Path) -> Result<Inspection, StoreError> {
    let connection = read_only(path)?;
    let sound: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| failed(&error))?;
    if sound != "ok" {
        return Err(StoreError::Failed(format!("the database is damaged: {sound}")));
    }
    let mut dangling = connection.prepare("PRAGMA foreign_key_check").map_err(|error| failed(&error))?;
    let dangling: Vec<String> = dangling
        .query_map([], |row| row.get(0))
        .and_then(|rows| rows.take(1).collect())
        .map_err(|error| failed(&error))?;
    if let Some(table) = dangling.first() {
        return Err(StoreError::Failed(format!("a row of {table} refers to a row that is not there")));
    }
    let schema = schema_version(&connection).map_err(|error| failed(&error))?;
    let schema =
        schema.ok_or_else(|| StoreError::Failed("this is not a database of this service".to_owned()))?;
    let known = newest().map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(Inspection { schema, known })
}

/// Moves the write-ahead log of a database that nobody uses into its file, so that the file alone is all of it.
pub(crate) fn settle_log(path: &Path) -> Result<(), StoreError> {
    let connection = Connection::open(path).map_err(|error| failed(&error))?;
    let busy: i64 = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(|error| failed(&error))?;
    if busy == 0 { Ok(()) } else { Err(StoreError::Locked) }
}

/// The schema version, if the database has one.
pub(super) fn schema_version(connection: &Connection) -> rusqlite::Result<Option<i32>> {
    if !connection.table_exists(None, MIGRATION_TABLE)? {
        return Ok(None);
    }
    connection.query_row(&format!("SELECT MAX(version) FROM {MIGRATION_TABLE}"), [], |row| row.get(0))
}

fn read_only(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|error| failed(&error))?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(|error| failed(&error))?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_the_disk_does_not_take_is_broken_off_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("source.db"), folder.path().join("copy.db"));
        let connection = Connection::open(&source).unwrap();
        connection.execute_batch("CREATE TABLE t (n INTEGER); INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 10000) SELECT n FROM c").unwrap();

        let reason = copy_into(&source, &target, WriteBack::refused()).unwrap_err().to_string();
        assert!(reason.contains("Invalid argument"), "{reason}");

        let empty = std::fs::File::create(&target).unwrap();
        copy_into(&source, &target, WriteBack::new(empty)).unwrap();
        let copied: i64 = Connection::open(&target)
            .and_then(|copy| copy.query_row("SELECT COUNT(*) FROM t", [], |row| row.get(0)))
            .unwrap();
        assert_eq!(copied, 10000);
    }
}
