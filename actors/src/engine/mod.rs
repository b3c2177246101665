//! The only place that knows which database engine runs underneath.
//!
//! Operations speak to [`ReadTx`] and [`WriteTx`] with statements from a registry, values and rows of our own. A second
//! engine replaces `sqlite.rs` and nothing else.

pub(crate) mod copy;
pub mod migrate;
mod sqlite;
mod statement;
mod transaction;
mod value;

pub(crate) use sqlite::{Batch, ReadConnection, WriteConnection};
pub use sqlite::{Engine, EngineSettings, Maintenance, ReadOnly, ReadTx, Row, WriteTx};
pub use statement::Statement;
pub use value::{Column, Value};
