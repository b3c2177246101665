//! Operations that end in every way an operation can end.

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use gatehouse_actors::engine::{ReadTx, Statement, WriteTx};
use gatehouse_actors::error::{OpError, StoreError};
use gatehouse_actors::message::{Lane, ReadOp, WriteOp};
use gatehouse_actors::values;

use super::World;

const INSERT: &Statement =
    &Statement { name: "INSERT", sql: "INSERT INTO settings (name, value) VALUES ($1, $2)" };
/// What no operation but its own batch's savepoints can take back.
const DELETE_ALL: &Statement = &Statement { name: "DELETE_ALL", sql: "DELETE FROM settings" };

/// How a [`Put`] ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Writes its row.
    Good,
    /// Deletes everybody's rows, writes its own, then refuses.
    RefuseAfterWriting,
    /// Panics before it touched anything.
    Panic,
    /// Deletes everybody's rows, writes its own, then panics.
    PanicAfterWriting,
}

/// Inserts a row into `settings`, or does harm and fails. Two with one name conflict.
#[derive(Debug, Clone)]
pub(crate) struct Put {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) ending: Ending,
}

impl Put {
    pub(crate) fn good(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { value: format!("value of {name}"), name, ending: Ending::Good }
    }

    pub(crate) fn ending(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }
}

/// The reason of a [`Put`] that refuses: whose refusal it is.
pub(crate) const REFUSED: &str = "refused by ";

impl WriteOp for Put {
    /// The value written, so that a caller can tell its own answer from another's.
    type Output = String;
    type Refused = String;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<String, OpError<String>> {
        match self.ending {
            Ending::Panic => resume_unwind(Box::new("planned")),
            Ending::Good => {}
            Ending::RefuseAfterWriting | Ending::PanicAfterWriting => {
                tx.execute(DELETE_ALL, values![])?;
            }
        }
        tx.execute(INSERT, values![&self.name, &self.value])?;
        match self.ending {
            Ending::RefuseAfterWriting => Err(OpError::Refused(format!("{REFUSED}{}", self.name))),
            Ending::PanicAfterWriting => resume_unwind(Box::new("planned")),
            Ending::Good | Ending::Panic => Ok(self.value.clone()),
        }
    }
}

/// Runs statements as they are and returns the number that the last one selects, if it selects one.
#[derive(Debug, Clone)]
pub(crate) struct Run(pub(crate) &'static [Statement]);

impl WriteOp for Run {
    type Output = Option<i64>;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Option<i64>, OpError<()>> {
        let mut selected = None;
        for statement in self.0 {
            selected = tx.optional(statement, values![], |row| row.get::<i64>(0))?;
        }
        Ok(selected)
    }
}

/// Keeps a thread of the store busy until it is dropped.
#[must_use]
pub(crate) struct Gate {
    _open: Sender<()>,
}

/// Longer than any test; a forgotten gate must not hang the run for ever.
const LONGEST_HOLD: Duration = Duration::from_secs(15);

struct Hold {
    entered: Sender<()>,
    opened: Receiver<()>,
}

impl Hold {
    fn new() -> (Self, Gate, Receiver<()>) {
        let (entered, has_entered) = channel();
        let (open, opened) = channel();
        (Self { entered, opened }, Gate { _open: open }, has_entered)
    }

    fn wait(&self) {
        let _ = self.entered.send(());
        let _ = self.opened.recv_timeout(LONGEST_HOLD);
    }
}

impl WriteOp for Hold {
    type Output = ();
    type Refused = ();

    fn apply(&self, _tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        self.wait();
        Ok(())
    }
}

/// Counts the settings, waits, and counts them again.
struct CountTwice(Hold);

const COUNT: &Statement = &Statement { name: "COUNT", sql: "SELECT COUNT(*) FROM settings" };

impl ReadOp for CountTwice {
    type Output = (i64, i64);

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<(i64, i64), StoreError> {
        let before = tx.one(COUNT, values![], |row| row.get(0))?;
        self.0.wait();
        Ok((before, tx.one(COUNT, values![], |row| row.get(0))?))
    }
}

struct HoldReport(Hold);

impl ReadOp for HoldReport {
    type Output = ();
    const LANE: Lane = Lane::Report;

    fn run(&self, _tx: &mut ReadTx<'_>) -> Result<(), StoreError> {
        self.0.wait();
        Ok(())
    }
}

/// Keeps the writer inside a batch, so that whatever is written meanwhile shares the next one.
pub(crate) async fn hold_writer(world: &World) -> Gate {
    let (hold, gate, has_entered) = Hold::new();
    let store = world.store.clone();
    actix::spawn(async move { store.write(hold).await });
    entered(world, &has_entered).await;
    gate
}

/// Keeps the only reader of the report lane inside a question.
pub(crate) async fn hold_report_reader(world: &World) -> Gate {
    let (hold, gate, has_entered) = Hold::new();
    let store = world.store.clone();
    actix::spawn(async move { store.read(HoldReport(hold)).await });
    entered(world, &has_entered).await;
    gate
}

/// Begins to count the settings twice; the second count waits for the gate.
pub(crate) async fn count_twice(world: &World) -> (Gate, impl Future<Output = (i64, i64)> + use<>) {
    let (hold, gate, has_entered) = Hold::new();
    let store = world.store.clone();
    let task = actix::spawn(async move { store.read(CountTwice(hold)).await });
    entered(world, &has_entered).await;
    (gate, async move { task.await.unwrap().unwrap() })
}

/// Waits without blocking the thread: what is to be held was spawned on this one, and goes on only while it is free.
async fn entered(world: &World, has_entered: &Receiver<()>) {
    let begun = Instant::now();
    while has_entered.try_recv().is_err() {
        assert!(begun.elapsed() < LONGEST_HOLD, "the held operation never ran");
        world.store.observe().await;
    }
}
