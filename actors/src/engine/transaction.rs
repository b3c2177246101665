//! A transaction whose BEGIN and COMMIT are prepared once a connection. rusqlite's own has the engine parse both each time,
//! which for a point read costs about as much as the read.

use std::ops::Deref;

use rusqlite::Connection;

/// How a transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// With the first statement: for reads.
    Deferred,
    /// At once, as the one that writes: a transaction that upgrades later ignores the busy timeout.
    Immediate,
}

/// An open transaction. Dropped before [`Transaction::commit`], it leaves no trace.
pub(super) struct Transaction<'c> {
    connection: &'c Connection,
    is_open: bool,
}

impl<'c> Transaction<'c> {
    /// Begins one. The connection is borrowed for good, so there is never a second one inside.
    pub(super) fn begin(connection: &'c mut Connection, start: Start) -> rusqlite::Result<Self> {
        let connection = &*connection;
        let begin = match start {
            Start::Deferred => "BEGIN",
            Start::Immediate => "BEGIN IMMEDIATE",
        };
        run(connection, begin)?;
        Ok(Self { connection, is_open: true })
    }

    /// Makes it durable. On an error nothing was written.
    pub(super) fn commit(mut self) -> rusqlite::Result<()> {
        run(self.connection, "COMMIT")?;
        self.is_open = false;
        Ok(())
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // Some failures make the engine roll back by itself; then there is nothing left to end.
        if self.is_open
            && !self.connection.is_autocommit()
            && let Err(error) = run(self.connection, "ROLLBACK")
        {
            log::error!(reason:% = error; "a transaction could not be rolled back");
        }
    }
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}
