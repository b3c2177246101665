//! Writes share commits, and nobody notices but the clock: everyone gets the answer to their own operation, and the
//! database holds exactly what was accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::task::{Context, Waker};

use actix::System;
use futures_util::future::join_all;
use gatehouse_actors::error::{OpError, StoreError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::support::{Ending, Put, REFUSED, World, failure, fresh, hold_writer, spawn_write};

/// One caller of a generated crowd.
#[derive(Debug, Clone, Copy)]
enum Caller {
    /// Writes a row of its own, or does harm.
    Alone(Ending),
    /// Wants a row that others may want as well: the first one gets it.
    Rival(u8),
}

fn caller() -> impl Strategy<Value = Caller> {
    prop_oneof![
        6 => Just(Caller::Alone(Ending::Good)),
        2 => Just(Caller::Alone(Ending::RefuseAfterWriting)),
        1 => Just(Caller::Alone(Ending::Panic)),
        1 => Just(Caller::Alone(Ending::PanicAfterWriting)),
        4 => (0..6_u8).prop_map(Caller::Rival),
    ]
}

impl Caller {
    fn put(self, case: u64, position: usize) -> Put {
        let value = format!("{case}/{position}");
        match self {
            Self::Alone(ending) => Put { name: value.clone(), value, ending },
            Self::Rival(row) => Put { name: format!("{case}/rival {row}"), value, ending: Ending::Good },
        }
    }
}

#[test]
fn everybody_gets_their_own_answer_and_the_database_equals_the_accepted_set() {
    let system = System::new();
    let world = system.block_on(async { World::new() });
    let mut runner = TestRunner::new(Config { cases: 96, failure_persistence: None, ..Config::default() });
    let crowds = (prop::collection::vec(caller(), 1..90), any::<bool>());
    let outcome =
        runner.run(&crowds, |(crowd, together)| system.block_on(crowd_writes(&world, crowd, together)));
    outcome.unwrap();
    system.block_on(async {
        assert!(world.figure("commit_queue", "largest_batch").await > 1, "no batch was ever shared");
        assert_eq!(world.store.dead_actor(), None);
        world.stop().await;
    });
}

/// All callers at once; `together` makes them share one batch, else the batches fall as they may.
async fn crowd_writes(world: &World, crowd: Vec<Caller>, together: bool) -> Result<(), TestCaseError> {
    world.execute("DELETE FROM settings");
    let case = fresh();
    let gate = if together { Some(hold_writer(world).await) } else { None };
    let puts: Vec<Put> =
        crowd.iter().enumerate().map(|(position, caller)| caller.put(case, position)).collect();
    let writes: Vec<_> = puts.iter().map(|put| spawn_write(&world.store, put.clone())).collect();
    if together {
        world.until("commit_queue", "waiting", puts.len() as u64).await;
    }
    drop(gate);
    let mut accepted = BTreeMap::new();
    let mut outdone = BTreeSet::new();
    for ((caller, put), write) in crowd.iter().zip(&puts).zip(writes) {
        match (caller, write.await) {
            (Caller::Alone(Ending::Good) | Caller::Rival(_), Ok(value)) => {
                prop_assert_eq!(&value, &put.value, "somebody else's answer");
                let earlier = accepted.insert(put.name.clone(), value);
                prop_assert_eq!(earlier, None, "two callers were told that the row is theirs");
            }
            (Caller::Alone(Ending::RefuseAfterWriting), Err(OpError::Refused(reason))) => {
                prop_assert_eq!(reason, format!("{REFUSED}{}", put.name));
            }
            (Caller::Rival(_), Err(OpError::Store(StoreError::Constraint(_)))) => {
                outdone.insert(put.name.clone());
            }
            (
                Caller::Alone(Ending::Panic | Ending::PanicAfterWriting),
                Err(OpError::Store(StoreError::Panicked)),
            ) => {}
            (caller, answer) => prop_assert!(false, "{caller:?} was answered {answer:?}"),
        }
    }
    prop_assert!(outdone.iter().all(|name| accepted.contains_key(name)), "a conflict that nobody won");
    prop_assert_eq!(world.settings(), accepted);
    Ok(())
}

#[actix::test]
async fn more_than_a_batch_at_once_is_split_into_full_batches() {
    let world = World::new();
    let gate = hold_writer(&world).await;
    let before = world.figure("commit_queue", "commits").await;
    let writes: Vec<_> =
        (0..1000).map(|number| spawn_write(&world.store, Put::good(format!("row {number}")))).collect();
    world.until("commit_queue", "waiting", 1000).await;
    drop(gate);
    for (number, answer) in join_all(writes).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), format!("value of row {number}"));
    }
    world.until("commit_queue", "in_flight", 0).await;
    assert_eq!(world.settings().len(), 1000);
    assert_eq!(world.figure("commit_queue", "largest_batch").await, 256);
    // The gate's own commit, then 256 + 256 + 256 + 232.
    assert_eq!(world.figure("commit_queue", "commits").await - before, 1 + 4);
    world.stop().await;
}

