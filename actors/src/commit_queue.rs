//! Groups writes: ships at once while the writer is idle, gathers while a commit is in flight.
//!
//! No timer: alone, a write waits for nothing; under load the batch grows by itself while the disk works, so the cost
//! of an fsync is shared by everybody who came in the meantime.

use std::collections::VecDeque;

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, MessageResult,
    ResponseFuture, WrapFuture,
};
use tokio::sync::oneshot;

use crate::error::{OpError, StoreError};
use crate::guard::{DeathBell, Vital};
use crate::message::{Observe, Snapshot, Write, WriteOp};
use crate::writer::{Done, Job, Queued, QueuedWrite, Writer};

/// The most operations in one transaction: beyond it the fsync is already shared well enough.
pub(crate) const MAX_BATCH: usize = 256;

/// So many batches may go before work in the background does.
const MOST_PASSED_OVER: u32 = 32;

/// The async actor in front of the writer.
pub(crate) struct CommitQueue {
    writer: Addr<Writer>,
    waiting: Vec<Box<dyn QueuedWrite>>,
    background: VecDeque<Box<dyn QueuedWrite>>,
    passed_over: u32,
    checkpoints: Vec<oneshot::Sender<Result<bool, StoreError>>>,
    in_flight: bool,
    drained: Vec<oneshot::Sender<()>>,
    commits: u64,
    operations: u64,
    largest_batch: u64,
    _vital: Vital,
}

impl CommitQueue {
    pub(crate) fn new(writer: Addr<Writer>, bell: &DeathBell) -> Self {
        Self {
            writer,
            waiting: Vec::new(),
            background: VecDeque::new(),
            passed_over: 0,
            checkpoints: Vec::new(),
            in_flight: false,
            drained: Vec::new(),
            commits: 0,
            operations: 0,
            largest_batch: 0,
            _vital: Vital::new("commit queue", bell),
        }
    }

    fn ship_if_idle(&mut self, ctx: &mut Context<Self>) {
        if self.in_flight {
            return;
        }
        if !self.checkpoints.is_empty() {
            return self.ship_checkpoint(ctx);
        }
        if self.waiting.is_empty()
            && let Some(op) = self.background.pop_front()
        {
            self.passed_over = 0;
            return self.ship(Job::Commit(vec![op]), ctx, |_| {});
        }
        if self.waiting.is_empty() {
            for drained in self.drained.drain(..) {
                let _ = drained.send(());
            }
            return;
        }
        let rest = self.waiting.split_off(self.waiting.len().min(MAX_BATCH));
        let mut batch = std::mem::replace(&mut self.waiting, rest);
        self.take_along(&mut batch);
        self.largest_batch = self.largest_batch.max(batch.len() as u64);
        self.ship(Job::Commit(batch), ctx, |_| {});
    }

    /// Background work that was passed over often enough goes last in a batch: behind everybody, but not for ever.
    fn take_along(&mut self, batch: &mut Vec<Box<dyn QueuedWrite>>) {
        if self.background.is_empty() {
            return;
        }
        self.passed_over += 1;
        if self.passed_over > MOST_PASSED_OVER {
            self.passed_over = 0;
            batch.extend(self.background.pop_front());
        }
    }

    fn ship_checkpoint(&mut self, ctx: &mut Context<Self>) {
        let asked = std::mem::take(&mut self.checkpoints);
        self.ship(Job::Checkpoint, ctx, move |outcome| {
            for reply in asked {
                let _ = reply.send(outcome.clone().map(|done| done.log_emptied));
            }
        });
    }

    fn ship(
        &mut self,
        job: Job,
        ctx: &mut Context<Self>,
        then: impl FnOnce(Result<Done, StoreError>) + 'static,
    ) {
        self.in_flight = true;
        let done = self.writer.send(job).into_actor(self).map(|outcome, queue, ctx| {
            queue.in_flight = false;
            let outcome = outcome.unwrap_or(Err(StoreError::Closed));
            if let Ok(done) = &outcome {
                queue.commits += done.commits;
                queue.operations += done.operations;
            }
            then(outcome);
            queue.ship_if_idle(ctx);
        });
        ctx.spawn(done);
    }
}

