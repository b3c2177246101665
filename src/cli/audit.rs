//! `gatehouse audit verify`: proves offline that nobody changed, removed or swapped an entry of the audit log.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use gatehouse_actors::data::audit_log::{ChainReport, every_chain, prove_chain};
use gatehouse_actors::engine::ReadOnly;
use gatehouse_actors::error::StoreError;

use super::{Failure, ModeArguments, print};
use crate::config::{Config, Environment};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prove that no entry was changed, removed or swapped; also while the service runs
    Verify(Verify),
}

#[derive(Debug, Args)]
struct Verify {
    /// The database file; without it, the one of the settings
    #[arg(long, value_name = "PATH")]
    database: Option<PathBuf>,
    /// Only the chain of this organization
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// A head printed earlier. It must still be in the chain: only so is it seen when the end was cut off
    #[arg(long, value_name = "SLUG=HEX", value_parser = expected_head)]
    expect_head: Vec<(String, [u8; 32])>,
    #[command(flatten)]
    mode: ModeArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Command::Verify(verify) = &arguments.command;
    let path = match &verify.database {
        Some(path) => path.clone(),
        None => Config::check(&Environment::read(), verify.mode.mode())?.database_path,
    };
    let reports = prove(&path, verify)?;
    print(&table(&reports))?;
    match reports.iter().filter(|report| complaint(report).is_some()).count() {
        0 => Ok(()),
        broken => Err(Failure::failed(format!("the audit log is not whole: {broken} chain(s) broken"))),
    }
}

fn prove(path: &Path, verify: &Verify) -> Result<Vec<ChainReport>, Failure> {
    let failed = |error: StoreError| Failure::failed(format!("cannot read {}: {error}", path.display()));
    let mut database = ReadOnly::open(path).map_err(failed)?;
    let chains = every_chain(|question| database.ask(question)).map_err(failed)?;
    let named = verify.org.iter().chain(verify.expect_head.iter().map(|(slug, _)| slug));
    for slug in named {
        if !chains.iter().any(|(_, known)| known == slug) {
            return Err(Failure::failed(format!("there is no organization {slug} in {}", path.display())));
        }
    }
    let wanted = chains.into_iter().filter(|(_, slug)| verify.org.as_ref().is_none_or(|org| org == slug));
    wanted
        .map(|chain| {
            let expected: Vec<[u8; 32]> = verify
                .expect_head
                .iter()
                .filter(|(slug, _)| *slug == chain.1)
                .map(|(_, head)| *head)
                .collect();
            prove_chain(|question| database.ask(question), chain, &expected).map_err(failed)
        })
        .collect()
}

fn complaint(report: &ChainReport) -> Option<String> {
    if let Some(problem) = &report.broken {
        return Some(format!("BROKEN: {problem}"));
    }
    let cut = report.heads_missing > 0;
    cut.then(|| "BROKEN: an expected head is not in it, its end was cut off or rewritten".to_owned())
}

fn table(reports: &[ChainReport]) -> String {
    let mut text = String::new();
    for report in reports {
        let verdict = complaint(report).unwrap_or_else(|| "ok".to_owned());
        let ChainReport { slug, entries, head, .. } = report;
        let _ = writeln!(text, "{slug}  {entries} entries  head {}  {verdict}", hex(head)); // cannot fail
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

fn expected_head(text: &str) -> Result<(String, [u8; 32]), String> {
    let wrong = || "must be SLUG=HEX, with the 64 hexadecimal digits of a head".to_owned();
    let (slug, digits) = text.split_once('=').ok_or_else(wrong)?;
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut head = [0; 32];
    for (index, byte) in head.iter_mut().enumerate() {
        let pair = digits.get(2 * index..2 * index + 2).ok_or_else(wrong)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok((slug.to_owned(), head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_are_printed() {
        let head = [0xa7; 32];
        assert_eq!(expected_head(&format!("acme={}", hex(&head))), Ok(("acme".to_owned(), head)));
        for text in ["acme", "acme=", "acme=a7", &format!("acme={}", "+7".repeat(32))] {
            assert!(expected_head(text).is_err(), "{text}");
        }
    }
}
