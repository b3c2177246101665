//! The two verbs: `read` a question, `write` a change. Admission and time budgets are here and nowhere else.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler};
use prometheus::IntCounter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::backup::keeper::BackupKeeper;
use crate::bulletin::Bulletin;
use crate::commit_queue::CommitQueue;
use crate::data::stripe_inbox::{Replay, StoreStripeEvent};
use crate::device_code_batcher::{DeviceCodeBatches, Issue, IssueDeviceCode, IssuedDeviceCode};
use crate::error::{OpError, StoreError};
use crate::guard::DeathBell;
use crate::housekeeper::{Housekeeper, KeepHouse};
use crate::line::Line;
use crate::memory::{Lease, Memory, Recall};
use crate::message::{Lane, Observe, ReadOp, Snapshot, WriteOp};
use crate::meters::{LaneMeters, Meters};
use crate::outbox::Outbox;
use crate::reader::Desk;
use crate::resealer::Resealer;
use crate::stripe_event_actor::{Again, Arrivals, Nudge, Reconcile, ReconcileReport, StripeEventActor};
use crate::token_refresher::TokenRefresher;
use crate::wal_checkpointer::WalCheckpointer;
use crate::writer_state::WriterState;

/// How long a request waits for a place before it is told to come back.
const ADMISSION_BUDGET: Duration = Duration::from_secs(2);

/// How long an actor may take to tell about itself.
const OBSERVATION_BUDGET: Duration = Duration::from_secs(1);

/// Reads admitted per lane: enough to keep the readers busy, few enough to keep the wait short.
pub(crate) const READ_PERMITS: usize = 512;
/// Writes admitted: four full batches.
pub(crate) const WRITE_PERMITS: usize = 1024;

/// One lane of readers with its own admission: the list of questions has no bound, so the bound is here.
#[derive(Clone)]
pub(crate) struct ReadLane {
    pub(crate) desk: Arc<Desk>,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) meters: LaneMeters,
}

impl ReadLane {
    /// Asks a question in this lane.
    pub(crate) fn ask<Q: ReadOp>(
        &self,
        question: Q,
    ) -> impl Future<Output = Result<Q::Output, StoreError>> + use<Q> {
        let lane = self.clone();
        async move {
            let permit = admit(&lane.permits, &lane.meters.refused).await?;
            lane.ask_admitted(question, permit).await
        }
    }

    /// The same for who has a place.
    pub(crate) async fn ask_admitted<Q: ReadOp>(
        &self,
        question: Q,
        permit: OwnedSemaphorePermit,
    ) -> Result<Q::Output, StoreError> {
        self.desk.0.ask(question, permit).await.unwrap_or(Err(StoreError::Closed))
    }
}

/// What a handler holds. Cheap to clone, one per process.
#[derive(Clone)]
pub struct Store {
    pub(crate) fast: ReadLane,
    pub(crate) report: ReadLane,
    pub(crate) queue: Addr<CommitQueue>,
    pub(crate) line: Arc<Line>,
    pub(crate) write_permits: Arc<Semaphore>,
    pub(crate) device_codes: DeviceCodeBatches,
    pub(crate) checkpointer: Addr<WalCheckpointer>,
    pub(crate) housekeeper: Addr<Housekeeper>,
    /// Set once what refreshes tokens is there.
    pub(crate) refresher: Arc<OnceLock<Addr<TokenRefresher>>>,
    /// Set when backups are made.
    pub(crate) backup_keeper: Arc<OnceLock<Addr<BackupKeeper>>>,
    /// Set once it is known what is sealed how.
    pub(crate) resealer: Arc<OnceLock<Addr<Resealer>>>,
    pub(crate) stripe: Addr<StripeEventActor>,
    pub(crate) stripe_arrivals: Arc<Arrivals>,
    pub(crate) outbox: Addr<Outbox>,
    pub(crate) bulletin: Bulletin,
    pub(crate) bell: DeathBell,
    pub(crate) writer_state: Arc<WriterState>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) meters: Meters,
}

impl Store {
    /// Asks a question.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when no reader has room within two seconds.
    pub async fn read<Q: ReadOp>(&self, question: Q) -> Result<Q::Output, StoreError> {
        let lane = match Q::LANE {
            Lane::Fast => &self.fast,
            Lane::Report => &self.report,
        };
        lane.ask(question).await
    }

    /// Asks a question whose answers are kept in memory. An answer is never older than the last change that anybody was
    /// told of; what another process changes by itself is seen within 50 ms.
    pub async fn recall<Q: Recall>(&self, question: Q) -> Result<Option<Arc<Q::Answer>>, StoreError> {
        let (shelf, freshness) = (Q::shelf(&self.memory), &self.memory.freshness);
        let lease = freshness.lease();
        if lease != Lease::Good && freshness.begin_look() {
            match self.line.look() {
                None => freshness.end_look(),
                Some(looked) => {
                    let freshness = Arc::clone(freshness);
                    actix::spawn(async move {
                        let _ = looked.await;
                        freshness.end_look();
                    });
                }
            }
        }
        if lease != Lease::Over
            && let Some(answer) = shelf.find(&question, freshness)
        {
            return Ok(Some(answer));
        }
        let told = freshness.told();
        let Some(answer) = self.read(question.clone()).await?.map(Arc::new) else { return Ok(None) };
        let stamp = freshness.stamp(&Q::facts(&answer));
        // A commit in the meantime may have come before or after what was read.
        if freshness.told() == told {
            shelf.keep(question, &answer, stamp);
        }
        Ok(Some(answer))
    }

