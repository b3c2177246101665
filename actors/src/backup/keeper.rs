//! Makes a backup whenever one is due, and keeps as many as it is told to.
//!
//! The copy is made on a thread of its own by a connection of its own, which reads one snapshot: writers go on
//! meanwhile. When the newest one was made is read from the names in the folder, so it does not matter who made it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, MessageResult, WrapFuture};

use super::files::{begun_at, file_name, made_at};
use super::sealing::BackupKey;
use super::{BackupError, Made, back_up};
use crate::clock::{Clock, Millis};
use crate::commit_queue::Stop;
use crate::guard::{DeathBell, Vital};
use crate::message::{Observe, Snapshot};

/// How often it looks whether a backup is due.
const PERIOD: Duration = Duration::from_secs(10);
/// Nothing takes longer to be made, in milliseconds.
const LONGEST: u64 = 60 * 60 * 1000;
/// How long it waits after a failure.
const REST_MILLIS: Millis = 60_000;

/// Which backups are made, and where.
#[derive(Clone)]
pub struct BackupPlan {
    /// The folder. It is created when missing.
    pub folder: PathBuf,
    /// How old the newest one becomes before another is made.
    pub every: Duration,
    /// How many are kept.
    pub keep: usize,
    /// Encrypts them.
    pub key: Option<BackupKey>,
    /// Where "now" comes from.
    pub clock: Arc<dyn Clock>,
}

/// The async actor with the timer.
pub(crate) struct BackupKeeper {
    database: PathBuf,
    plan: BackupPlan,
    in_flight: bool,
    not_before: Millis,
    made: u64,
    failures: u64,
    last_made_at: u64,
    last_bytes: u64,
    last_millis: u64,
    _vital: Vital,
}

impl BackupKeeper {
    pub(crate) fn new(database: PathBuf, plan: BackupPlan, bell: &DeathBell) -> Self {
        let vital = Vital::new("backup keeper", bell);
        Self {
            database,
            plan,
            in_flight: false,
            not_before: Millis::MIN,
            made: 0,
            failures: 0,
            last_made_at: 0,
            last_bytes: 0,
            last_millis: 0,
            _vital: vital,
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = self.plan.clock.now();
        // A rest that ends further away than it may last means that the clock was set back.
        if self.in_flight || (1..=REST_MILLIS).contains(&self.not_before.saturating_sub(now)) {
            return;
        }
        self.in_flight = true;
        let (database, plan) = (self.database.clone(), self.plan.clone());
        let work = actix::spawn(async move {
            // The copy blocks for as long as the disk takes: off the arbiter, which has timers to serve.
            tokio::task::spawn_blocking(move || {
                let begun = Instant::now();
                make_when_due(&database, &plan, now).map(|made| made.map(|made| (made, begun.elapsed())))
            })
            .await
        });
        let done = work.into_actor(self).map(move |outcome, actor, _ctx| {
            actor.in_flight = false;
            match outcome.and_then(|outcome| outcome) {
                Ok(Ok(Some((made, took)))) => actor.note(made, took, now),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => actor.failed(&error, now),
                Err(error) => actor.failed(&error, now),
            }
        });
        ctx.spawn(done);
    }

    fn note(&mut self, made: Made, took: Duration, now: Millis) {
        self.made += 1;
        self.last_made_at = u64::try_from(now).unwrap_or_default();
        self.last_bytes = made.bytes;
        self.last_millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        log::info!(bytes = made.bytes, millis = self.last_millis, sealed = made.sealed; "backup made");
    }

    fn failed(&mut self, error: &dyn std::fmt::Display, now: Millis) {
        self.failures += 1;
        self.not_before = now.saturating_add(REST_MILLIS);
        log::error!(reason:% = error, failures = self.failures; "backup failed");
    }
}

/// Makes a backup unless the newest one is young enough, then removes those beyond the number to keep.
///
/// After the clock was set back there may be some from the future. They neither keep the next one from being made nor
/// count among those to keep, or they would push out every one that is made until their time has come.
fn make_when_due(database: &Path, plan: &BackupPlan, now: Millis) -> Result<Option<Made>, BackupError> {
    fs::create_dir_all(&plan.folder).map_err(BackupError::file(&plan.folder))?;
    let every = Millis::try_from(plan.every.as_millis()).unwrap_or(Millis::MAX);
    let newest = names_until(plan, now)?.last().and_then(|name| made_at(name));
    if newest.is_some_and(|newest| now < newest.saturating_add(every)) {
        return Ok(None);
    }
    let target = plan.folder.join(file_name(now, plan.key.is_some()));
    if target.exists() {
        return Ok(None);
    }
    remove_leftovers(plan, now)?;
    let made = back_up(database, &target, plan.key.as_ref())?;
    let names = names_until(plan, now)?;
    for name in names.iter().take(names.len().saturating_sub(plan.keep.max(1))) {
        let path = plan.folder.join(name);
        fs::remove_file(&path).map_err(BackupError::file(&path))?;
    }
    Ok(Some(made))
}

/// Removes what a process that was killed left of a backup. One that is being made by a command is younger.
fn remove_leftovers(plan: &BackupPlan, now: Millis) -> Result<(), BackupError> {
    let entries = fs::read_dir(&plan.folder).map_err(BackupError::file(&plan.folder))?;
    for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        if begun_at(&name).is_some_and(|begun| begun.abs_diff(now) > LONGEST) {
            let path = plan.folder.join(&name);
            fs::remove_file(&path).map_err(BackupError::file(&path))?;
        }
    }
    Ok(())
}

/// The backups in the folder up to the present moment, the oldest first. Other files are none of ours.
fn names_until(plan: &BackupPlan, now: Millis) -> Result<Vec<String>, BackupError> {
    let entries = fs::read_dir(&plan.folder).map_err(BackupError::file(&plan.folder))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| made_at(name).is_some_and(|made| made <= now))
        .collect();
    names.sort_unstable();
    Ok(names)
}

impl Actor for BackupKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.tick(ctx);
        ctx.run_interval(PERIOD, Self::tick);
    }
}

impl Handler<Observe> for BackupKeeper {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _ctx: &mut Self::Context) -> Self::Result {
        MessageResult(Snapshot {
            actor: "backup_keeper",
            figures: vec![
                ("made", self.made),
                ("failures", self.failures),
                ("last_made_at", self.last_made_at),
                ("last_bytes", self.last_bytes),
                ("last_millis", self.last_millis),
            ],
        })
    }
}

impl Handler<Stop> for BackupKeeper {
    type Result = ();

    /// A copy that is being made is given up with the process; what it has written is removed by the next one.
    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
