//! What can go wrong with storage, as opposed to what an operation may refuse.

use thiserror::Error;

/// A failure of storage. Cloned to every caller of a batch when the batch as a whole fails.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// No room within the time budget: the caller should come back later.
    #[error("storage is busy")]
    Busy,
    /// Another program kept the database locked for longer than anybody waits for it.
    #[error("another program holds the database")]
    Locked,
    /// The actor that owns the connection is gone; the process is on its way out.
    #[error("storage is closed")]
    Closed,
    /// A constraint of the schema refused the change.
    #[error("constraint violated: {0}")]
    Constraint(String),
    /// The engine reported a serialization conflict: the same change may succeed when run again.
    #[error("serialization conflict: {0}")]
    Conflict(String),
    /// The engine, the file system or the disk failed. Never retried.
    #[error("storage failed: {0}")]
    Failed(String),
    /// The operation panicked; its changes were rolled back.
    #[error("operation panicked")]
    Panicked,
    /// A row holds what the schema should make impossible.
    #[error("inconsistent data in {table}.{column}: {found}")]
    Inconsistent {
        /// The table of the row.
        table: &'static str,
        /// The column with the impossible value.
        column: &'static str,
        /// What was found there. Never a secret: only states, kinds and numbers are checked this way.
        found: String,
    },
}

impl StoreError {
    /// Whether running the operations of a failed batch one by one can help.
    #[must_use]
    pub fn blames_one_operation(&self) -> bool {
        matches!(self, Self::Constraint(_) | Self::Conflict(_))
    }
}

/// Why a write did not happen.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpError<R> {
    /// The operation looked at the data and said no. Its savepoint was rolled back.
    #[error("refused")]
    Refused(R),
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
