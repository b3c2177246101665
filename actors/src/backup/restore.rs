//! The way back from a backup.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::BackupError;
use super::files::{Partial, beside, log_files, stamp, sync_folder};
use super::sealing::{self, BackupKey, is_sealed};
use crate::clock::Millis;
use crate::engine::copy::{Inspection, inspect, settle_log};
use crate::engine::migrate::{behind_links, lock_alone};

/// A backup that is the database now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Its schema version; the service brings it up to date at its next start.
    pub schema: i32,
    /// Where the database that was there before is kept, if there was one.
    pub aside: Option<PathBuf>,
}

/// Puts what is in the backup at `backup` in the place of the database at `database`. The old one is kept aside under
/// a name with the time `now`; at every moment one of the two is the database. A symbolic link stays one: what it leads
/// to is replaced, and the old one is beside that, on the disk that was chosen for it.
///
/// # Errors
/// [`BackupError`]; the database is as it was then.
pub fn restore(
    backup: &Path,
    database: &Path,
    key: Option<&BackupKey>,
    now: Millis,
) -> Result<Restored, BackupError> {
    let database = &behind_links(database);
    let _lock = lock_alone(database)?;
    let fresh = Partial::create(&beside(database, "restoring"))?;
    read_backup(backup, &fresh, key)?;
    let Inspection { schema, known } = inspect(fresh.path()).map_err(BackupError::database(backup))?;
    if schema > known {
        return Err(BackupError::Newer { path: backup.to_path_buf(), found: schema, known });
    }
    fresh.sync()?;
    let aside = if database.exists() { Some(put_aside(database, now)?) } else { None };
    // A log without its database would be taken for the new one's.
    for file in log_files(database) {
        remove(&file)?;
    }
    fresh.becomes(database)?;
    sync_folder(database)?;
    Ok(Restored { schema, aside })
}

/// Copies the backup into `fresh`, opened if it is sealed.
fn read_backup(backup: &Path, fresh: &Partial, key: Option<&BackupKey>) -> Result<(), BackupError> {
    let failed = BackupError::file(backup);
    let mut file = BufReader::new(File::open(backup).map_err(&failed)?);
    let mut beginning = Vec::new();
    file.by_ref().take(16).read_to_end(&mut beginning).map_err(&failed)?;
    let sealed = is_sealed(&beginning);
    let mut whole = beginning.as_slice().chain(file);
    let mut out = BufWriter::new(fresh.writer()?);
    match (sealed, key) {
        (true, Some(key)) => sealing::open(key, &mut whole, &mut out).map_err(&failed)?,
        (true, None) => return Err(BackupError::KeyMissing(backup.to_path_buf())),
        (false, _) => {
            io::copy(&mut whole, &mut out).map_err(&failed)?;
        }
    }
    out.flush().map_err(BackupError::file(fresh.path()))
}

/// Gives the old database a second name, complete in one file if it can be opened, with its log if it cannot.
fn put_aside(database: &Path, now: Millis) -> Result<PathBuf, BackupError> {
    let aside = free_name(&beside(database, &format!("before-restore-{}", stamp(now))));
    if settle_log(database).is_err() {
        for (from, to) in log_files(database).iter().zip(log_files(&aside)) {
            if from.exists() {
                fs::rename(from, &to).map_err(BackupError::file(&to))?;
            }
        }
    }
    // A second name, so that there is a database at every moment; not every file system has them.
    fs::hard_link(database, &aside)
        .or_else(|_| fs::rename(database, &aside))
        .map_err(BackupError::file(&aside))?;
    Ok(aside)
}

/// The name itself, or with the first number that makes it a new one.
fn free_name(wanted: &Path) -> PathBuf {
    let numbered = (2_u32..).map(|number| beside(wanted, &number.to_string()));
    let mut names = std::iter::once(wanted.to_path_buf()).chain(numbered);
    names.find(|name| !name.exists()).unwrap_or_else(|| wanted.to_path_buf())
}

fn remove(path: &Path) -> Result<(), BackupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BackupError::file(path)(error)),
        _ => Ok(()),
    }
}
