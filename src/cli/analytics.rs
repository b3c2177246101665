//! `gatehouse analytics verify` and `gatehouse analytics rebuild`: the daily counts of sign-ins against the events.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use gatehouse_actors::data::login_proof::{CompareLoginCounts, Comparison, RebuildLoginCounts};
use gatehouse_actors::engine::ReadOnly;
use gatehouse_actors::offline::{self, OfflineError};

use super::{Failure, ModeArguments, print};
use crate::config::{Config, Environment};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare the daily counts of sign-ins with the events they count; also while the service runs
    Verify(Database),
    /// Count the events anew and put the result in place of the daily counts; the service must be stopped
    Rebuild(Database),
}

#[derive(Debug, Args)]
struct Database {
    /// The database file; without it, the one of the settings
    #[arg(long, value_name = "PATH")]
    database: Option<PathBuf>,
    #[command(flatten)]
    mode: ModeArguments,
}

impl Database {
    fn path(&self) -> Result<PathBuf, Failure> {
        match &self.database {
            Some(path) => Ok(path.clone()),
            None => Ok(Config::check(&Environment::read(), self.mode.mode())?.database_path),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Verify(database) => verify(&database.path()?),
        Command::Rebuild(database) => {
            let path = database.path()?;
            if !path.is_file() {
                return Err(Failure::failed(format!("there is no database at {}", path.display())));
            }
            offline::write(&path, &RebuildLoginCounts).map_err(|error| match error {
                OfflineError::Refused(()) => Failure::failed("refused"),
                error => Failure::failed(error.to_string()),
            })?;
            verify(&path)
        }
    }
}

fn verify(path: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::failed(format!("cannot read {}: {error}", path.display()));
    let tables =
        ReadOnly::open(path).and_then(|mut database| database.ask(&CompareLoginCounts)).map_err(failed)?;
    print(&table(&tables))?;
    match tables.iter().map(|table| table.differences).sum::<i64>() {
        0 => Ok(()),
        wrong => Err(Failure::failed(format!(
            "{wrong} row(s) differ from a recount: stop the service and run gatehouse analytics rebuild"
        ))),
    }
}

fn table(tables: &[Comparison]) -> String {
    let mut text = String::new();
    for Comparison { table, rows, differences } in tables {
        let verdict = if *differences == 0 { "ok".to_owned() } else { format!("{differences} DIFFER") };
        let _ = writeln!(text, "{table:<24} {rows:>9} rows  {verdict}"); // cannot fail
    }
    text
}
