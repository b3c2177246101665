//! One change to a database that no service uses, for commands.

use std::path::Path;

use thiserror::Error;

use crate::engine::Engine;
use crate::engine::migrate::{MigrateError, prepare};
use crate::error::{OpError, StoreError};
use crate::message::WriteOp;

/// Why the change was not made.
#[derive(Debug, Error)]
pub enum OfflineError<R> {
    /// The database could not be made ready, or a service is using it.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The change was refused.
    #[error("refused")]
    Refused(R),
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes the instance lock, brings the schema up to date, and makes the change in a transaction of its own.
///
/// # Errors
/// When a service is using the database, the operation refuses, or storage fails. Nothing was changed then.
pub fn write<C: WriteOp>(path: &Path, change: &C) -> Result<C::Output, OfflineError<C::Refused>> {
    let _lock = prepare(path)?;
    let mut connection = Engine::new(path).writer()?;
    let mut transaction = connection.begin()?;
    let output = change.apply(&mut transaction.tx).map_err(|error| match error {
        OpError::Refused(reason) => OfflineError::Refused(reason),
        OpError::Store(error) => OfflineError::Store(error),
    })?;
    transaction.commit()?;
    connection.checkpoint()?;
    Ok(output)
}
