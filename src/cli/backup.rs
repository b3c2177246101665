//! `gatehouse backup` and `gatehouse restore`.
#![allow(clippy::doc_markdown)] // comments on arguments are the help that a terminal shows, without markup

use std::path::{Path, PathBuf};

use clap::Args;
use gatehouse_actors::backup;
use gatehouse_actors::clock::{Clock as _, SystemClock};

use super::{Failure, ModeArguments, print};
use crate::config::{Config, Environment};

#[derive(Debug, Args)]
pub(super) struct BackupArguments {
    /// The file to make, which must not exist yet, or a folder: the file is named by the time then. Encrypted when
    /// BACKUP_KEY is set
    path: PathBuf,
    #[command(flatten)]
    mode: ModeArguments,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArguments {
    /// The backup. It is verified first; the database that is there now is kept beside the new one
    path: PathBuf,
    #[command(flatten)]
    mode: ModeArguments,
}

pub(super) fn back_up(arguments: &BackupArguments) -> Result<(), Failure> {
    let config = Config::check(&Environment::read(), arguments.mode.mode())?;
    let key = config.backup.sealing_key();
    let target = if arguments.path.is_dir() {
        arguments.path.join(backup::file_name(SystemClock.now(), key.is_some()))
    } else {
        arguments.path.clone()
    };
    let made = backup::back_up(&config.database_path, &target, key.as_ref()).map_err(Failure::failed)?;
    let encrypted = if made.sealed { "encrypted" } else { "not encrypted" };
    print(&format_args!(
        "{}  {} bytes, schema version {}, verified, {encrypted}\n",
        target.display(),
        made.bytes,
        made.schema
    ))
}

pub(super) fn restore(arguments: &RestoreArguments) -> Result<(), Failure> {
    let config = Config::check(&Environment::read(), arguments.mode.mode())?;
    let (key, now) = (config.backup.sealing_key(), SystemClock.now());
    let database = &config.database_path;
    let restored = backup::restore(&arguments.path, database, key.as_ref(), now).map_err(Failure::failed)?;
    let kept = restored.aside.as_deref().map_or_else(String::new, |aside| format!("\n{}", kept(aside)));
    print(&format_args!("{}  restored, schema version {}{kept}\n", database.display(), restored.schema))
}

fn kept(aside: &Path) -> String {
    format!("{}  is the database that was there before", aside.display())
}
