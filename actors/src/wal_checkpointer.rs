//! Keeps the write-ahead log short: every ten seconds, when it has frames, it is moved into the database file and cut.
//!
//! The work goes through the commit queue to the writer, so a checkpoint and a batch never fight for the lock.

use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, MessageResult, WrapFuture,
};

use crate::commit_queue::{Checkpoint, CommitQueue, Stop};
use crate::engine::Engine;
use crate::guard::{DeathBell, Vital};
use crate::message::{Observe, Snapshot};

const PERIOD: Duration = Duration::from_secs(10);

/// The async actor with the timer.
pub(crate) struct WalCheckpointer {
    engine: Engine,
    queue: Addr<CommitQueue>,
    in_flight: bool,
    checkpoints: u64,
    failures: u64,
    _vital: Vital,
}

impl WalCheckpointer {
    pub(crate) fn new(engine: Engine, queue: Addr<CommitQueue>, bell: &DeathBell) -> Self {
        let vital = Vital::new("wal checkpointer", bell);
        Self { engine, queue, in_flight: false, checkpoints: 0, failures: 0, _vital: vital }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.in_flight || self.engine.log_length() == 0 {
            return;
        }
        self.in_flight = true;
        let done = self.queue.send(Checkpoint).into_actor(self).map(|outcome, actor, _ctx| {
            actor.in_flight = false;
            match outcome {
                Ok(Ok(true)) => actor.checkpoints += 1,
                // A long reader still needs the log: the next tick tries again.
                Ok(Ok(false)) => log::debug!("log kept by a reader"),
                Ok(Err(error)) => {
                    actor.failures += 1;
                    log::warn!(reason:% = error; "checkpoint failed");
                }
                Err(error) => log::debug!(reason:% = error; "commit queue is closed"),
            }
        });
        ctx.spawn(done);
    }
}

impl Actor for WalCheckpointer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(PERIOD, Self::tick);
    }
}

impl Handler<Observe> for WalCheckpointer {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _ctx: &mut Self::Context) -> Self::Result {
        MessageResult(Snapshot {
            actor: "wal_checkpointer",
            figures: vec![
                ("checkpoints", self.checkpoints),
                ("failures", self.failures),
                ("log_bytes", self.engine.log_length()),
                ("database_bytes", self.engine.length()),
            ],
        })
    }
}

impl Handler<Stop> for WalCheckpointer {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
