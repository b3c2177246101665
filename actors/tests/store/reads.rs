//! Questions: one moment each, nothing written, and no slow report in the way of a sign-in.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::rc::Rc;

use gatehouse_actors::data::device_codes::CountLiveDeviceCodes;
use gatehouse_actors::data::organizations::Ping;
use gatehouse_actors::engine::{ReadTx, Statement};
use gatehouse_actors::error::StoreError;
use gatehouse_actors::message::ReadOp;
use gatehouse_actors::values;

use crate::support::{Put, World, count_twice, hold_report_reader};

#[actix::test]
async fn a_question_sees_one_moment() {
    let world = World::new();
    world.store.write(Put::good("before")).await.unwrap();
    let (gate, counts) = count_twice(&world).await;
    world.store.write(Put::good("meanwhile")).await.unwrap();
    drop(gate);
    assert_eq!(counts.await, (1, 1));
    world.stop().await;
}

/// A write in disguise: it compiles, so the connection has to refuse it.
struct Smuggle;

impl ReadOp for Smuggle {
    type Output = Option<String>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Option<String>, StoreError> {
        const INSERT: &Statement = &Statement {
            name: "INSERT",
            sql: "INSERT INTO settings (name, value) VALUES ('smuggled', '') RETURNING name",
        };
        tx.optional(INSERT, values![], |row| row.get(0))
    }
}

#[actix::test]
async fn a_question_cannot_write() {
    let world = World::new();
    let answer = world.store.read(Smuggle).await;
    assert!(matches!(answer, Err(StoreError::Failed(_))), "{answer:?}");
    assert!(world.settings().is_empty());
    world.store.read(Ping).await.unwrap();
    world.stop().await;
}

struct Panicking;

impl ReadOp for Panicking {
    type Output = ();

    fn run(&self, _tx: &mut ReadTx<'_>) -> Result<(), StoreError> {
        resume_unwind(Box::new("planned"))
    }
}

#[actix::test]
async fn a_question_that_panics_costs_no_reader() {
    let world = World::new();
    // More often than there are readers and connections.
    for _ in 0..10 {
        assert_eq!(world.store.read(Panicking).await, Err(StoreError::Panicked));
    }
    world.store.read(Ping).await.unwrap();
    assert_eq!(world.store.dead_actor(), None);
    world.stop().await;
}

#[actix::test]
async fn a_slow_report_delays_nobody_and_its_lane_turns_away_what_it_cannot_hold() {
    let world = World::new();
    let gate = hold_report_reader(&world).await;
    let question = CountLiveDeviceCodes { most: 10, now: world.now() };
    // The lane admits 512; one is inside.
    let begun = Rc::new(Cell::new(0));
    let waiting: Vec<_> = (0..511)
        .map(|_| {
            let (store, begun) = (world.store.clone(), begun.clone());
            actix::spawn(async move {
                // A read that finds a place takes it at once, so a task that began has its own.
                begun.set(begun.get() + 1);
                store.read(question).await
            })
        })
        .collect();
    while begun.get() < waiting.len() {
        world.store.observe().await;
    }
    // Two seconds later, the budget of a request: the only test that waits for time to pass.
    assert_eq!(world.store.read(question).await, Err(StoreError::Busy));
    world.store.read(Ping).await.unwrap();
    world.store.write(Put::good("a")).await.unwrap();
    drop(gate);
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), Ok(0));
    }
    assert_eq!(world.store.read(question).await, Ok(0));
    world.stop().await;
}
