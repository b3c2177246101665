//! SQLite through r2d2: pragmas, transactions, savepoints, rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use r2d2::{Pool, PooledConnection};
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use scheduled_thread_pool::ScheduledThreadPool;

use super::migrate::{InstanceLock, MigrateError, behind_links, prepare, require_current, require_existing};
use super::statement::Statement;
use super::transaction::{Start, Transaction};
use super::value::{Column, Value};
use crate::bulletin::News;
use crate::error::{OpError, StoreError};
use crate::memory::{Changes, Fact};
use crate::message::{ReadOp, WriteOp};

type Pooled = PooledConnection<SqliteConnectionManager>;

/// Where the database is and how it is opened.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// The database file. It and its folder are created when missing.
    pub path: PathBuf,
    /// How many reader connections each lane gets.
    pub readers_per_lane: u32,
}

/// Opens connections that all carry the same pragmas.
#[derive(Clone)]
pub struct Engine {
    path: PathBuf,
    /// Opens connections for every pool. Left to itself, each pool starts three threads, which have next to nothing to do
    /// and cost memory.
    opener: Arc<ScheduledThreadPool>,
}

impl Engine {
    /// An engine over the file at `path`, which must exist and be migrated.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let opener = ScheduledThreadPool::builder().num_threads(1).thread_name_pattern("connections").build();
        // The log is beside the file and not beside a link to it.
        Self { path: behind_links(path), opener: Arc::new(opener) }
    }

    /// The length of the database file in bytes, without its write-ahead log.
    #[must_use]
    pub fn length(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// The length of the write-ahead log in bytes; 0 when there is none.
    #[must_use]
    pub fn log_length(&self) -> u64 {
        let mut name = self.path.clone().into_os_string();
        name.push("-wal");
        std::fs::metadata(PathBuf::from(name)).map_or(0, |file| file.len())
    }

    pub(crate) fn readers(&self, size: u32) -> Result<Pool<SqliteConnectionManager>, StoreError> {
        self.pool(size, |connection| {
            configure(connection)?;
            connection.pragma_update(None, "query_only", "ON")
        })
    }

    pub(crate) fn writer(&self) -> Result<WriteConnection, StoreError> {
        let connection = self.pool(1, configure)?.get().map_err(|error| unavailable(&error))?;
        let changes = Changes::default();
        connection.update_hook(Some(changes.hook())).map_err(|error| failed(&error))?;
        let mut writer = WriteConnection { connection, changes, version: 0 };
        writer.version = data_version(&writer.connection)?;
        Ok(writer)
    }

    fn pool(
        &self,
        size: u32,
        init: fn(&mut Connection) -> rusqlite::Result<()>,
    ) -> Result<Pool<SqliteConnectionManager>, StoreError> {
        let manager = SqliteConnectionManager::file(&self.path).with_init(init);
        Pool::builder()
            .thread_pool(Arc::clone(&self.opener))
            .max_size(size)
            .test_on_check_out(false)
            .connection_timeout(Duration::from_secs(5))
            .build(manager)
            .map_err(|error| unavailable(&error))
    }
}

fn unavailable(error: &r2d2::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

/// Every connection, in every role. FULL: what was acknowledged survives a power cut.
pub(super) fn configure(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // Small steps by size keep the tail of the latency short; the WalCheckpointer empties the log.
    connection.pragma_update(None, "wal_autocheckpoint", 1000)?;
    // Without it a cached statement with a range on a bound value is prepared again whenever the value changes.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(256);
    Ok(())
}

/// A reader's connection. The pragma `query_only` backs up what the types already say.
pub(crate) struct ReadConnection {
    connection: Pooled,
}

impl ReadConnection {
    pub(crate) fn take(pool: &Pool<SqliteConnectionManager>) -> Result<Self, StoreError> {
        Ok(Self { connection: pool.get().map_err(|error| unavailable(&error))? })
    }

    /// One read transaction: everything inside sees the same moment.
    pub(crate) fn begin(&mut self) -> Result<ReadTx<'_>, StoreError> {
        let transaction =
            Transaction::begin(&mut self.connection, Start::Deferred).map_err(|error| failed(&error))?;
        Ok(ReadTx { transaction })
    }
}

/// A connection outside the actors that can only ask. It takes no instance lock: a command may look into a database
/// that a running service writes to, and into a copy that nobody uses.
pub struct ReadOnly {
    connection: Connection,
}

