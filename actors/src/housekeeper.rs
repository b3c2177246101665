//! Sweeps out what nobody needs any more: expired codes and tokens, sessions that have long been over, login events
//! beyond their retention.
//!
//! It works in rounds, in small pieces through the queue's back door: a piece is written when nothing else waits, and
//! after each the writer is left alone for as long as the piece took. Nothing relies on it for correctness.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, MessageResult,
    ResponseFuture, WrapFuture,
};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::commit_queue::{Background, CommitQueue, Stop};
use crate::data::housekeeping::{Chore, FindOld, Scattered, Sweep, SweepOld, Swept};
use crate::error::{OpError, StoreError};
use crate::guard::{DeathBell, Vital};
use crate::message::{Observe, Snapshot, WriteOp};
use crate::store::ReadLane;

const PERIOD: Duration = Duration::from_mins(1);
/// Rows that one piece looks at: enough to share an fsync, few enough to be done in a few milliseconds.
const PIECE: i64 = 500;
/// Pieces of what is scattered that one round looks at, of each kind.
const PIECES_OF_SCATTERED: usize = 20;
/// Bounds of the pause after a piece.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What may be swept out, and when.
#[derive(Clone)]
pub struct Housekeeping {
    /// Where "now" comes from.
    pub clock: Arc<dyn Clock>,
    /// How many whole days login events are kept, beside today.
    pub login_event_days: i64,
    /// How many days Stripe's events are kept after they were worked off.
    pub stripe_event_days: i64,
}

/// The async actor with the timer.
pub(crate) struct Housekeeper {
    broom: Broom,
    is_busy: bool,
    waiting: Vec<oneshot::Sender<()>>,
    _vital: Vital,
}

impl Housekeeper {
    pub(crate) fn new(
        queue: Addr<CommitQueue>,
        report: ReadLane,
        settings: Housekeeping,
        bell: &DeathBell,
    ) -> Self {
        let broom = Broom { queue, report, settings, figures: Arc::default() };
        Self { broom, is_busy: false, waiting: Vec::new(), _vital: Vital::new("housekeeper", bell) }
    }

    fn begin_round(&mut self, ctx: &mut Context<Self>) {
        if self.is_busy {
            return;
        }
        self.is_busy = true;
        let broom = self.broom.clone();
        let round = async move { broom.round().await }.into_actor(self).map(|outcome, actor, _ctx| {
            actor.is_busy = false;
            actor.broom.figures.note(&outcome);
            match outcome {
                Ok(0) => {}
                Ok(rows) => log::info!(rows = rows; "swept"),
                // What was not swept out now will be later.
                Err(error) => log::warn!(reason:% = error; "sweeping broken off"),
            }
            for asked in actor.waiting.drain(..) {
                let _ = asked.send(());
            }
        });
        ctx.spawn(round);
    }
}

impl Actor for Housekeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(PERIOD, Self::begin_round);
    }
}

/// Begins a round now, or joins the one that goes on, and answers at its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeepHouse;

impl Message for KeepHouse {
    type Result = ();
}

impl Handler<KeepHouse> for Housekeeper {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: KeepHouse, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        self.waiting.push(reply);
        self.begin_round(ctx);
        Box::pin(async move {
            let _ = answer.await;
        })
    }
}

impl Handler<Observe> for Housekeeper {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _ctx: &mut Self::Context) -> Self::Result {
        let mut figures = self.broom.figures.list();
        figures.push(("busy", u64::from(self.is_busy)));
        MessageResult(Snapshot { actor: "housekeeper", figures })
    }
}

impl Handler<Stop> for Housekeeper {
    type Result = ();

    /// A round that goes on ends between two pieces, or with the piece that the queue already has.
    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// A walk through a table, round by round.
#[derive(Debug, Default)]
struct Walk {
    /// The row that was looked at last.
    after: AtomicI64,
    swept: AtomicU64,
}

#[derive(Default)]
struct Figures {
    rounds: AtomicU64,
    failures: AtomicU64,
    pieces: AtomicU64,
    scattered: [Walk; Scattered::ALL.len()],
    chores: [Walk; Chore::ALL.len()],
}

impl Figures {
    fn note(&self, outcome: &Result<u64, StoreError>) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        if outcome.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn list(&self) -> Vec<(&'static str, u64)> {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let mut list = vec![
            ("rounds", read(&self.rounds)),
            ("failures", read(&self.failures)),
            ("pieces", read(&self.pieces)),
        ];
        let scattered = Scattered::ALL.iter().map(|kind| kind.name()).zip(&self.scattered);
        let chores = Chore::ALL.iter().map(|chore| chore.name()).zip(&self.chores);
        list.extend(scattered.chain(chores).map(|(name, walk)| (name, read(&walk.swept))));
        list
    }
}