    /// Makes a change. The answer comes after COMMIT, or says that nothing was written.
    ///
    /// # Errors
    /// [`OpError::Refused`] with the operation's own reason, or [`OpError::Store`].
    pub async fn write<C: WriteOp>(&self, change: C) -> Result<C::Output, OpError<C::Refused>> {
        let permit = Some(admit(&self.write_permits, &self.meters.writes_refused).await?);
        self.line.write(change, permit).await.unwrap_or(Err(OpError::Store(StoreError::Closed)))
    }

    /// Issues one device code, durable when answered.
    pub async fn issue_device_code(&self, request: IssueDeviceCode) -> Result<IssuedDeviceCode, StoreError> {
        let permit = admit(&self.write_permits, &self.meters.writes_refused).await?;
        self.device_codes.batcher().send(Issue { request, permit }).await.unwrap_or(Err(StoreError::Closed))
    }

    /// Sweeps out what is over now rather than within the minute, and returns when that is done.
    pub async fn keep_house(&self) {
        let _ = self.housekeeper.send(KeepHouse).await;
    }

    /// Keeps an event of Stripe's and tells the actor that works on it, when there is something to do. True when it is new.
    pub async fn keep_stripe_event(&self, event: StoreStripeEvent) -> Result<bool, OpError<()>> {
        let is_ignored = event.ignored.is_some();
        let is_new = self.write(event).await?;
        if is_new && is_ignored {
            self.stripe_arrivals.ignored.fetch_add(1, Ordering::Relaxed);
        } else if is_new {
            self.nudge_stripe();
        }
        Ok(is_new)
    }

    /// Says that an event of Stripe's waits. When the actor is too busy to hear, it finds it by itself.
    pub fn nudge_stripe(&self) {
        let nudged = &self.stripe_arrivals.nudged;
        if !nudged.swap(true, Ordering::SeqCst) && self.stripe.try_send(Nudge).is_err() {
            nudged.store(false, Ordering::SeqCst);
        }
    }

    /// Compares every live subscription with Stripe and repairs what differs.
    pub async fn reconcile_stripe(&self) -> Result<ReconcileReport, StoreError> {
        self.stripe.send(Reconcile).await.map_err(|_| StoreError::Closed)
    }

    /// Applies events of Stripe's once more and tells how many.
    pub async fn replay_stripe(&self, which: Replay) -> Result<u64, StoreError> {
        self.stripe.send(Again(which)).await.unwrap_or(Err(StoreError::Closed))
    }

    /// What every actor tells about itself, and how much room there is. An actor that does not answer in time is missing
    /// from the list.
    pub async fn observe(&self) -> Vec<Snapshot> {
        let (queue, checkpointer, housekeeper, outbox, stripe, refresher, resealer, keeper) = futures_util::join!(
            ask(&self.queue),
            ask(&self.checkpointer),
            ask(&self.housekeeper),
            ask(&self.outbox),
            ask(&self.stripe),
            ask_if_there(&self.refresher),
            ask_if_there(&self.resealer),
            ask_if_there(&self.backup_keeper)
        );
        let batcher = Some(self.device_codes.snapshot());
        let actors = [queue, batcher, checkpointer, housekeeper, outbox, stripe, refresher, resealer, keeper];
        actors.into_iter().flatten().chain([self.room()]).collect()
    }

    /// How many of the places for reads and writes are taken.
    fn room(&self) -> Snapshot {
        let taken = |all: usize, permits: &Semaphore| all.saturating_sub(permits.available_permits()) as u64;
        Snapshot {
            actor: "store",
            figures: vec![
                ("write_places", WRITE_PERMITS as u64),
                ("write_places_taken", taken(WRITE_PERMITS, &self.write_permits)),
                ("fast_read_places", READ_PERMITS as u64),
                ("fast_read_places_taken", taken(READ_PERMITS, &self.fast.permits)),
                ("report_read_places", READ_PERMITS as u64),
                ("report_read_places_taken", taken(READ_PERMITS, &self.report.permits)),
                ("writes_failing", u64::from(self.writes_failing() || self.writes_hang())),
            ],
        }
    }

    /// What is measured while the actors work.
    #[must_use]
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// Where commits are told of.
    #[must_use]
    pub fn bulletin(&self) -> &Bulletin {
        &self.bulletin
    }

    /// Whether the last commit failed in the engine or on the disk. The next one that succeeds clears it.
    #[must_use]
    pub fn writes_failing(&self) -> bool {
        self.writer_state.is_failing()
    }

    /// Whether the disk has kept the writer for so long that it must be taken to hang.
    #[must_use]
    pub fn writes_hang(&self) -> bool {
        self.writer_state.is_hanging()
    }

    /// The name of a vital actor that died, if one did: the process is on its way out.
    #[must_use]
    pub fn dead_actor(&self) -> Option<&'static str> {
        self.bell.dead()
    }
}

async fn ask<A>(actor: &Addr<A>) -> Option<Snapshot>
where
    A: Actor + Handler<Observe>,
    A::Context: ToEnvelope<A, Observe>,
{
    timeout(OBSERVATION_BUDGET, actor.send(Observe)).await.ok()?.ok()
}

async fn ask_if_there<A>(actor: &OnceLock<Addr<A>>) -> Option<Snapshot>
where
    A: Actor + Handler<Observe>,
    A::Context: ToEnvelope<A, Observe>,
{
    ask(actor.get()?).await
}

/// A place, within the budget. It travels with the message, so that it is free again when the work is done.
async fn admit(permits: &Arc<Semaphore>, refused: &IntCounter) -> Result<OwnedSemaphorePermit, StoreError> {
    // The uncontended case takes no timer.
    if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
        return Ok(permit);
    }
    match timeout(ADMISSION_BUDGET, Arc::clone(permits).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) => Err(StoreError::Closed),
        Err(_) => {
            refused.inc();
            Err(StoreError::Busy)
        }
    }
}
