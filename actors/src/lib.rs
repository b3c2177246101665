//! Everything that touches the database or runs without a request.
//!
//! A handler holds a [`store::Store`] and knows two verbs: [`store::Store::read`] and [`store::Store::write`].
//! Questions and changes are plain structs in [`data`], each next to its SQL. All changes flow through one
//! [`line`] to one [`writer`] thread, and an answer exists only after COMMIT.

pub mod backup;
pub mod bulletin;
pub mod clock;
pub(crate) mod commit_queue;
pub mod data;
pub mod device_code_batcher;
pub mod engine;
pub mod error;
pub mod faults;
pub mod guard;
pub mod housekeeper;
pub(crate) mod line;
pub mod memory;
pub mod message;
pub mod meters;
pub mod money;
pub mod offline;
pub mod outbox;
pub(crate) mod reader;
pub mod resealer;
pub mod store;
pub mod stripe;
pub mod stripe_event_actor;
pub mod system;
pub mod token_refresher;
pub(crate) mod wal_checkpointer;
pub(crate) mod writer;
mod writer_state;