impl ReadOnly {
    /// Opens the file at `path`, which must exist and be migrated.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when it cannot be opened for reading.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .map_err(|error| failed(&error))?;
        connection.busy_timeout(Duration::from_secs(5)).map_err(|error| failed(&error))?;
        Ok(Self { connection })
    }

    /// Asks a question in a transaction of its own.
    ///
    /// # Errors
    /// Whatever the question meets.
    pub fn ask<Q: ReadOp>(&mut self, question: &Q) -> Result<Q::Output, StoreError> {
        let transaction =
            Transaction::begin(&mut self.connection, Start::Deferred).map_err(|error| failed(&error))?;
        question.run(&mut ReadTx { transaction })
    }
}

/// A connection outside the actors that can also change: what a command needs. A change is one transaction, so a
/// running service sees all of it or nothing.
pub struct Maintenance {
    connection: Connection,
    _lock: Option<InstanceLock>,
}

impl Maintenance {
    /// Beside a service that may be running. The file must be there and at the schema version of this program.
    ///
    /// # Errors
    /// [`MigrateError`] when the file cannot be used.
    pub fn beside(path: &Path) -> Result<Self, MigrateError> {
        require_current(path)?;
        Self::open(path, None)
    }

    /// Alone: no service runs on the file meanwhile. Brings the schema up to date.
    ///
    /// # Errors
    /// [`MigrateError::InUse`] while a service runs, or another one when the file cannot be used.
    pub fn alone(path: &Path) -> Result<Self, MigrateError> {
        require_existing(path)?;
        let lock = prepare(path)?;
        Self::open(path, Some(lock))
    }

    fn open(path: &Path, lock: Option<InstanceLock>) -> Result<Self, MigrateError> {
        let mut connection = Connection::open(path)?;
        configure(&mut connection)?;
        Ok(Self { connection, _lock: lock })
    }

    /// Asks a question in a transaction of its own.
    ///
    /// # Errors
    /// Whatever the question meets.
    pub fn ask<Q: ReadOp>(&mut self, question: &Q) -> Result<Q::Output, StoreError> {
        let transaction =
            Transaction::begin(&mut self.connection, Start::Deferred).map_err(|error| failed(&error))?;
        question.run(&mut ReadTx { transaction })
    }

    /// Makes a change in a transaction of its own, durable when answered.
    ///
    /// # Errors
    /// The operation's own reason, or whatever it meets; nothing was written then.
    pub fn change<C: WriteOp>(&mut self, change: &C) -> Result<C::Output, OpError<C::Refused>> {
        let transaction = Transaction::begin(&mut self.connection, Start::Immediate)
            .map_err(|error| OpError::Store(failed(&error)))?;
        let mut tx =
            WriteTx { read: ReadTx { transaction }, news: News::default(), changes: Changes::default() };
        let output = change.apply(&mut tx)?;
        tx.read.transaction.commit().map_err(|error| OpError::Store(failed(&error)))?;
        Ok(output)
    }
}

/// The writer's connection.
pub(crate) struct WriteConnection {
    connection: Pooled,
    changes: Changes,
    /// The version of the data as it was last seen. Only other connections change it.
    version: i64,
}

fn data_version(connection: &Connection) -> Result<i64, StoreError> {
    let mut statement = connection.prepare_cached("PRAGMA data_version").map_err(|error| failed(&error))?;
    statement.query_row([], |row| row.get(0)).map_err(|error| failed(&error))
}

impl WriteConnection {
    /// Begins the transaction of a batch.
    pub(crate) fn begin(&mut self) -> Result<Batch<'_>, StoreError> {
        let transaction =
            Transaction::begin(&mut self.connection, Start::Immediate).map_err(|error| failed(&error))?;
        let version = data_version(&transaction)?;
        let others_wrote = std::mem::replace(&mut self.version, version) != version;
        // What a transaction before this one noted and rolled back.
        self.changes.take();
        let changes = self.changes.clone();
        let tx = WriteTx { read: ReadTx { transaction }, news: News::default(), changes };
        Ok(Batch { tx, others_wrote })
    }

    /// Whether another process changed the database since the last look or batch.
    pub(crate) fn others_wrote(&mut self) -> Result<bool, StoreError> {
        let version = data_version(&self.connection)?;
        Ok(std::mem::replace(&mut self.version, version) != version)
    }

    /// Moves the whole log into the database file and empties it. True when nothing is left in the log.
    pub(crate) fn checkpoint(&mut self) -> Result<bool, StoreError> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
            .map(|busy| busy == 0)
            .map_err(|error| failed(&error))
    }
}

