//! The line in front of the writer: whoever has something to write puts it here, and the writer takes what there is.
//!
//! ```text
//! a request's own thread -> Line -> Writer, called when it rests -> BEGIN .. COMMIT -> the answer, to that thread
//! ```
//! Nothing stands between the two threads, so a write passes two hand-overs and a batch costs no more of them. There is
//! no timer: alone, a write waits for nothing; what comes while the writer works goes together with its next batch.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use actix::Addr;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::{OpError, StoreError};
use crate::message::{Snapshot, WriteOp};
use crate::writer::{Done, Job, Queued, QueuedWrite, Work, Writer};

/// The most operations in one transaction: beyond it the fsync is already shared well enough.
pub(crate) const MAX_BATCH: usize = 256;

/// So many batches may go before work in the background does.
const MOST_PASSED_OVER: u32 = 32;

/// Where the answer to a write comes.
pub(crate) type Answer<C> =
    oneshot::Receiver<Result<<C as WriteOp>::Output, OpError<<C as WriteOp>::Refused>>>;

/// What waits for the writer.
#[derive(Default)]
pub(crate) struct Line(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// None before the start and after the end: then nothing is taken on.
    writer: Option<Addr<Writer>>,
    /// The writer works, or was called and has not come yet.
    busy: bool,
    writes: Vec<Box<dyn QueuedWrite>>,
    background: VecDeque<Box<dyn QueuedWrite>>,
    passed_over: u32,
    checkpoints: Vec<oneshot::Sender<Result<bool, StoreError>>>,
    looks: Vec<oneshot::Sender<()>>,
    flushes: Vec<oneshot::Sender<()>>,
    commits: u64,
    operations: u64,
    largest_batch: u64,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on the writer at `writer` is called.
    pub(crate) fn open(&self, writer: Addr<Writer>) {
        self.lock().writer = Some(writer);
    }

    /// The writer is called no more. Whoever waits is told that the store is closed.
    pub(crate) fn close(&self) {
        let ended = std::mem::take(&mut *self.lock());
        // Outside the lock: what is dropped may wake and ask.
        drop(ended);
    }

    /// Puts a change at the end.
    pub(crate) fn write<C: WriteOp>(&self, op: C, permit: Option<OwnedSemaphorePermit>) -> Answer<C> {
        let (queued, answer) = queued(op, permit);
        self.put(queued);
        answer
    }

    /// Puts a change at the end, or drops it when the line is closed.
    pub(crate) fn put(&self, queued: Box<dyn QueuedWrite>) {
        self.enter(|waiting| waiting.writes.push(queued));
    }

    /// Takes on a change that nobody waits for: it is written when nothing else is, or after so many batches.
    pub(crate) fn write_behind<C: WriteOp>(&self, op: C) -> Answer<C> {
        let (queued, answer) = queued(op, None);
        self.enter(|waiting| waiting.background.push_back(queued));
        answer
    }

    /// Has the write-ahead log emptied before the next batch. True when it is empty.
    pub(crate) fn checkpoint(&self) -> oneshot::Receiver<Result<bool, StoreError>> {
        let (reply, answer) = oneshot::channel();
        self.enter(|waiting| waiting.checkpoints.push(reply));
        answer
    }

    /// Has the writer look whether other processes changed the database. None while it works, for then it
    /// looks by itself, and after the end.
    pub(crate) fn look(&self) -> Option<oneshot::Receiver<()>> {
        let (reply, answer) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.busy || waiting.writer.is_none() {
            return None;
        }
        waiting.looks.push(reply);
        waiting.call();
        Some(answer)
    }

    /// Answers once nothing waits and nothing is in flight.
    pub(crate) fn flush(&self) -> oneshot::Receiver<()> {
        let (reply, answer) = oneshot::channel();
        self.enter(|waiting| waiting.flushes.push(reply));
        answer
    }

    /// What the writer does next, once it did what is told by `done`. None: it rests until it is called.
    pub(crate) fn next(&self, done: Done) -> Option<Job> {
        let mut waiting = self.lock();
        waiting.commits += done.commits;
        waiting.operations += done.operations;
        let job = waiting.next();
        waiting.busy = job.is_some();
        job
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let waiting = self.lock();
        Snapshot {
            actor: "commit_queue",
            figures: vec![
                ("waiting", waiting.writes.len() as u64),
                ("background", waiting.background.len() as u64),
                ("in_flight", u64::from(waiting.busy)),
                ("commits", waiting.commits),
                ("operations", waiting.operations),
                ("largest_batch", waiting.largest_batch),
            ],
        }
    }

    fn enter(&self, take_on: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.lock();
        // What is not taken on drops its way back, which tells the caller.
        if waiting.writer.is_some() {
            take_on(&mut waiting);
            waiting.call();
        }
    }
}

impl Waiting {
    /// Calls the writer if it rests.
    fn call(&mut self) {
        let Some(writer) = self.writer.as_ref().filter(|_| !self.busy) else { return };
        // The mailbox of a sync actor has no bound, so it takes the call unless its thread is gone, which only a defect
        // of actix could be to blame for: the writer catches its own.
        if writer.try_send(Work).is_ok() {
            self.busy = true;
        } else {
            log::error!("the writer does not come");
            self.writer = None;
            self.writes.clear();
            self.background.clear();
            self.checkpoints.clear();
            self.looks.clear();
            self.flushes.clear();
        }
    }

    fn next(&mut self) -> Option<Job> {
        if !self.checkpoints.is_empty() {
            return Some(Job::Checkpoint(std::mem::take(&mut self.checkpoints)));
        }
        if !self.looks.is_empty() {
            return Some(Job::Look(std::mem::take(&mut self.looks)));
        }
        if !self.writes.is_empty() {
            return Some(Job::Commit(self.batch()));
        }
        if let Some(op) = self.background.pop_front() {
            self.passed_over = 0;
            return Some(Job::Commit(vec![op]));
        }
        for flushed in self.flushes.drain(..) {
            let _ = flushed.send(());
        }
        None
    }

    fn batch(&mut self) -> Vec<Box<dyn QueuedWrite>> {
        let rest = self.writes.split_off(self.writes.len().min(MAX_BATCH));
        let mut batch = std::mem::replace(&mut self.writes, rest);
        if !self.background.is_empty() {
            // What was passed over often enough goes last in a batch: behind everybody, but not for ever.
            self.passed_over += 1;
            if self.passed_over > MOST_PASSED_OVER {
                self.passed_over = 0;
                batch.extend(self.background.pop_front());
            }
        }
        self.largest_batch = self.largest_batch.max(batch.len() as u64);
        batch
    }
}

fn queued<C: WriteOp>(op: C, permit: Option<OwnedSemaphorePermit>) -> (Box<dyn QueuedWrite>, Answer<C>) {
    let (reply, receiver) = oneshot::channel();
    let answer = Err(OpError::Store(StoreError::Closed));
    (Box::new(Queued { op, answer, reply, _permit: permit }), receiver)
}
