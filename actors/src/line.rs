//! The line in front of the writer: whoever has something to write puts it here, and the writer takes what there is.
//!
//! ```text
//! a request's own thread -> Line -> Writer, woken when it rests -> BEGIN .. COMMIT -> the answer, to that thread
//! ```
//! Nothing stands between the two threads, so a write passes two hand-overs and a batch costs no more of them. There is
//! no timer: alone, a write waits for nothing; what comes while the writer works goes together with its next batch.
//!
//! The writer rests here and not at its mailbox, because what is sent to a sync actor is handed over twice, the first
//! time to the arbiter of the system, and to wake two threads takes longer than to write.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::{OpError, StoreError};
use crate::message::{Snapshot, WriteOp};
use crate::writer::{Done, Job, Queued, QueuedWrite};

/// The most operations in one transaction: beyond it the fsync is already shared well enough.
pub(crate) const MAX_BATCH: usize = 256;

/// So many batches may go before work in the background does.
const MOST_PASSED_OVER: u32 = 32;

/// Where the answer to a write comes.
pub(crate) type Answer<C> =
    oneshot::Receiver<Result<<C as WriteOp>::Output, OpError<<C as WriteOp>::Refused>>>;

/// What waits for the writer.
#[derive(Default)]
pub(crate) struct Line {
    waiting: Mutex<Waiting>,
    /// Wakes the writer when it rests.
    call: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// After the end nothing is taken on.
    closed: bool,
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
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is taken on any more, and the writer leaves. Whoever waits is told that the store is closed.
    pub(crate) fn close(&self) {
        let closed = Waiting { closed: true, ..Waiting::default() };
        let ended = std::mem::replace(&mut *self.lock(), closed);
        self.call.notify_one();
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
        if waiting.busy || waiting.closed {
            return None;
        }
        waiting.looks.push(reply);
        self.call(waiting);
        Some(answer)
    }

    /// Answers once nothing waits and nothing is in flight.
    pub(crate) fn flush(&self) -> oneshot::Receiver<()> {
        let (reply, answer) = oneshot::channel();
        self.enter(|waiting| waiting.flushes.push(reply));
        answer
    }

    /// What the writer does next, once it did what is told by `done`; it rests here until there is something. None: the
    /// line is closed.
    pub(crate) fn next(&self, done: Done) -> Option<Job> {
        let mut waiting = self.lock();
        waiting.commits += done.commits;
        waiting.operations += done.operations;
        while !waiting.closed {
            let job = waiting.next();
            waiting.busy = job.is_some();
            if job.is_some() {
                return job;
            }
            waiting = self.call.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        None
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
        if !waiting.closed {
            take_on(&mut waiting);
            self.call(waiting);
        }
    }

    /// Wakes the writer if it rests.
    fn call(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let rests = !std::mem::replace(&mut waiting.busy, true);
        // First, or the writer would wake only to wait for the lock.
        drop(waiting);
        if rests {
            self.call.notify_one();
        }
    }
}

impl Waiting {
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
