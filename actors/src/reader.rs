//! The threads that answer questions.

use std::any::type_name;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use actix::{Actor, Handler, SyncContext};
use prometheus::Histogram;
use r2d2::Pool;
use r2d2_sqlite::SqliteConnectionManager;

use crate::engine::ReadConnection;
use crate::error::StoreError;
use crate::message::{Read, ReadOp};

/// A sync actor with a connection of its own.
pub(crate) struct Reader {
    pub(crate) pool: Pool<SqliteConnectionManager>,
    pub(crate) connection: Option<ReadConnection>,
    /// How long a question takes.
    pub(crate) seconds: Histogram,
}

impl Actor for Reader {
    type Context = SyncContext<Self>;
}

impl<Q: ReadOp> Handler<Read<Q>> for Reader {
    type Result = Result<Q::Output, StoreError>;

    fn handle(&mut self, Read { question, _permit }: Read<Q>, _ctx: &mut Self::Context) -> Self::Result {
        // SyncArbiter never restarts a panicked thread: catch, give the connection back, go on.
        let begun = Instant::now();
        let answer = catch_unwind(AssertUnwindSafe(|| self.ask(&question))).unwrap_or_else(|_| {
            log::error!(operation = type_name::<Q>(); "read panicked");
            self.connection = None;
            Err(StoreError::Panicked)
        });
        self.seconds.observe(begun.elapsed().as_secs_f64());
        answer
    }
}

impl Reader {
    fn ask<Q: ReadOp>(&mut self, question: &Q) -> Result<Q::Output, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => ReadConnection::take(&self.pool)?,
        };
        question.run(&mut self.connection.insert(connection).begin()?)
    }
}
