//! Backups: a copy of the database while the service runs, proved before it gets its name; and the way back.
//!
//! ```text
//! back_up:  database -> .NAME.partial (one snapshot, fsync by pieces) -> whole? -> sealed? -> fsync -> NAME
//! restore:  NAME -> opened? -> database.restoring -> whole? known schema? -> old one aside -> database
//! ```

mod files;
pub(crate) mod keeper;
mod restore;
mod sealing;
mod write_back;

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use ring::digest::{Context, Digest, SHA256};
use thiserror::Error;

use crate::engine::copy::{copy_into, inspect};
use crate::engine::migrate::MigrateError;
use crate::error::StoreError;

pub use files::file_name;
pub use keeper::BackupPlan;
pub use restore::{Restored, restore};
pub use sealing::{BackupKey, is_sealed};

/// What reads bytes from outside, for the fuzz targets alone.
#[doc(hidden)]
pub mod fuzzing {
    pub use super::files::made_at;
    pub use super::sealing::{open, seal};
}

pub(crate) use files::beside;
use files::{Partial, hidden, length, sync_folder};
pub(crate) use write_back::WriteBack;

/// Why there is no backup, or why it was not restored. Nothing half-written is left behind.
#[derive(Debug, Error)]
pub enum BackupError {
    /// There is no database to copy.
    #[error("there is no database at {0}")]
    NoDatabase(PathBuf),
    /// The name is taken.
    #[error("{0} exists already: choose another name, or a folder")]
    Exists(PathBuf),
    /// A file could not be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file in question.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The database could not be copied or read, or is damaged.
    #[error("{path}: {source}")]
    Database {
        /// The file in question.
        path: PathBuf,
        /// What the engine said.
        source: StoreError,
    },
    /// The backup is sealed, and no key is given.
    #[error("{0} is encrypted: set BACKUP_KEY to the key that it was made with")]
    KeyMissing(PathBuf),
    /// The copy is not what was read.
    #[error("{0} does not read back as it was written")]
    Differs(PathBuf),
    /// A newer version of this program made the backup.
    #[error(
        "{path} is at schema version {found}, this program knows versions up to {known}: use a newer one"
    )]
    Newer {
        /// The backup.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// The newest version of this binary.
        known: i32,
    },
    /// A service is using the database, or its lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] MigrateError),
}

impl BackupError {
    fn file(path: &Path) -> impl Fn(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::File { path: path.clone(), source }
    }

    fn database(path: &Path) -> impl Fn(StoreError) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Database { path: path.clone(), source }
    }
}

/// A backup that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// Its length.
    pub bytes: u64,
    /// The schema version of what is in it.
    pub schema: i32,
    /// Whether it is encrypted.
    pub sealed: bool,
}

/// Copies the database at `database`, whether or not a service writes to it, to a new file at `target`; with a key,
/// encrypted. Everything that was committed before is in it.
///
/// # Errors
/// [`BackupError`]; there is no file at `target` then.
pub fn back_up(database: &Path, target: &Path, key: Option<&BackupKey>) -> Result<Made, BackupError> {
    if target.exists() {
        return Err(BackupError::Exists(target.to_path_buf()));
    }
    replace(database, target, key)
}

/// The same, over a file that may be there.
pub(crate) fn replace(database: &Path, target: &Path, key: Option<&BackupKey>) -> Result<Made, BackupError> {
    if !database.is_file() {
        return Err(BackupError::NoDatabase(database.to_path_buf()));
    }
    // What is to be encrypted never stands in clear where the backups are: they may be on another machine.
    let plain_place = if key.is_some() { beside(database, "backup") } else { hidden(target) };
    let plain = Partial::create(&plain_place)?;
    let write_back = WriteBack::new(plain.writer()?);
    copy_into(database, plain.path(), write_back).map_err(BackupError::database(target))?;
    let schema = inspect(plain.path()).map_err(BackupError::database(target))?.schema;
    let finished = match key {
        Some(key) => sealed_copy(plain.path(), target, key)?,
        None => plain,
    };
    finished.sync()?;
    let bytes = length(finished.path())?;
    finished.becomes(target)?;
    sync_folder(target)?;
    Ok(Made { bytes, schema, sealed: key.is_some() })
}

/// The plain file encrypted beside `target`, and read back.
fn sealed_copy(plain: &Path, target: &Path, key: &BackupKey) -> Result<Partial, BackupError> {
    let partial = Partial::create(&hidden(target))?;
    let open = |path: &Path| File::open(path).map(BufReader::new).map_err(BackupError::file(path));
    let failed = BackupError::file(target);
    let mut out = BufWriter::new(WriteBack::new(partial.writer()?));
    sealing::seal(key, &mut open(plain)?, &mut out).and_then(|()| out.flush()).map_err(&failed)?;
    let mut found = Hash(Context::new(&SHA256));
    sealing::open(key, &mut open(partial.path())?, &mut found).map_err(&failed)?;
    let mut expected = Hash(Context::new(&SHA256));
    std::io::copy(&mut open(plain)?, &mut expected).map_err(&failed)?;
    if found.finish().as_ref() == expected.finish().as_ref() {
        Ok(partial)
    } else {
        Err(BackupError::Differs(target.to_path_buf()))
    }
}

struct Hash(Context);

impl Hash {
    fn finish(self) -> Digest {
        self.0.finish()
    }
}

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
