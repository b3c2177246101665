//! The one thread that changes the database.
//!
//! It is sent to its line once, at the start, and stays there until the line is closed, because a sync actor that got each
//! write as a message would answer it before it takes the next and so could not group. A batch is: BEGIN; per operation
//! SAVEPOINT, apply, RELEASE or ROLLBACK TO; COMMIT; only then the answers.

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
use crate::line::Line;
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

/// Runs an operation and catches its panic.
pub(crate) fn attempt<C: WriteOp>(op: &C, tx: &mut WriteTx<'_>) -> Result<C::Output, OpError<C::Refused>> {
    catch_unwind(AssertUnwindSafe(|| op.apply(tx))).unwrap_or_else(|_| {
        log::error!(operation = type_name::<C>(); "operation panicked");
        Err(OpError::Store(StoreError::Panicked))
    })
}

impl Verdict {
    /// What an answer means for what the operation wrote.
    pub(crate) fn on<T, R>(answer: &Result<T, OpError<R>>) -> Self {
        match answer {
            Ok(_) => Self::Keep,
            Err(OpError::Store(StoreError::Panicked | StoreError::Failed(_))) => Self::Broken,
            Err(_) => Self::RollBack,
        }
    }
}

impl<C: WriteOp> QueuedWrite for Queued<C> {
    fn apply(&mut self, tx: &mut WriteTx<'_>) -> Verdict {
        self.answer = attempt(&self.op, tx);
        Verdict::on(&self.answer)
    }

    fn fail(&mut self, error: StoreError) {
        self.answer = Err(OpError::Store(error));
    }

    fn answer(self: Box<Self>) {
        // The caller may have given up waiting. The change stands all the same.
        let _ = self.reply.send(self.answer);
    }
}

/// Sends the writer to its line.
pub(crate) struct Work;

impl Message for Work {
    type Result = ();
}

/// Work for the writer.
pub(crate) enum Job {
    /// Commit these together.
    Commit(Vec<Box<dyn QueuedWrite>>),
    /// Move the write-ahead log into the database file, and say whether nothing is left in it.
    Checkpoint(Vec<oneshot::Sender<Result<bool, StoreError>>>),
    /// Look whether other processes changed the database.
    Look(Vec<oneshot::Sender<()>>),
}

/// What a job did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Done {
    pub(crate) commits: u64,
    pub(crate) operations: u64,
}

/// The sync actor that owns the write connection.
pub(crate) struct Writer {
    pub(crate) line: Arc<Line>,
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

impl Handler<Work> for Writer {
    type Result = ();

    fn handle(&mut self, _: Work, _ctx: &mut Self::Context) {
        let mut done = Done::default();
        while let Some(job) = self.line.next(done) {
            self.state.begin();
            // Panics of operations are caught one by one; anything that gets this far is a defect of the writer
            // itself, and SyncArbiter would silently lose the thread.
            done = catch_unwind(AssertUnwindSafe(|| self.run(job))).unwrap_or_else(|_| {
                self.connection = None;
                self.bell.ring("writer");
                Done::default()
            });
            self.state.end();
        }
    }
}

impl Writer {
    fn run(&mut self, job: Job) -> Done {
        match job {
            Job::Commit(batch) => return self.commit_and_answer(batch),
            Job::Checkpoint(asked) => {
                let outcome = self.checkpoint();
                for reply in asked {
                    let _ = reply.send(outcome.clone());
                }
            }
            Job::Look(asked) => {
                // What cannot be found out is not told, so that nothing kept is used until it can be.
                let _ = self.look();
                for reply in asked {
                    let _ = reply.send(());
                }
            }
        }
        Done::default()
    }

    fn checkpoint(&mut self) -> Result<bool, StoreError> {
        let begun = Instant::now();
        let log_emptied = self.connect()?.checkpoint()?;
        self.meters.checkpoint_seconds.observe(begun.elapsed().as_secs_f64());
        Ok(log_emptied)
    }

    fn look(&mut self) -> Result<(), StoreError> {
        let moment = Instant::now();
        if self.connect()?.others_wrote()? {
            self.freshness.tell_of_others();
        }
        self.freshness.looked(moment);
        Ok(())
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
        Done { commits, operations }
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