#[actix::test]
async fn more_than_is_admitted_waits_for_a_place_and_is_written_all_the_same() {
    let world = World::new();
    let writes = (0..2500).map(|number| world.store.write(Put::good(format!("row {number}"))));
    let answers = join_all(writes).await;
    assert!(answers.iter().all(Result::is_ok), "{:?}", answers.iter().find(|answer| answer.is_err()));
    assert_eq!(world.settings().len(), 2500);
    world.stop().await;
}

#[actix::test]
async fn a_write_alone_waits_for_nobody() {
    let world = World::new();
    for number in 0..5 {
        world.store.write(Put::good(format!("row {number}"))).await.unwrap();
    }
    world.until("commit_queue", "commits", 5).await;
    assert_eq!(world.figure("commit_queue", "largest_batch").await, 1);
    world.stop().await;
}

#[actix::test]
async fn an_answer_exists_only_after_the_commit() {
    let world = World::new();
    for number in 0..20 {
        let name = format!("row {number}");
        world.store.write(Put::good(name.clone())).await.unwrap();
        // Another connection sees committed rows only.
        assert!(world.settings().contains_key(&name));
    }
    world.stop().await;
}

#[actix::test]
async fn a_caller_that_gives_up_while_queued_loses_nothing() {
    let world = World::new();
    let gate = hold_writer(&world).await;
    let neighbour = spawn_write(&world.store, Put::good("neighbour"));
    let harmful = spawn_write(&world.store, Put::good("harmful").ending(Ending::PanicAfterWriting));
    world.until("commit_queue", "waiting", 2).await;
    {
        let mut leaver = pin!(world.store.write(Put::good("leaver")));
        assert!(leaver.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        world.until("commit_queue", "waiting", 3).await;
    }
    let late = spawn_write(&world.store, Put::good("late"));
    world.until("commit_queue", "waiting", 4).await;
    drop(gate);
    assert_eq!(neighbour.await.unwrap(), "value of neighbour");
    assert_eq!(failure(harmful.await), StoreError::Panicked);
    assert_eq!(late.await.unwrap(), "value of late");
    // The change of the caller that left was accepted, and what was accepted stands.
    assert_eq!(world.settings().into_keys().collect::<Vec<_>>(), ["late", "leaver", "neighbour"]);
    world.stop().await;
}

#[actix::test]
async fn callers_that_give_up_at_any_moment_leave_whole_rows_or_none_and_give_their_place_back() {
    let world = World::new();
    // More than there are places: a leaked place would starve the last write.
    for round in 0..3000 {
        let mut leaver = pin!(world.store.write(Put::good(format!("leaver {round}"))));
        let _ = leaver.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if round % 100 == 0 {
            world.store.write(Put::good(format!("neighbour {round}"))).await.unwrap();
        }
    }
    world.store.write(Put::good("last")).await.unwrap();
    let rows = world.settings();
    assert!(rows.iter().all(|(name, value)| *value == format!("value of {name}")));
    assert_eq!(rows.keys().filter(|name| name.starts_with("neighbour")).count(), 30);
    world.stop().await;
}

#[actix::test]
async fn callers_on_several_threads_share_the_one_writer() {
    let world = World::new();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let store = world.store.clone();
            std::thread::spawn(move || {
                System::new().block_on(async move {
                    let writes = (0..100).map(|number| store.write(Put::good(format!("{thread}/{number}"))));
                    join_all(writes).await.into_iter().all(|answer| answer.is_ok())
                })
            })
        })
        .collect();
    // Until all have finished the thread must stay free: it carries the messages to the writer.
    world.until("commit_queue", "operations", 400).await;
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    assert_eq!(world.settings().len(), 400);
    world.stop().await;
}
