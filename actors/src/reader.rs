//! The threads that answer questions, and the list on which questions wait for them.
//!
//! ```text
//! ask -> onto the list -> is a reader free, and are there more questions than readers at work? one is woken
//! reader: takes what waits, a few at a time, answers them in one transaction, straight to who asked -> nothing waits: rests
//! ```
//! To wake a thread costs more than most answers, so a reader that works is not called for each question: it looks by
//! itself. Readers rest at the list and not at their mailbox, for the reason that the writer rests at its line.

use std::any::type_name;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use actix::{Actor, Handler, Message, SyncContext};
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
pub(crate) struct Questions {
    waiting: Mutex<Waiting>,
    /// Wakes readers that rest.
    call: Condvar,
    readers: usize,
}

#[derive(Default)]
struct Waiting {
    asked: VecDeque<Box<dyn Asked>>,
    /// Readers that do not rest.
    at_work: usize,
    /// Calls that no reader has heard yet.
    calls: usize,
    closed: bool,
}

impl Questions {
    /// An empty list for so many readers.
    pub(crate) fn for_readers(readers: usize) -> Self {
        Self { waiting: Mutex::default(), call: Condvar::new(), readers }
    }

    /// Puts a question on the list and wakes a reader unless enough are at work. The answer may be waited for.
    pub(crate) fn ask<Q: ReadOp>(
        &self,
        op: Q,
        permit: OwnedSemaphorePermit,
    ) -> oneshot::Receiver<Result<Q::Output, StoreError>> {
        let (reply, answer) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.asked.push_back(Box::new(Question { op, reply, _permit: permit }));
        let is_call_needed = waiting.at_work + waiting.calls < self.readers.min(waiting.asked.len());
        waiting.calls += usize::from(is_call_needed);
        // First, or the reader would wake only to wait for the lock.
        drop(waiting);
        if is_call_needed {
            self.call.notify_one();
        }
        answer
    }

    /// A reader comes to the list.
    fn enter(&self) {
        self.lock().at_work += 1;
    }

    /// What a reader answers next; it rests here until there is something. None: nobody can ask any more.
    fn take(&self) -> Option<Vec<Box<dyn Asked>>> {
        loop {
            let mut waiting = self.lock();
            let some = waiting.asked.len().min(MOST_AT_ONCE);
            if some > 0 {
                return Some(waiting.asked.drain(..some).collect());
            }
            waiting.at_work -= 1;
            while waiting.calls == 0 {
                if waiting.closed {
                    return None;
                }
                waiting = self.call.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            waiting.calls -= 1;
            waiting.at_work += 1;
            drop(waiting);
            // Whoever asked may have more to ask and, where cores are few, was put aside for this thread. Asked first and
            // answered then, it is one transaction and one change of threads.
            std::thread::yield_now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What those who ask share. With the last of them the readers leave.
pub(crate) struct Desk(pub(crate) Arc<Questions>);

impl Drop for Desk {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.call.notify_all();
    }
}

/// Sends a reader to its list.
pub(crate) struct Serve;

impl Message for Serve {
    type Result = ();
}

/// A sync actor with a connection of its own.
pub(crate) struct Reader {
    pub(crate) questions: Arc<Questions>,
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
        self.questions.enter();
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
