//! Migrations, run by the service at start: checksummed, in order, never backwards.

use std::error::Error;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use refinery::{Migration, Runner};
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use thiserror::Error;

use super::copy::schema_version;
use super::sqlite::configure;
use crate::backup::{self, beside};

/// Every migration of this binary: number and name as in the file name, text at compile time.
const MIGRATIONS: &[(&str, &str)] = &[
    ("V1__first_sign_in", include_str!("../../../migrations/sqlite/0001_first_sign_in.sql")),
    ("V2__organizations", include_str!("../../../migrations/sqlite/0002_organizations.sql")),
    ("V3__client_registration", include_str!("../../../migrations/sqlite/0003_client_registration.sql")),
    ("V4__oauth_credentials", include_str!("../../../migrations/sqlite/0004_oauth_credentials.sql")),
    ("V5__tokens", include_str!("../../../migrations/sqlite/0005_tokens.sql")),
    ("V6__browser_sessions", include_str!("../../../migrations/sqlite/0006_browser_sessions.sql")),
    ("V7__outbox_and_events", include_str!("../../../migrations/sqlite/0007_outbox_and_events.sql")),
    ("V8__login_analytics", include_str!("../../../migrations/sqlite/0008_login_analytics.sql")),
    ("V9__billing", include_str!("../../../migrations/sqlite/0009_billing.sql")),
    ("V10__keys_and_proofs", include_str!("../../../migrations/sqlite/0010_keys_and_proofs.sql")),
    ("V11__provider_tokens", include_str!("../../../migrations/sqlite/0011_provider_tokens.sql")),
    ("V12__provider_revocations", include_str!("../../../migrations/sqlite/0012_provider_revocations.sql")),
    ("V13__waiting_grants", include_str!("../../../migrations/sqlite/0013_waiting_grants.sql")),
    ("V18__withdrawals", include_str!("../../../migrations/sqlite/0018_withdrawals.sql")),
    ("V19__write_rates", include_str!("../../../migrations/sqlite/0019_write_rates.sql")),
];

pub(super) const MIGRATION_TABLE: &str = "schema_migrations";
/// How many copies from before a migration are kept.
const SNAPSHOTS_KEPT: usize = 3;
const SNAPSHOT: &str = "schema-";
const MOST_LINKS: usize = 40;

/// Why the database could not be made ready.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// The folder or the file could not be created or opened.
    #[error("cannot open {path}: {source}")]
    Open {
        /// The path in question.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// Another process runs on the same file.
    #[error("another process is using {0}: one process per database file; stop it first")]
    InUse(PathBuf),
    /// The disk has no room for what a start writes. What was there is as it was.
    #[error("the disk is full: there is no room to open the database at {0}; make room, then start again")]
    NoRoom(PathBuf),
    /// The engine could not open the file.
    #[error("cannot open the database: {0}")]
    Engine(#[from] rusqlite::Error),
    /// The database was written by a newer version of this program.
    #[error(
        "the database is at schema version {found}, this program knows versions up to {known}: run a newer one"
    )]
    Newer {
        /// The version found in the database.
        found: i32,
        /// The newest version of this binary.
        known: i32,
    },
    /// There is no database, or one of an older version, and this is not the moment to make or change one.
    #[error(
        "{0} is not a database at the schema version of this program: start the service once, then try again"
    )]
    NotCurrent(PathBuf),
    /// The copy that is kept from before a migration could not be made. Nothing was migrated.
    #[error("cannot keep a copy of the database from before its migration, so it was not migrated: {0}")]
    Snapshot(String),
    /// A migration failed, or one that was applied has another text here.
    #[error("cannot migrate the database: {0}")]
    Failed(#[from] refinery::Error),
}

/// Held as long as the process uses the database file: one process per file.
#[derive(Debug)]
pub struct InstanceLock {
    _file: File,
}

/// Creates what is missing, takes the instance lock and brings the schema up to date. A database that is older is
/// copied first, to `PATH.schema-N`.
pub fn prepare(path: &Path) -> Result<InstanceLock, MigrateError> {
    bring_up_to_date(path).map_err(|error| match error {
        error if is_for_room(&error) => MigrateError::NoRoom(path.to_path_buf()),
        error => error,
    })
}