impl Actor for CommitQueue {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Admission is the store's (a semaphore); the mailbox only has to be large enough never to matter.
        ctx.set_mailbox_capacity(MAX_BATCH * 16);
    }
}

impl<C: WriteOp> Handler<Write<C>> for CommitQueue {
    type Result = ResponseFuture<Result<C::Output, OpError<C::Refused>>>;

    fn handle(&mut self, Write { change, permit }: Write<C>, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let answer_so_far = Err(OpError::Store(StoreError::Closed));
        self.waiting.push(Box::new(Queued { op: change, answer: answer_so_far, reply, _permit: permit }));
        self.ship_if_idle(ctx);
        Box::pin(async move { answer.await.unwrap_or(Err(OpError::Store(StoreError::Closed))) })
    }
}

/// A write that nobody waits for: it is written when nothing else is, or after so many batches. It brings no
/// admission, so it takes no place from anybody.
#[derive(Debug)]
pub(crate) struct Background<C>(pub(crate) C);

impl<C: WriteOp> Message for Background<C> {
    type Result = Result<C::Output, OpError<C::Refused>>;
}

impl<C: WriteOp> Handler<Background<C>> for CommitQueue {
    type Result = ResponseFuture<Result<C::Output, OpError<C::Refused>>>;

    fn handle(&mut self, Background(op): Background<C>, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let answer_so_far = Err(OpError::Store(StoreError::Closed));
        self.background.push_back(Box::new(Queued { op, answer: answer_so_far, reply, _permit: None }));
        self.ship_if_idle(ctx);
        Box::pin(async move { answer.await.unwrap_or(Err(OpError::Store(StoreError::Closed))) })
    }
}

/// Empties the write-ahead log, between two batches so that it never fights the writer. True when it is empty.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checkpoint;

impl Message for Checkpoint {
    type Result = Result<bool, StoreError>;
}

impl Handler<Checkpoint> for CommitQueue {
    type Result = ResponseFuture<Result<bool, StoreError>>;

    fn handle(&mut self, _: Checkpoint, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        self.checkpoints.push(reply);
        self.ship_if_idle(ctx);
        Box::pin(async move { answer.await.unwrap_or(Err(StoreError::Closed)) })
    }
}

/// Has the writer look whether other processes changed the database. While it commits it looks by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look;

impl Message for Look {
    type Result = ();
}

impl Handler<Look> for CommitQueue {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Look, ctx: &mut Self::Context) -> Self::Result {
        if self.in_flight {
            return Box::pin(std::future::ready(()));
        }
        let (reply, answer) = oneshot::channel();
        self.ship(Job::Look, ctx, move |_| {
            let _ = reply.send(());
        });
        Box::pin(async move {
            let _ = answer.await;
        })
    }
}

/// Answers once nothing waits and nothing is in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flush;

impl Message for Flush {
    type Result = ();
}

impl Handler<Flush> for CommitQueue {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Flush, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        self.drained.push(reply);
        self.ship_if_idle(ctx);
        Box::pin(async move {
            let _ = answer.await;
        })
    }
}

impl Handler<Observe> for CommitQueue {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _ctx: &mut Self::Context) -> Self::Result {
        MessageResult(Snapshot {
            actor: "commit_queue",
            figures: vec![
                ("waiting", self.waiting.len() as u64),
                ("background", self.background.len() as u64),
                ("in_flight", u64::from(self.in_flight)),
                ("commits", self.commits),
                ("operations", self.operations),
                ("largest_batch", self.largest_batch),
            ],
        })
    }
}

/// Stops an async actor after everything that was sent to it before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop;

impl Message for Stop {
    type Result = ();
}

impl Handler<Stop> for CommitQueue {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