/// A transaction of several operations, each in a savepoint of its own.
pub(crate) struct Batch<'c> {
    pub(crate) tx: WriteTx<'c>,
    /// Whether another process changed the database before this transaction began.
    pub(crate) others_wrote: bool,
}

impl Batch<'_> {
    pub(crate) fn savepoint(&mut self) -> Result<(), StoreError> {
        self.run("SAVEPOINT operation")
    }

    pub(crate) fn release(&mut self) -> Result<(), StoreError> {
        self.run("RELEASE operation")
    }

    pub(crate) fn roll_back_to_savepoint(&mut self) -> Result<(), StoreError> {
        self.run("ROLLBACK TO operation")?;
        self.run("RELEASE operation")
    }

    /// Makes it durable; what there is to tell is told by the caller.
    pub(crate) fn commit(self) -> Result<(News, Vec<Fact>), StoreError> {
        self.tx.read.transaction.commit().map_err(|error| failed(&error))?;
        Ok((self.tx.news, self.tx.changes.take()))
    }

    fn run(&mut self, sql: &str) -> Result<(), StoreError> {
        let mut statement = self.tx.read.transaction.prepare_cached(sql).map_err(|error| failed(&error))?;
        statement.execute([]).map(|_| ()).map_err(|error| failed(&error))
    }
}

/// A transaction that can only ask.
pub struct ReadTx<'c> {
    transaction: Transaction<'c>,
}

impl ReadTx<'_> {
    /// The first row, if there is one.
    pub fn optional<T>(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
        map: impl FnOnce(&Row<'_, '_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut prepared = self.transaction.prepare_cached(statement.sql).map_err(|error| failed(&error))?;
        let mut rows = prepared.query(rusqlite::params_from_iter(values)).map_err(|error| failed(&error))?;
        match rows.next().map_err(|error| failed(&error))? {
            Some(row) => map(&Row { row }).map(Some),
            None => Ok(None),
        }
    }

    /// The first row of a statement that always has one (an aggregate, an INSERT with RETURNING).
    pub fn one<T>(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
        map: impl FnOnce(&Row<'_, '_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.optional(statement, values, map)?
            .ok_or_else(|| StoreError::Failed(format!("{} returned no row", statement.name)))
    }

    /// All rows, in the order of the statement.
    pub fn all<T>(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
        mut map: impl FnMut(&Row<'_, '_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut prepared = self.transaction.prepare_cached(statement.sql).map_err(|error| failed(&error))?;
        let mut rows = prepared.query(rusqlite::params_from_iter(values)).map_err(|error| failed(&error))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(|error| failed(&error))? {
            found.push(map(&Row { row })?);
        }
        Ok(found)
    }
}

/// A transaction that can also change. What it can ask, it asks as a [`ReadTx`].
pub struct WriteTx<'c> {
    read: ReadTx<'c>,
    pub(crate) news: News,
    changes: Changes,
}

impl<'c> std::ops::Deref for WriteTx<'c> {
    type Target = ReadTx<'c>;

    fn deref(&self) -> &Self::Target {
        &self.read
    }
}

impl std::ops::DerefMut for WriteTx<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.read
    }
}

impl WriteTx<'_> {
    /// Notes a change of a table without row ids: of all others the engine tells by itself.
    pub(crate) fn changed(&mut self, fact: Fact) {
        self.changes.note(fact);
    }

    /// Runs a change and tells how many rows it touched.
    pub fn execute(&mut self, statement: &Statement, values: &[Value<'_>]) -> Result<usize, StoreError> {
        let mut prepared =
            self.read.transaction.prepare_cached(statement.sql).map_err(|error| failed(&error))?;
        prepared.execute(rusqlite::params_from_iter(values)).map_err(|error| failed(&error))
    }
}

/// One row of an answer.
pub struct Row<'r, 's> {
    row: &'r rusqlite::Row<'s>,
}

impl Row<'_, '_> {
    /// The column at `index`, counted from 0.
    pub fn get<T: Column>(&self, index: usize) -> Result<T, StoreError> {
        self.row.get(index).map_err(|error| failed(&error))
    }
}

/// Sorts an engine error into what the rest of the crate can act on.
pub(super) fn failed(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => StoreError::Constraint(error.to_string()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked,
        _ => StoreError::Failed(error.to_string()),
    }
}
