//! `gatehouse billing`: compare with Stripe, apply events once more. Works on a running service and on one that does
//! not run: the database has one process, so a running one is asked to do it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use actix_web::rt::System;
use clap::{Args, Subcommand};
use gatehouse_actors::clock::{Clock, Millis, SystemClock};
use gatehouse_actors::data::stripe_inbox::Replay;
use gatehouse_actors::engine::migrate::MigrateError;
use gatehouse_actors::store::Store;
use gatehouse_actors::system::StartError;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;

use super::http::Http;
use super::{Failure, ModeArguments, healthcheck, print};
use crate::billing::operations;
use crate::config::{Config, Environment};
use crate::crypto::random::Random;
use crate::crypto::root::RootKeys;
use crate::http::operator::authorization;
use crate::server::start_actors;

/// Comparing thousands of subscriptions takes a while.
const PATIENCE: Duration = Duration::from_mins(30);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare every live subscription with Stripe and repair what differs
    Reconcile(Reconcile),
    /// Apply events from the inbox once more; what was applied already changes nothing
    Replay(ReplayArguments),
}

#[derive(Debug, Args)]
struct Reconcile {
    #[command(flatten)]
    mode: ModeArguments,
}

#[derive(Debug, Args)]
struct ReplayArguments {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    mode: ModeArguments,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The event with this id
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// All that came at or after this time, such as 2026-11-25T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Millis>,
    /// All that failed too often
    #[arg(long)]
    dead: bool,
}

fn moment(text: &str) -> Result<Millis, String> {
    let wrong = |_| "must be a time such as 2026-11-25T08:00:00Z".to_owned();
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(wrong)?;
    Ok(time.unix_timestamp().saturating_mul(1000))
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Reconcile(reconcile) => {
            let answer = perform(reconcile.mode, "reconcile", async |store: Store| {
                Ok(operations::report(&store.reconcile_stripe().await?))
            })?;
            print(&told(&answer))?;
            let failures = answer.get("failures").and_then(Value::as_array).map_or(0, Vec::len);
            match (failures, answer.get("accounts").and_then(Value::as_u64)) {
                (0, Some(0)) => {
                    Err(Failure::failed("there is no Stripe key to compare with: set STRIPE_SECRET_KEY"))
                }
                (0, _) => Ok(()),
                (count, _) => Err(Failure::failed(format!("{count} account(s) could not be compared"))),
            }
        }
        Command::Replay(replay) => {
            let (which, query) = match &replay.which {
                Which { event: Some(id), .. } => (
                    Replay::Event(id.clone()),
                    url::form_urlencoded::Serializer::new(String::new()).append_pair("event", id).finish(),
                ),
                Which { since: Some(moment), .. } => (Replay::Since(*moment), format!("since={moment}")),
                Which { .. } => (Replay::Dead, "dead=true".to_owned()),
            };
            let answer = perform(replay.mode, &format!("replay?{query}"), async |store: Store| {
                Ok(json!({ "replayed": store.replay_stripe(which).await? }))
            })?;
            let count = answer.get("replayed").and_then(Value::as_u64).unwrap_or_default();
            print(&format_args!("{count} event(s) applied once more\n"))
        }
    }
}

/// Does the work on the database, or has the running service do it.
fn perform(
    mode: ModeArguments,
    action: &str,
    work: impl AsyncFnOnce(Store) -> Result<Value, gatehouse_actors::error::StoreError>,
) -> Result<Map<String, Value>, Failure> {
    let config = Config::check(&Environment::read(), mode.mode())?;
    let keys = RootKeys::of(&config);
    System::new().block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        match start_actors(&config, &Random::default(), &keys, &clock) {
            Ok(actors) => {
                let outcome = work(actors.store()).await;
                actors.stop().await;
                let Value::Object(answer) = outcome.map_err(Failure::failed)? else { return Ok(Map::new()) };
                Ok(answer)
            }
            Err(StartError::Migrate(MigrateError::InUse(_))) => ask_running(&keys, &*clock, action).await,
            Err(error) => Err(Failure::failed(error)),
        }
    })
}

async fn ask_running(
    keys: &RootKeys,
    clock: &dyn Clock,
    action: &str,
) -> Result<Map<String, Value>, Failure> {
    let url: Url =
        healthcheck::own_address()?.join(&format!("/internal/billing/{action}")).map_err(Failure::failed)?;
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let credential = authorization(&keys.operator, "POST", &target, clock.now());
    let answer =
        Http::of_this_machine(PATIENCE).post_empty(&url, &credential).await.map_err(Failure::failed)?;
    match (answer.status, answer.object()) {
        (200, Some(object)) => Ok(object),
        (status, object) => {
            let told = object.and_then(|object| object.get("error")?.as_str().map(ToOwned::to_owned));
            let told = told.unwrap_or_else(|| "no reason given".to_owned());
            Err(Failure::failed(format!("the running service answered with status {status}: {told}")))
        }
    }
}

fn told(answer: &Map<String, Value>) -> String {
    let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
    let mut text = format!(
        "{} account(s), {} subscription(s) compared, {} repaired\n",
        number("accounts"),
        number("compared"),
        number("repaired")
    );
    let list = |name: &str| answer.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    for repair in list("repairs") {
        let word = |name: &str| repair.get(name).and_then(Value::as_str).unwrap_or("unknown").to_owned();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}: {} -> {}", word("subscription"), word("before"), word("after"));
    }
    for failure in list("failures") {
        let _ = writeln!(text, "  FAILED {}", failure.as_str().unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(1_000));
        assert!(moment("yesterday").is_err());
    }
}
