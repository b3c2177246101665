//! The threads that answer questions, and the list on which questions wait for them.
//!
//! ```text
//! ask -> onto the list -> is a reader free? it is called (a message through the arbiter of the system)
//! reader: takes what waits, a few at a time, answers them in one transaction, straight to who asked -> nothing waits: rests
//! ```
//! A call costs more than most answers, so a reader that works is not called for each question: it looks by itself.

use std::any::type_name;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use actix::{Actor, Addr, Handler, Message, SyncContext};
use prometheus::Histogram;
use r2d2::Pool;
use r2d2_sqlite::SqliteConnectionManager;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::engine::{ReadConnection, ReadTx};
use crate::error::StoreError;
use crate::message::ReadOp;

/// The most questions that share one transaction: enough that beginning one weighs little, few enough that the other
/// readers find something to do.
const MOST_AT_ONCE: usize = 16;

/// A question with its admission and the way back. The place is free again when the question was answered, also when
/// nobody waits for the answer any more.
struct Question<Q: ReadOp> {
    op: Q,
    reply: oneshot::Sender<Result<Q::Output, StoreError>>,
    _permit: OwnedSemaphorePermit,
}

/// A question of any kind.
trait Asked: Send {
    /// Answers, unless nobody listens any more. False when that panicked.
    fn answer(self: Box<Self>, tx: &mut ReadTx<'_>) -> bool;

    /// Says that it cannot be answered.
    fn refuse(self: Box<Self>, error: StoreError);
}

impl<Q: ReadOp> Asked for Question<Q> {
    fn answer(self: Box<Self>, tx: &mut ReadTx<'_>) -> bool {
        if self.reply.is_closed() {
            return true;
        }
        // SyncArbiter never restarts a panicked thread: catch, let go of the connection, go on.
        let answer = catch_unwind(AssertUnwindSafe(|| self.op.run(tx)));
        let survived = answer.is_ok();
        let answer = answer.unwrap_or_else(|_| {
            log::error!(operation = type_name::<Q>(); "read panicked");
            Err(StoreError::Panicked)
        });
        let _ = self.reply.send(answer);
        survived
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        let _ = self.reply.send(Err(error));
    }
}

/// The list of a lane, shared by those who ask and those who answer.
#[derive(Clone)]
pub(crate) struct Questions {
    waiting: Arc<Mutex<Waiting>>,
    readers: usize,
}

#[derive(Default)]
struct Waiting {
    asked: VecDeque<Box<dyn Asked>>,
    /// Readers that work or were called.
    called: usize,
}

impl Questions {
    /// An empty list for so many readers.
    pub(crate) fn for_readers(readers: usize) -> Self {
        Self { waiting: Arc::default(), readers }
    }

    /// Puts a question on the list and calls one of `readers` unless enough are at work. The answer may be waited for.
    pub(crate) fn ask<Q: ReadOp>(
        &self,
        readers: &Addr<Reader>,
        (op, permit): (Q, OwnedSemaphorePermit),
    ) -> oneshot::Receiver<Result<Q::Output, StoreError>> {
        let (reply, answer) = oneshot::channel();
        let is_call_needed = self.with(|waiting| {
            waiting.asked.push_back(Box::new(Question { op, reply, _permit: permit }));
            let is_needed = waiting.called < self.readers.min(waiting.asked.len());
            waiting.called += usize::from(is_needed);
            is_needed
        });
        // Without readers nobody answers: what waits is dropped, and whoever asked hears that the store is closed.
        if is_call_needed && readers.try_send(Serve).is_err() {
            self.with(|waiting| {
                waiting.asked.clear();
                waiting.called -= 1;
            });
        }
        answer
    }

    /// What a reader answers next; nothing, and it counts as free from then on.
    fn take(&self) -> Option<Vec<Box<dyn Asked>>> {
        self.with(|waiting| {
            let some = waiting.asked.len().min(MOST_AT_ONCE);
            if some == 0 {
                waiting.called -= 1;
                return None;
            }
            Some(waiting.asked.drain(..some).collect())
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Waiting) -> T) -> T {
        change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Calls a reader to its list.
struct Serve;

impl Message for Serve {
    type Result = ();
}

/// A sync actor with a connection of its own.
pub(crate) struct Reader {
    pub(crate) questions: Questions,
    pub(crate) pool: Pool<SqliteConnectionManager>,
    pub(crate) connection: Option<ReadConnection>,
    /// How long a question takes.
    pub(crate) seconds: Histogram,
}

impl Actor for Reader {
    type Context = SyncContext<Self>;
}

impl Handler<Serve> for Reader {
    type Result = ();

    fn handle(&mut self, _: Serve, _ctx: &mut Self::Context) {
        while let Some(asked) = self.questions.take() {
            self.answer(asked);
        }
    }
}

impl Reader {
    /// Answers in one transaction. It begins after everything was asked, so nobody is told what was true before that.
    fn answer(&mut self, asked: Vec<Box<dyn Asked>>) {
        let mut asked = asked.into_iter();
        while asked.len() > 0 {
            let outcome = self.answer_until_panic(&mut asked);
            if let Err(error) = outcome {
                asked.by_ref().for_each(|question| question.refuse(error.clone()));
            }
        }
    }

    /// Stops behind a question that panicked, without the connection that it left in an unknown state.
    fn answer_until_panic(
        &mut self,
        asked: &mut impl Iterator<Item = Box<dyn Asked>>,
    ) -> Result<(), StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => ReadConnection::take(&self.pool)?,
        };
        let mut tx = connection.begin()?;
        for question in asked {
            let begun = Instant::now();
            let survived = question.answer(&mut tx);
            self.seconds.observe(begun.elapsed().as_secs_f64());
            if !survived {
                return Ok(());
            }
        }
        drop(tx);
        self.connection = Some(connection);
        Ok(())
    }
}
