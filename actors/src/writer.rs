//! The one thread that changes the database.
//!
//! It gets whole batches, because a sync actor answers before it takes the next message and so cannot group by itself.
//! BEGIN; per operation SAVEPOINT, apply, RELEASE or ROLLBACK TO; COMMIT; only then the answers.

use std::any::type_name;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, Handler, Message, SyncContext};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::bulletin::Bulletin;
use crate::engine::{Batch, Engine, WriteConnection, WriteTx};
use crate::error::{OpError, StoreError};
use crate::faults::{FaultPoint, Faults};
use crate::guard::DeathBell;
use crate::memory::Freshness;
use crate::message::WriteOp;
use crate::meters::WriterMeters;
use crate::writer_state::WriterState;

/// What became of an operation inside its savepoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    RollBack,
    /// Roll back, and trust the connection no longer.
    Broken,
}

/// A write with its type erased: the queue holds many kinds in one line.
pub(crate) trait QueuedWrite: Send {
    /// Runs the operation and remembers its answer. Called again when the batch is run again.
    fn apply(&mut self, tx: &mut WriteTx<'_>) -> Verdict;
    /// Replaces the remembered answer: storage failed around the operation.
    fn fail(&mut self, error: StoreError);
    /// Sends the remembered answer.
    fn answer(self: Box<Self>);
}

/// An operation with the place its answer goes to.
pub(crate) struct Queued<C: WriteOp> {
    pub(crate) op: C,
    pub(crate) answer: Result<C::Output, OpError<C::Refused>>,
    pub(crate) reply: oneshot::Sender<Result<C::Output, OpError<C::Refused>>>,
    /// Given back with the answer, not with the caller: callers that leave must not make room for more.
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
}

impl<C: WriteOp> QueuedWrite for Queued<C> {
    fn apply(&mut self, tx: &mut WriteTx<'_>) -> Verdict {
        self.answer = catch_unwind(AssertUnwindSafe(|| self.op.apply(tx))).unwrap_or_else(|_| {
            log::error!(operation = type_name::<C>(); "operation panicked");
            Err(OpError::Store(StoreError::Panicked))
        });
        match &self.answer {
            Ok(_) => Verdict::Keep,
            Err(OpError::Store(StoreError::Panicked | StoreError::Failed(_))) => Verdict::Broken,
            Err(_) => Verdict::RollBack,
        }
    }

    fn fail(&mut self, error: StoreError) {
        self.answer = Err(OpError::Store(error));
    }

    fn answer(self: Box<Self>) {
        // The caller may have given up waiting. The change stands all the same.
        let _ = self.reply.send(self.answer);
    }
}

/// Work for the writer.
pub(crate) enum Job {
    /// Commit these together.
    Commit(Vec<Box<dyn QueuedWrite>>),
    /// Move the write-ahead log into the database file.
    Checkpoint,
    /// Look whether other processes changed the database.
    Look,
}

impl Message for Job {
    type Result = Result<Done, StoreError>;
}

/// What a job did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Done {
    pub(crate) commits: u64,
    pub(crate) operations: u64,
    pub(crate) log_emptied: bool,
}

/// The sync actor that owns the write connection.
pub(crate) struct Writer {
    pub(crate) engine: Engine,
    pub(crate) connection: Option<WriteConnection>,
    pub(crate) faults: Arc<dyn Faults>,
    pub(crate) bell: DeathBell,
    pub(crate) state: Arc<WriterState>,
    /// Where news of a commit are put up.
    pub(crate) bulletin: Bulletin,
    /// Where changes are told of, for what is kept in memory.
    pub(crate) freshness: Arc<Freshness>,
    pub(crate) meters: WriterMeters,
}

impl Actor for Writer {
    type Context = SyncContext<Self>;
}

impl Handler<Job> for Writer {
    type Result = Result<Done, StoreError>;

    fn handle(&mut self, job: Job, _ctx: &mut Self::Context) -> Self::Result {
        // Panics of operations are caught one by one; anything that gets this far is a defect of the writer
        // itself, and SyncArbiter would silently lose the thread.
        self.state.begin();
        let done = catch_unwind(AssertUnwindSafe(|| self.run(job))).unwrap_or_else(|_| {
            self.connection = None;
            self.bell.ring("writer");
            Err(StoreError::Panicked)
        });
        self.state.end();
        done
    }
}

