//! Files that appear whole or not at all, for their owner alone.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::BackupError;
use super::write_back::remove_by_pieces;
use crate::clock::Millis;
use crate::engine::migrate::private;

const STAMP: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");
const PREFIX: &str = "gatehouse-";
const PLAIN: &str = ".db";
const PARTIAL: &str = ".partial";
const SEALED: &str = ".db.sealed";

/// A moment as it stands in the name of a file, in UTC.
#[must_use]
pub(crate) fn stamp(now: Millis) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(now.div_euclid(1000));
    moment.ok().and_then(|moment| moment.format(STAMP).ok()).unwrap_or_default()
}

/// The name of a backup that was made at `now`. Names in the order of the alphabet are in the order of time.
#[must_use]
pub fn file_name(now: Millis, sealed: bool) -> String {
    format!("{PREFIX}{}{}", stamp(now), if sealed { SEALED } else { PLAIN })
}

/// When the backup with this name was made; none for any other name.
#[must_use]
pub fn made_at(name: &str) -> Option<Millis> {
    let rest = name.strip_prefix(PREFIX)?;
    let stamp = rest.strip_suffix(PLAIN).or_else(|| rest.strip_suffix(SEALED))?;
    let moment = PrimitiveDateTime::parse(stamp, STAMP).ok()?;
    let at = moment.assume_utc().unix_timestamp() * 1000;
    // Written as we write it, and not `+2026...`: only what is ours is ever cleared away.
    [false, true].into_iter().any(|sealed| file_name(at, sealed) == name).then_some(at)
}

/// The name of a file while it is written: hidden, and not one that looks like a backup.
pub(crate) fn hidden(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}{PARTIAL}"))
}

/// When the file that is hidden under this name was begun; none for any other name.
pub(crate) fn begun_at(name: &str) -> Option<Millis> {
    made_at(name.strip_prefix('.')?.strip_suffix(PARTIAL)?)
}

/// `path` with a dot and `ending` after its name.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// The write-ahead log of a database, and the index of it.
pub(crate) fn log_files(database: &Path) -> [PathBuf; 2] {
    ["-wal", "-shm"].map(|ending| {
        let mut name: OsString = database.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    })
}

pub(crate) fn length(path: &Path) -> Result<u64, BackupError> {
    fs::metadata(path).map(|file| file.len()).map_err(BackupError::file(path))
}

/// Makes the names in the folder of `path` durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), BackupError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Windows opens no folders; renaming is durable there without.
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(BackupError::file(folder))?;
    }
    Ok(())
}

/// A file that is removed again unless it gets its name.
#[derive(Debug)]
pub(crate) struct Partial {
    path: PathBuf,
}

impl Partial {
    /// Empty, readable for its owner alone. What an earlier attempt left is gone.
    pub(crate) fn create(path: &Path) -> Result<Self, BackupError> {
        // Removed and not emptied: its mode may be another one.
        let _ = fs::remove_file(path);
        private(OpenOptions::new().create_new(true).write(true))
            .open(path)
            .map_err(BackupError::file(path))?;
        Ok(Self { path: path.to_path_buf() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn writer(&self) -> Result<File, BackupError> {
        OpenOptions::new().write(true).open(&self.path).map_err(BackupError::file(&self.path))
    }

    pub(crate) fn sync(&self) -> Result<(), BackupError> {
        self.writer()?.sync_all().map_err(BackupError::file(&self.path))
    }

    /// Takes its place in one step, over whatever is there.
    pub(crate) fn becomes(self, target: &Path) -> Result<(), BackupError> {
        fs::rename(&self.path, target).map_err(BackupError::file(target))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After `becomes` there is nothing under this name any more.
        let _ = remove_by_pieces(&self.path);
        for file in log_files(&self.path) {
            let _ = fs::remove_file(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_read_as_they_are_written_and_sorted_like_time() {
        assert_eq!(file_name(1_795_584_346_999, false), "gatehouse-20261125T052546Z.db");
        assert_eq!(made_at("gatehouse-20261125T052546Z.db.sealed"), Some(1_795_584_346_000));
        let path = hidden(Path::new("a/gatehouse-20261125T052546Z.db"));
        assert_eq!(begun_at(path.file_name().unwrap().to_str().unwrap()), Some(1_795_584_346_000));
        for other in
            ["gatehouse.db", "gatehouse-20261125T052546Z.db.partial", "gatehouse-20261325T052546Z.db", ""]
        {
            assert_eq!(made_at(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn later_is_greater(a in 0..4_000_000_000_i64, b in 0..4_000_000_000_i64, sealed in any::<bool>()) {
            let (first, second) = (file_name(a * 1000, sealed), file_name(b * 1000, sealed));
            prop_assert_eq!(first.cmp(&second), a.cmp(&b));
            prop_assert_eq!(made_at(&first), Some(a * 1000));
        }
    }
}
