//! Questions and changes: the typed messages between a handler and the actors.

use actix::Message;
use tokio::sync::OwnedSemaphorePermit;

use crate::engine::{ReadTx, WriteTx};
use crate::error::{OpError, StoreError};

/// Which readers answer: a slow report must never delay a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Point reads on a request path.
    Fast,
    /// Reads that may look at many rows.
    Report,
}

/// A question. It runs in one read transaction, so all it sees is of one moment.
pub trait ReadOp: Send + 'static {
    /// The answer.
    type Output: Send + 'static;
    /// Which readers answer it.
    const LANE: Lane = Lane::Fast;

    /// Asks the database. A [`ReadTx`] has no `execute`, and its connection refuses whatever writes all the same.
    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError>;
}

/// A change. It is data: ids, hashes and "now" are its fields. It asks no clock and no random source, so it can be
/// run again when the batch that carried it failed.
pub trait WriteOp: Send + 'static {
    /// The answer once the change is durable.
    type Output: Send + 'static;
    /// The reasons for which the operation may say no. A refusal leaves no trace in the database.
    type Refused: Send + 'static;

    /// Checks and writes inside one savepoint.
    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Self::Output, OpError<Self::Refused>>;
}

/// The message that carries a change to the [`crate::commit_queue::CommitQueue`], with its admission. A batch of
/// requests that were admitted one by one brings none of its own.
#[derive(Debug)]
pub struct Write<C> {
    pub(crate) change: C,
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

impl<C: WriteOp> Message for Write<C> {
    type Result = Result<C::Output, OpError<C::Refused>>;
}

/// What any actor tells about itself, for readiness, metrics and tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The actor's name.
    pub actor: &'static str,
    /// Counters and gauges, by name.
    pub figures: Vec<(&'static str, u64)>,
}

impl Snapshot {
    /// The figure called `name`, or 0.
    #[must_use]
    pub fn figure(&self, name: &str) -> u64 {
        self.figures.iter().find(|(key, _)| *key == name).map_or(0, |(_, value)| *value)
    }
}

/// Asks an actor for its [`Snapshot`].
#[derive(Debug, Clone, Copy)]
pub struct Observe;

impl Message for Observe {
    type Result = Snapshot;
}
