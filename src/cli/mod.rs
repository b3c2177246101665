//! The command line: what a person types, and the exit code that a script sees.

mod analytics;
mod audit;
mod backup;
mod billing;
mod check_config;
mod dev;
mod healthcheck;
mod http;
mod keys;
mod login;
mod secrets;
mod serve;

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::config::{Mode, Problems};
use crate::telemetry;

const EXAMPLES: &str = "\
Examples:
  gatehouse serve --dev           try it: demo data, demo app, a provider that lets you sign in as anybody
  gatehouse check-config          say what is wrong with the settings, and what to set
  gatehouse serve                 serve with the settings of the environment and of .env
  gatehouse login --issuer http://127.0.0.1:3000 --client-id demo-cli

Without a command, gatehouse serves.

Exit codes:
  0    done
  1    failed
  2    wrong arguments
  70   the service stopped because a part of it died; start it again
  78   the configuration is wrong
  130  interrupted";

/// Sign-in, organizations and entitlements in one service.
#[derive(Debug, Parser)]
#[command(name = "gatehouse", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C, then finish the requests in flight
    Serve(ModeArguments),
    /// Check the settings without starting anything
    CheckConfig(ModeArguments),
    /// Ask the service on this machine whether it is ready
    Healthcheck(healthcheck::Arguments),
    /// Sign in from this terminal, with a code that is typed into a browser
    Login(login::Arguments),
    /// Prove the daily counts of sign-ins, or count them anew
    Analytics(analytics::Arguments),
    /// Prove the audit log
    Audit(audit::Arguments),
    /// Copy the database to a file, also while the service runs
    Backup(backup::BackupArguments),
    /// Compare subscriptions with Stripe, or apply its events once more
    Billing(billing::Arguments),
    /// Help for developers; needs a server in dev mode
    Dev(dev::Arguments),
    /// List, rotate or retire the keys that sign tokens
    Keys(keys::Arguments),
    /// Put a backup in the place of the database; stop the service first
    Restore(backup::RestoreArguments),
    /// Seal stored secrets anew after one of the keys that seal them changed
    Secrets(secrets::Arguments),
    /// Print the version
    Version,
}

#[derive(Debug, Default, Clone, Copy, Args)]
struct ModeArguments {
    /// Dev mode: loopback only, secrets below ./data, demo data, a provider that lets anybody in
    #[arg(long)]
    dev: bool,
}

impl ModeArguments {
    fn mode(self) -> Mode {
        if self.dev { Mode::Dev } else { Mode::Production }
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
enum Failure {
    /// The settings are wrong. `EX_CONFIG` of sysexits.h.
    Configuration(Problems),
    /// The service broke inside. `EX_SOFTWARE` of sysexits.h.
    Internal(Box<dyn Error>),
    /// Ctrl-C, as shells count it: 128 and the signal's number.
    Interrupted,
    /// Anything else.
    Failed(Box<dyn Error>),
}

impl Failure {
    fn failed(error: impl Into<Box<dyn Error>>) -> Self {
        Self::Failed(error.into())
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Internal(_) => 70,
            Self::Configuration(_) => 78,
            Self::Interrupted => 130,
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Configuration(problems)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(error)
    }
}

/// Does what the process's arguments say.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, not errors; clap writes each to where it belongs.
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let _ = error.print(); // a closed pipe leaves nobody to tell
            return ExitCode::from(if asked { 0 } else { 2 });
        }
    };
    match run(arguments.command.unwrap_or(Command::Serve(ModeArguments::default()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = explain(&failure, &mut io::stderr()); // as above
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(arguments) => serve::run(arguments.mode()),
        Command::CheckConfig(arguments) => check_config::run(arguments.mode()),
        Command::Healthcheck(arguments) => healthcheck::run(&arguments),
        Command::Login(arguments) => login::run(&arguments),
        Command::Analytics(arguments) => analytics::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Backup(arguments) => backup::back_up(&arguments),
        Command::Billing(arguments) => billing::run(&arguments),
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Keys(arguments) => keys::run(&arguments),
        Command::Restore(arguments) => backup::restore(&arguments),
        Command::Secrets(arguments) => secrets::run(&arguments),
        Command::Version => print(&format_args!("gatehouse {}\n", env!("CARGO_PKG_VERSION"))),
    }
}

fn explain(failure: &Failure, out: &mut dyn Write) -> io::Result<()> {
    match failure {
        Failure::Configuration(problems) => writeln!(out, "{problems}"),
        Failure::Internal(error) | Failure::Failed(error) => telemetry::print_failure(out, &**error),
        Failure::Interrupted => writeln!(out, "\ninterrupted"),
    }
}

/// Writes a command's answer to stdout, where scripts read it.
fn print(text: &dyn fmt::Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_command_means_serve() {
        assert!(Arguments::try_parse_from(["gatehouse"]).unwrap().command.is_none());
        let parsed = Arguments::try_parse_from(["gatehouse", "serve", "--dev"]).unwrap();
        assert!(matches!(parsed.command, Some(Command::Serve(ModeArguments { dev: true }))));
    }

    #[test]
    fn exit_codes_are_those_of_the_help() {
        let codes = [
            Failure::failed("x").exit_code(),
            Failure::Internal("x".into()).exit_code(),
            Failure::Configuration(Problems::default()).exit_code(),
            Failure::Interrupted.exit_code(),
        ];
        assert_eq!(codes, [1, 70, 78, 130]);
        for code in codes {
            assert!(EXAMPLES.contains(&format!("\n  {code} ")), "{code}");
        }
    }
}
