//! Backups: where, how often, how many, and the key.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gatehouse_actors::backup::{BackupKey, BackupPlan};
use gatehouse_actors::clock::Clock;

use super::number::number;
use super::problems::Wrong;
use super::reader::Reader;
use super::secret::Secret;
use super::{keys, strength};

const DEFAULT_HOURS: u64 = 24;
const MOST_HOURS: u64 = 720;
const DEFAULT_KEEP: usize = 7;
const MOST_KEPT: usize = 1000;

/// How backups are made.
#[derive(Debug, Clone)]
pub struct BackupSettings {
    /// Where backups are made while the service runs. None: they are not.
    pub folder: Option<PathBuf>,
    /// How old the newest one becomes before another is made.
    pub every: Duration,
    /// How many are kept.
    pub keep: usize,
    /// Encrypts backups.
    pub key: Option<Secret<Vec<u8>>>,
}

impl BackupSettings {
    /// The key in the form that seals.
    #[must_use]
    pub fn sealing_key(&self) -> Option<BackupKey> {
        self.key.as_ref().and_then(|key| BackupKey::try_from(key.expose().as_slice()).ok())
    }

    /// What the service does by itself, if anything.
    #[must_use]
    pub fn plan(&self, clock: Arc<dyn Clock>) -> Option<BackupPlan> {
        let folder = self.folder.clone()?;
        let Self { every, keep, .. } = *self;
        Some(BackupPlan { folder, every, keep, key: self.sealing_key(), clock })
    }
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    folder_of_settings: &Path,
    encryption_keys: Option<&[Secret<Vec<u8>>]>,
) -> BackupSettings {
    let folder = reader.text(keys::BACKUP_FOLDER);
    let hours = reader.parsed(keys::BACKUP_INTERVAL_HOURS, |text| number(text, 1..=MOST_HOURS, "hours"));
    let keep = reader.parsed(keys::BACKUP_KEEP, |text| number(text, 1..=MOST_KEPT, "backups"));
    BackupSettings {
        folder: folder.map(|folder| folder_of_settings.join(folder)),
        every: Duration::from_hours(hours.unwrap_or(DEFAULT_HOURS)),
        keep: keep.unwrap_or(DEFAULT_KEEP),
        key: read_key(reader, encryption_keys.unwrap_or_default()),
    }
}

fn read_key(reader: &mut Reader<'_>, others: &[Secret<Vec<u8>>]) -> Option<Secret<Vec<u8>>> {
    let text = reader.secret(keys::BACKUP_KEY)?;
    let key = strength::encryption_keys(&text).and_then(|mut keys| match (keys.pop(), keys.is_empty()) {
        (Some(key), true) => Ok(key),
        _ => Err(Wrong::new("is more than one key", "set the output of: openssl rand -base64 32")),
    });
    let key = reader.accept(keys::BACKUP_KEY, key)?;
    if others.iter().any(|other| other.expose() == key.expose()) {
        // Who opens the backup would then also open what is sealed in it.
        let wrong = Wrong::new("is also in ENCRYPTION_KEY", "set another one, from: openssl rand -base64 32");
        reader.wrong(keys::BACKUP_KEY, wrong);
        return None;
    }
    Some(key)
}
