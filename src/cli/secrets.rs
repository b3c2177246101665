//! `gatehouse secrets reencrypt`: after a change of `JWT_SECRET` or `ENCRYPTION_KEY`, seals what is stored with the new
//! one, so that the old one can be forgotten. Offline: the service is stopped meanwhile.
#![allow(clippy::doc_markdown)] // comments on arguments are the help that a terminal shows, without markup

use std::sync::Arc;

use clap::{Args, Subcommand};
use gatehouse_actors::engine::Maintenance;
use gatehouse_actors::error::OpError;

use super::{Failure, ModeArguments, print};
use crate::config::{Config, Environment};
use crate::crypto::random::Random;
use crate::crypto::reseal;
use crate::crypto::root::RootKeys;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Seal every stored secret with the present JWT_SECRET and the first ENCRYPTION_KEY. Stop the service first and
    /// give the old value as JWT_SECRET_PREVIOUS, or as a later ENCRYPTION_KEY. It may be repeated
    Reencrypt(ModeArguments),
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Command::Reencrypt(mode) = arguments.command;
    let config = Config::check(&Environment::read(), mode.mode())?;
    let keys = Arc::new(RootKeys::of(&config));
    let random = Random::default();
    let mut database = Maintenance::alone(&config.database_path).map_err(Failure::failed)?;
    let mut unreadable = 0;
    for sealed in reseal::ALL {
        let counts = database.change(&sealed.reseal(&keys, &random)).map_err(|error| match error {
            OpError::Store(error) => Failure::failed(error),
            OpError::Refused(()) => Failure::failed("refused"),
        })?;
        unreadable += counts.unreadable;
        print(&format_args!(
            "{}  {} sealed anew, {} were current, {} unreadable\n",
            sealed.column.name, counts.resealed, counts.current, counts.unreadable
        ))?;
    }
    if unreadable == 0 {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "{unreadable} stored secret(s) open with no key that is given: set the old JWT_SECRET as JWT_SECRET_PREVIOUS, add the \
         old key to ENCRYPTION_KEY, and run this again"
    )))
}
