//! `gatehouse keys`: lists the signing keys, publishes the next one, withdraws one. It works on the database, also
//! while the service runs: the service notices within seconds.
#![allow(clippy::doc_markdown)] // comments on arguments are the help that a terminal shows, without markup

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use gatehouse_actors::clock::{Clock, Millis, SystemClock};
use gatehouse_actors::data::audit::AuditContext;
use gatehouse_actors::data::client_registration::SigningAlgorithm;
use gatehouse_actors::data::signing_keys::{
    KEY_LEAD, KeyState, RotateKeyRefusal, RotateSigningKey, SealedSigningKey, SigningKeys,
    WithdrawKeyRefusal, WithdrawSigningKey, state,
};
use gatehouse_actors::engine::Maintenance;
use gatehouse_actors::error::OpError;

use super::{Failure, ModeArguments, print};
use crate::config::{Config, Environment};
use crate::crypto::random::Random;
use crate::crypto::root::RootKeys;
use crate::crypto::signing_key::{SigningKey, generate};
use crate::state::rfc3339;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show every signing key and what it is good for
    List(ModeArguments),
    /// Publish the next key; it signs ten minutes later, and the present one verifies until its last token has died
    Rotate(Rotate),
    /// Withdraw a key at once, because somebody else may have it: every token that it signed is void
    Retire(Retire),
}

#[derive(Debug, Args)]
struct Rotate {
    /// Only this algorithm: ES256, RS256 or EdDSA. Without it, every algorithm
    #[arg(long, value_name = "ALG", value_parser = algorithm)]
    alg: Option<SigningAlgorithm>,
    #[command(flatten)]
    mode: ModeArguments,
}

#[derive(Debug, Args)]
struct Retire {
    /// The kid of the key, as `keys list` shows it
    #[arg(value_name = "KID")]
    key_id: String,
    /// Also when the key is the one that signs; another takes its place at once
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    mode: ModeArguments,
}

fn algorithm(name: &str) -> Result<SigningAlgorithm, String> {
    SigningAlgorithm::parse(name).ok_or_else(|| "must be ES256, RS256 or EdDSA".to_owned())
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::List(mode) => list(*mode),
        Command::Rotate(rotate) => rotate.run(),
        Command::Retire(retire) => retire.run(),
    }
}

/// The database and what is needed to make a key for it.
struct Desk {
    database: Maintenance,
    keys: RootKeys,
    random: Random,
    now: Millis,
}

impl Desk {
    fn open(mode: ModeArguments) -> Result<Self, Failure> {
        let config = Config::check(&Environment::read(), mode.mode())?;
        let keys = RootKeys::of(&config);
        let database = Maintenance::beside(&config.database_path).map_err(Failure::failed)?;
        Ok(Self { database, keys, random: Random::default(), now: SystemClock.now() })
    }

    fn stored(&mut self) -> Result<Vec<SealedSigningKey>, Failure> {
        self.database.ask(&SigningKeys).map_err(Failure::failed)
    }

    /// A key that the running service can open: those that are there open here as well.
    fn mint(&mut self, algorithm: SigningAlgorithm, signs_from: Millis) -> Result<SealedSigningKey, Failure> {
        let sealer = &self.keys.signing_keys;
        for known in self.database.ask(&SigningKeys).map_err(Failure::failed)? {
            SigningKey::open(sealer, &known).map_err(Failure::failed)?;
        }
        generate(&self.random, sealer, algorithm, (self.now, signs_from)).map_err(Failure::failed)
    }

    fn audit(&self) -> AuditContext {
        AuditContext {
            entry_public_id: self.random.uuid(self.now),
            actor_user_id: None,
            ip_address: String::new(),
            user_agent: "gatehouse keys".to_owned(),
            now: self.now,
        }
    }
}

fn list(mode: ModeArguments) -> Result<(), Failure> {
    let mut desk = Desk::open(mode)?;
    let keys = desk.stored()?;
    let mut text = format!("{:<18}{:<7}{:<10}{:<26}SIGNS FROM\n", "KID", "ALG", "STATE", "PUBLISHED");
    for (index, key) in keys.iter().enumerate() {
        let state = state(&keys, index, desk.now).as_str();
        let (published, signs_from) = (rfc3339(key.created_at), rfc3339(key.signs_from));
        let algorithm = key.algorithm.as_str();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<18}{algorithm:<7}{state:<10}{published:<26}{signs_from}", key.key_id);
    }
    print(&text)
}

impl Rotate {
    fn run(&self) -> Result<(), Failure> {
        let mut desk = Desk::open(self.mode)?;
        let algorithms = self.alg.map_or(SigningAlgorithm::ALL.to_vec(), |algorithm| vec![algorithm]);
        for algorithm in algorithms {
            let key = desk.mint(algorithm, desk.now + KEY_LEAD)?;
            let (key_id, signs_from) = (key.key_id.clone(), key.signs_from);
            let audit = desk.audit();
            match desk.database.change(&RotateSigningKey { key, audit }) {
                Ok(()) => {
                    let from = rfc3339(signs_from);
                    print(&format_args!(
                        "{}: {key_id} is published now and signs from {from}\n",
                        algorithm.as_str()
                    ))?;
                }
                Err(OpError::Refused(RotateKeyRefusal::NextIsWaiting(from))) => {
                    let from = rfc3339(from);
                    print(&format_args!(
                        "{}: the next key is published already and signs from {from}\n",
                        algorithm.as_str()
                    ))?;
                }
                Err(OpError::Store(error)) => return Err(Failure::failed(error)),
            }
        }
        Ok(())
    }
}

impl Retire {
    fn run(&self) -> Result<(), Failure> {
        let mut desk = Desk::open(self.mode)?;
        let keys = desk.stored()?;
        let known = keys.iter().enumerate().find(|(_, key)| key.key_id == self.key_id);
        let Some((index, key)) = known else { return Err(unknown()) };
        if state(&keys, index, desk.now) == KeyState::Active && !self.force {
            return Err(Failure::failed(
                "this key signs at the moment, and everybody who holds a token of it has to refresh it: run gatehouse keys \
                 rotate for an orderly change, or add --force because somebody else may have the key",
            ));
        }
        let replacement = desk.mint(key.algorithm, desk.now)?;
        let withdraw = WithdrawSigningKey { key_id: self.key_id.clone(), replacement, audit: desk.audit() };
        match desk.database.change(&withdraw) {
            Ok(was) => print(&format_args!("{} was {} and is retired\n", self.key_id, was.as_str())),
            Err(OpError::Refused(WithdrawKeyRefusal::Unknown)) => Err(unknown()),
            Err(OpError::Refused(WithdrawKeyRefusal::RetiredAlready)) => {
                Err(Failure::failed("this key is retired already"))
            }
            Err(OpError::Store(error)) => Err(Failure::failed(error)),
        }
    }
}

fn unknown() -> Failure {
    Failure::failed("there is no key of this kid: run gatehouse keys list")
}