/// Whether this, or what caused it, is the engine finding no room on the disk. For the index of the log it has another
/// name, and words that speak of no room.
fn is_for_room(error: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| (**error).source());
    causes.any(|error| match error.downcast_ref::<rusqlite::Error>() {
        Some(rusqlite::Error::SqliteFailure(found, _)) => {
            found.code == ErrorCode::DiskFull || found.extended_code == ffi::SQLITE_IOERR_SHMSIZE
        }
        _ => false,
    })
}

fn bring_up_to_date(path: &Path) -> Result<InstanceLock, MigrateError> {
    let lock = lock_alone(path)?;
    refuse_newer(path)?;
    keep_snapshot(path)?;
    create_private(path).map_err(|source| MigrateError::Open { path: path.to_path_buf(), source })?;
    let mut connection = Connection::open(path)?;
    configure(&mut connection)?;
    migrate(&mut connection)?;
    Ok(lock)
}

/// Takes the instance lock, and touches nothing else.
pub(crate) fn lock_alone(path: &Path) -> Result<InstanceLock, MigrateError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        create_folder(folder).map_err(|source| MigrateError::Open { path: folder.to_path_buf(), source })?;
    }
    lock(path)
}

/// Copies a database that is about to be migrated, and forgets the oldest of such copies.
fn keep_snapshot(path: &Path) -> Result<(), MigrateError> {
    if require_existing(path).is_err() {
        return Ok(());
    }
    let Some(found) = version(path)?.filter(|found| newest().is_ok_and(|known| *found < known)) else {
        return Ok(());
    };
    let failed = |error: &dyn std::fmt::Display| MigrateError::Snapshot(error.to_string());
    let snapshot = beside(path, &format!("{SNAPSHOT}{found}"));
    backup::replace(path, &snapshot, None).map_err(|error| failed(&error))?;
    log::info!(version = found, copy:% = snapshot.display(); "schema is older, a copy is kept");
    let mut versions = snapshots(path).map_err(|error| failed(&error))?;
    versions.sort_unstable();
    for old in versions.iter().rev().skip(SNAPSHOTS_KEPT) {
        fs::remove_file(beside(path, &format!("{SNAPSHOT}{old}"))).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// The schema versions that a copy is kept of.
fn snapshots(path: &Path) -> io::Result<Vec<i32>> {
    let name = beside(Path::new(path.file_name().unwrap_or_default()), SNAPSHOT);
    let prefix = name.to_string_lossy().into_owned();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let version = |name: &str| name.strip_prefix(&prefix)?.parse().ok();
    Ok(fs::read_dir(folder)?.filter_map(|entry| version(entry.ok()?.file_name().to_str()?)).collect())
}

/// Refuses a file that is not there: a command never makes an empty database where it was sent by mistake.
pub(super) fn require_existing(path: &Path) -> Result<(), MigrateError> {
    let found = fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() > 0);
    if found { Ok(()) } else { Err(MigrateError::NotCurrent(path.to_path_buf())) }
}

/// Refuses a database that is older or newer than this program.
pub(super) fn require_current(path: &Path) -> Result<(), MigrateError> {
    require_existing(path)?;
    match (version(path)?, newest()?) {
        (Some(found), known) if found > known => Err(MigrateError::Newer { found, known }),
        (Some(found), known) if found == known => Ok(()),
        _ => Err(MigrateError::NotCurrent(path.to_path_buf())),
    }
}

pub(super) fn newest() -> Result<i32, refinery::Error> {
    Ok(migrations()?.iter().map(Migration::version).max().unwrap_or_default())
}

/// The schema version, through a connection that cannot write.
fn version(path: &Path) -> Result<Option<i32>, MigrateError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    Ok(schema_version(&connection)?)
}

fn migrations() -> Result<Vec<Migration>, refinery::Error> {
    MIGRATIONS.iter().map(|(name, sql)| Migration::unapplied(name, sql)).collect()
}