impl Writer {
    fn run(&mut self, job: Job) -> Result<Done, StoreError> {
        match job {
            Job::Commit(batch) => Ok(self.commit_and_answer(batch)),
            Job::Checkpoint => {
                let begun = Instant::now();
                let log_emptied = self.connect()?.checkpoint()?;
                self.meters.checkpoint_seconds.observe(begun.elapsed().as_secs_f64());
                Ok(Done { log_emptied, ..Done::default() })
            }
            Job::Look => {
                let moment = Instant::now();
                if self.connect()?.others_wrote()? {
                    self.freshness.tell_of_others();
                }
                self.freshness.looked(moment);
                Ok(Done::default())
            }
        }
    }

    fn commit_and_answer(&mut self, mut batch: Vec<Box<dyn QueuedWrite>>) -> Done {
        let operations = batch.len() as u64;
        let mut commits = 1;
        let mut failing = false;
        match self.commit(&mut batch) {
            Ok(()) => {}
            Err(error) if error.blames_one_operation() && batch.len() > 1 => {
                log::warn!(operations = operations, reason:% = error; "commit failed, running one by one");
                for op in batch.chunks_mut(1) {
                    commits += 1;
                    if let Err(error) = self.commit(op) {
                        fail(op, &error);
                    }
                }
            }
            Err(error) => {
                log::error!(operations = operations, reason:% = error; "commit failed");
                failing = matches!(error, StoreError::Failed(_));
                fail(&mut batch, &error);
            }
        }
        self.state.committed(failing);
        for op in batch {
            op.answer();
        }
        Done { commits, operations, log_emptied: false }
    }

    /// One transaction for all of `batch`. After an error nothing of it is in the database.
    #[allow(clippy::cast_precision_loss)] // a batch has 257 operations at most
    fn commit(&mut self, batch: &mut [Box<dyn QueuedWrite>]) -> Result<(), StoreError> {
        let begun = Instant::now();
        let outcome = self.commit_once(batch);
        self.meters.commit_seconds.observe(begun.elapsed().as_secs_f64());
        self.meters.operations.observe(batch.len() as f64);
        if outcome.is_err() {
            self.meters.failures.inc();
        }
        outcome
    }

    fn commit_once(&mut self, batch: &mut [Box<dyn QueuedWrite>]) -> Result<(), StoreError> {
        let faults = Arc::clone(&self.faults);
        let fault = |point| faults.at(point).map_or(Ok(()), Err);
        let (bulletin, freshness) = (self.bulletin.clone(), Arc::clone(&self.freshness));
        let connection = self.connect()?;
        let outcome = (|| {
            fault(FaultPoint::Begin)?;
            let moment = Instant::now();
            let mut transaction = connection.begin()?;
            if transaction.others_wrote {
                freshness.tell_of_others();
            }
            freshness.looked(moment);
            let mut sound = true;
            for (position, op) in batch.iter_mut().enumerate() {
                sound &= apply_in_savepoint(&mut transaction, op, || fault(FaultPoint::Apply(position)))?;
            }
            fault(FaultPoint::Commit)?;
            let (news, changes) = transaction.commit()?;
            freshness.tell(&changes);
            bulletin.publish(&news);
            Ok(sound)
        })();
        // After a panic or an engine failure nobody knows what the connection remembers: take a new one.
        if !matches!(outcome, Ok(true)) {
            self.connection = None;
        }
        outcome?;
        // The commit stands whatever happens now: a failure here must not be told as "not written".
        if let Err(error) = fault(FaultPoint::Reply) {
            log::error!(reason:% = error; "failure between commit and answers");
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<&mut WriteConnection, StoreError> {
        let connection = if let Some(connection) = self.connection.take() {
            connection
        } else {
            let connection = self.engine.writer()?;
            // The one before may have committed without being able to say so.
            self.freshness.tell_of_others();
            connection
        };
        Ok(self.connection.insert(connection))
    }
}

/// True when the connection can still be trusted.
fn apply_in_savepoint(
    transaction: &mut Batch<'_>,
    op: &mut Box<dyn QueuedWrite>,
    fault: impl Fn() -> Result<(), StoreError>,
) -> Result<bool, StoreError> {
    transaction.savepoint()?;
    let planned = catch_unwind(AssertUnwindSafe(fault));
    let verdict = match planned {
        Ok(Ok(())) => op.apply(&mut transaction.tx),
        Ok(Err(error)) => {
            op.fail(error);
            Verdict::RollBack
        }
        Err(_) => {
            op.fail(StoreError::Panicked);
            Verdict::Broken
        }
    };
    match verdict {
        Verdict::Keep => transaction.release()?,
        Verdict::RollBack | Verdict::Broken => transaction.roll_back_to_savepoint()?,
    }
    Ok(verdict != Verdict::Broken)
}

fn fail(batch: &mut [Box<dyn QueuedWrite>], error: &StoreError) {
    for op in batch {
        op.fail(error.clone());
    }
}
