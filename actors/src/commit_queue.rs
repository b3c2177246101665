//! The actor that owns the [`Line`] to the writer: it takes on what other actors send, and closes the line when it ends.
//! Requests do not pass it: their threads put what they write into the line themselves.

use std::sync::Arc;

use actix::{Actor, ActorContext, Context, Handler, Message, MessageResult, ResponseFuture};

use crate::error::{OpError, StoreError};
use crate::guard::{DeathBell, Vital};
use crate::line::{Line, MAX_BATCH};
use crate::message::{Observe, Snapshot, Write, WriteOp};

/// The async actor in front of the writer.
pub(crate) struct CommitQueue {
    line: Arc<Line>,
    _vital: Vital,
}

impl CommitQueue {
    pub(crate) fn new(line: Arc<Line>, bell: &DeathBell) -> Self {
        Self { line, _vital: Vital::new("commit queue", bell) }
    }
}

impl Drop for CommitQueue {
    /// However it ends, nobody is left waiting.
    fn drop(&mut self) {
        self.line.close();
    }
}

impl Actor for CommitQueue {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Few actors send to it, each one thing at a time: the mailbox only has to be large enough never to matter.
        ctx.set_mailbox_capacity(MAX_BATCH);
    }
}

impl<C: WriteOp> Handler<Write<C>> for CommitQueue {
    type Result = ResponseFuture<Result<C::Output, OpError<C::Refused>>>;

    fn handle(&mut self, Write { change, permit }: Write<C>, _ctx: &mut Self::Context) -> Self::Result {
        let answer = self.line.write(change, permit);
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

    fn handle(&mut self, Background(op): Background<C>, _ctx: &mut Self::Context) -> Self::Result {
        let answer = self.line.write_behind(op);
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

    fn handle(&mut self, _: Checkpoint, _ctx: &mut Self::Context) -> Self::Result {
        let answer = self.line.checkpoint();
        Box::pin(async move { answer.await.unwrap_or(Err(StoreError::Closed)) })
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

    fn handle(&mut self, _: Flush, _ctx: &mut Self::Context) -> Self::Result {
        let answer = self.line.flush();
        Box::pin(async move {
            let _ = answer.await;
        })
    }
}

impl Handler<Observe> for CommitQueue {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _ctx: &mut Self::Context) -> Self::Result {
        let snapshot: Snapshot = self.line.snapshot();
        MessageResult(snapshot)
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