/// Looks at the version through a connection that cannot write: a database that is refused is left as it is.
fn refuse_newer(path: &Path) -> Result<(), MigrateError> {
    if fs::metadata(path).map_or(0, |file| file.len()) == 0 {
        return Ok(());
    }
    let known = newest()?;
    match version(path)? {
        Some(found) if found > known => Err(MigrateError::Newer { found, known }),
        _ => Ok(()),
    }
}

fn migrate(connection: &mut Connection) -> Result<(), MigrateError> {
    // Grouped: all that are due and the record of them are one transaction. Otherwise each is recorded in a transaction
    // that follows its own, and a start that ends between the two leaves a schema that no start can go on from.
    let mut runner =
        Runner::new(&migrations()?).set_abort_divergent(true).set_abort_missing(true).set_grouped(true);
    runner.set_migration_table_name(MIGRATION_TABLE);
    let report = runner.run(connection)?;
    for migration in report.applied_migrations() {
        log::info!(version = migration.version(), name = migration.name(); "schema migrated");
    }
    Ok(())
}

/// The file that a path leads to through symbolic links, whether or not it is there: what the engine opens. Its log and
/// its lock are beside it and not beside the link.
pub(crate) fn behind_links(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    // As many as the kernel follows. What leads nowhere after that is refused by whoever opens it.
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().map_or_else(|| target.clone(), |folder| folder.join(&target));
    }
    path
}

fn lock(path: &Path) -> Result<InstanceLock, MigrateError> {
    // Under whatever name: a link to a database is that database, even before it is there.
    let lock_path = beside(&behind_links(path), "lock");
    let open = |source| MigrateError::Open { path: lock_path.clone(), source };
    let file = private(OpenOptions::new().create(true).truncate(false).write(true))
        .open(&lock_path)
        .map_err(open)?;
    match file.try_lock() {
        Ok(()) => Ok(InstanceLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(MigrateError::InUse(path.to_path_buf())),
        Err(TryLockError::Error(source)) => Err(MigrateError::Open { path: lock_path, source }),
    }
}

/// The database holds personal data: nobody but the service's own account may read it.
fn create_private(path: &Path) -> io::Result<()> {
    private(OpenOptions::new().create(true).append(true)).open(path).map(|_| ())
}

#[cfg(unix)]
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

#[cfg(not(unix))]
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

fn create_folder(folder: &Path) -> io::Result<()> {
    if fs::metadata(folder).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_migration_that_cannot_be_recorded_is_not_made_and_neither_are_those_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gatehouse.db");
        let tables = |connection: &Connection| -> i64 {
            connection
                .query_row("SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table'", [], |row| row.get(0))
                .unwrap()
        };
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE schema_migrations (version INT4 PRIMARY KEY, name VARCHAR(255), \
                 applied_on VARCHAR(255), checksum VARCHAR(255)); \
                 CREATE TRIGGER full BEFORE INSERT ON schema_migrations WHEN NEW.version = 2 \
                 BEGIN SELECT RAISE(ABORT, 'planned'); END",
            )
            .unwrap();
        assert!(matches!(prepare(&path), Err(MigrateError::Failed(_))));
        assert_eq!(tables(&connection), 1, "nothing of it stays");
        assert_eq!(version(&path).unwrap(), None);

        connection.execute_batch("DROP TRIGGER full").unwrap();
        drop(connection);
        drop(prepare(&path).unwrap());
        assert_eq!(version(&path).unwrap(), Some(newest().unwrap()));
    }

    #[test]
    fn a_link_has_the_lock_of_what_it_leads_to_whether_or_not_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("links")).unwrap();
        symlink("../real.db", at("links/near.db")).unwrap();
        symlink(at("links/near.db"), at("far.db")).unwrap();
        for name in ["far.db", "links/near.db", "real.db"] {
            let held = lock(&at(name)).unwrap();
            for other in ["far.db", "links/near.db", "real.db"] {
                assert!(matches!(lock(&at(other)), Err(MigrateError::InUse(_))), "{name} and {other}");
            }
            drop(held);
        }
        assert!(!at("far.db.lock").exists() && !at("real.db").exists());

        symlink("around.db", at("around.db")).unwrap();
        assert_eq!(behind_links(&at("around.db")), at("around.db"), "a link to itself ends");
    }
}