/// What a round needs.
#[derive(Clone)]
struct Broom {
    queue: Addr<CommitQueue>,
    report: ReadLane,
    settings: Housekeeping,
    figures: Arc<Figures>,
}

impl Broom {
    /// Once through everything. Returns how many rows are gone.
    async fn round(&self) -> Result<u64, StoreError> {
        let mut rows = 0;
        for (chore, walk) in Chore::ALL.into_iter().zip(&self.figures.chores) {
            rows += self.sweep(chore, walk).await?;
        }
        for (kind, walk) in Scattered::ALL.into_iter().zip(&self.figures.scattered) {
            rows += self.sweep_old(kind, walk).await?;
        }
        Ok(rows)
    }

    /// The oldest ones, as long as some of them go, and then a piece further on than in the round before: rows of a
    /// clock that was ahead are old only later than those that came after them, and must not hold those up.
    async fn sweep(&self, chore: Chore, walk: &Walk) -> Result<u64, StoreError> {
        let (oldest, last) = self.sweep_from(0, chore, walk).await?;
        let after = walk.after.load(Ordering::Relaxed);
        let (further_on, last) =
            if after == 0 { (0, last) } else { self.sweep_from(after, chore, walk).await? };
        walk.after.store(last.unwrap_or_default(), Ordering::Relaxed);
        Ok(oldest + further_on)
    }

    /// Looks at one piece again and again, as long as some of it goes. Tells how many went, and where it ends.
    async fn sweep_from(
        &self,
        after: i64,
        chore: Chore,
        walk: &Walk,
    ) -> Result<(u64, Option<i64>), StoreError> {
        let Housekeeping { clock, login_event_days, .. } = &self.settings;
        let mut all = 0;
        loop {
            let sweep =
                Sweep { chore, after, limit: PIECE, login_event_days: *login_event_days, now: clock.now() };
            let Swept { rows, last } = self.write(sweep).await?;
            if rows == 0 {
                return Ok((all, last));
            }
            walk.swept.fetch_add(rows as u64, Ordering::Relaxed);
            all += rows as u64;
        }
    }

    /// A few pieces; the next round goes on after them.
    async fn sweep_old(&self, kind: Scattered, walk: &Walk) -> Result<u64, StoreError> {
        let Housekeeping { clock, stripe_event_days, .. } = &self.settings;
        let mut rows = 0;
        for _ in 0..PIECES_OF_SCATTERED {
            let before = kind.old_before(*stripe_event_days, clock.now());
            let after = walk.after.load(Ordering::Relaxed);
            let found = self.report.ask(FindOld { kind, after, limit: PIECE, before }).await?;
            walk.after.store(found.last.unwrap_or_default(), Ordering::Relaxed);
            if found.last.is_none() {
                break;
            }
            if !found.ids.is_empty() {
                let swept = self.write(SweepOld { kind, ids: found.ids, before }).await? as u64;
                walk.swept.fetch_add(swept, Ordering::Relaxed);
                rows += swept;
            }
        }
        Ok(rows)
    }

    /// Writes a piece, then leaves the writer alone for as long as that took.
    async fn write<C: WriteOp<Refused = ()>>(&self, piece: C) -> Result<C::Output, StoreError> {
        let begun = Instant::now();
        let written = self.queue.send(Background(piece)).await;
        self.figures.pieces.fetch_add(1, Ordering::Relaxed);
        sleep(begun.elapsed().clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
        match written {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(OpError::Store(error))) => Err(error),
            Ok(Err(OpError::Refused(()))) => Err(StoreError::Failed("a sweep was refused".to_owned())),
            Err(_) => Err(StoreError::Closed),
        }
    }
}
