//! Planned failures at every step of a batch: who is told what, and what is in the database afterwards.

use std::future::Future;

use futures_util::future::join_all;
use gatehouse_actors::data::installation::ProbeWrites;
use gatehouse_actors::engine::Statement;
use gatehouse_actors::error::{OpError, StoreError};
use gatehouse_actors::faults::FaultPoint;

use crate::support::{Act, Ending, Put, Run, World, failure, hold_writer, refusal, spawn_write};

fn disk_failed() -> StoreError {
    StoreError::Failed("planned".to_owned())
}

fn constraint() -> StoreError {
    StoreError::Constraint("planned".to_owned())
}

type Answer = Result<String, OpError<String>>;

/// Writes the puts in one batch. A fault at COMMIT or after it must spare the one batch before.
async fn in_one_batch(world: &World, puts: impl IntoIterator<Item = Put>) -> Vec<Answer> {
    let gate = hold_writer(world).await;
    let writes: Vec<_> = puts.into_iter().map(|put| spawn_write(&world.store, put)).collect();
    release(world, gate, writes).await
}

async fn release<A>(
    world: &World,
    gate: crate::support::Gate,
    writes: Vec<impl Future<Output = A>>,
) -> Vec<A> {
    world.until("commit_queue", "waiting", writes.len() as u64).await;
    drop(gate);
    join_all(writes).await
}

fn rows(names: &[&str]) -> Vec<Put> {
    names.iter().map(|name| Put::good(*name)).collect()
}

async fn next_write_works(world: &World) {
    assert_eq!(world.store.write(Put::good("next")).await.unwrap(), "value of next");
    assert!(world.settings().contains_key("next"));
    assert!(world.plan.is_done(), "a planned fault never happened: {:?}", world.plan);
}

fn names(world: &World) -> Vec<String> {
    world.settings().into_keys().collect()
}

#[actix::test]
async fn a_disk_that_refuses_shows_until_a_write_succeeds() {
    let world = World::new();
    assert!(!world.store.writes_failing());
    world.plan.add(FaultPoint::Commit, 1, Act::Fail(disk_failed()));
    for answer in in_one_batch(&world, rows(&["a", "b"])).await {
        assert_eq!(failure(answer), disk_failed());
    }
    assert!(world.store.writes_failing());
    world.store.write(ProbeWrites { now: 1 }).await.unwrap();
    assert!(!world.store.writes_failing());
}

#[actix::test]
async fn a_transaction_that_cannot_begin_fails_every_caller_and_writes_nothing() {
    let world = World::new();
    world.plan.add(FaultPoint::Begin, 1, Act::Fail(disk_failed()));
    for answer in in_one_batch(&world, rows(&["a", "b", "c"])).await {
        assert_eq!(failure(answer), disk_failed());
    }
    assert_eq!(names(&world), [""; 0]);
    next_write_works(&world).await;
    assert_eq!(world.store.dead_actor(), None);
    world.stop().await;
}

#[actix::test]
async fn a_locked_database_is_told_as_locked() {
    let world = World::new();
    world.plan.add(FaultPoint::Begin, 0, Act::Fail(StoreError::Locked));
    assert_eq!(failure(world.store.write(Put::good("a")).await), StoreError::Locked);
    next_write_works(&world).await;
    world.stop().await;
}

#[actix::test]
async fn a_failure_of_one_operation_is_told_to_its_caller_alone() {
    for error in [disk_failed(), constraint(), StoreError::Locked] {
        let world = World::new();
        world.plan.add(FaultPoint::Apply(1), 0, Act::Fail(error.clone()));
        let answers = in_one_batch(&world, rows(&["a", "b", "c"])).await;
        let [a, b, c] = answers.try_into().unwrap();
        assert_eq!(
            (a.unwrap().as_str(), failure(b), c.unwrap().as_str()),
            ("value of a", error, "value of c")
        );
        assert_eq!(names(&world), ["a", "c"]);
        next_write_works(&world).await;
        world.stop().await;
    }
}

#[actix::test]
async fn a_panic_around_one_operation_is_told_to_its_caller_alone() {
    let world = World::new();
    world.plan.add(FaultPoint::Apply(0), 1, Act::Panic);
    world.plan.add(FaultPoint::Apply(2), 0, Act::Panic);
    let answers = in_one_batch(&world, rows(&["a", "b", "c", "d"])).await;
    let [a, b, c, d] = answers.try_into().unwrap();
    assert_eq!((failure(a), failure(c)), (StoreError::Panicked, StoreError::Panicked));
    assert!(b.is_ok() && d.is_ok());
    assert_eq!(names(&world), ["b", "d"]);
    next_write_works(&world).await;
    assert_eq!(world.store.dead_actor(), None);
    world.stop().await;
}

#[actix::test]
async fn a_connection_is_not_used_again_after_a_panic() {
    // A temporary table lives as long as its connection.
    const MARK: Run = Run(&[Statement { name: "MARK", sql: "CREATE TEMP TABLE mark (found INTEGER)" }]);
    const LOOK: Run = Run(&[Statement { name: "LOOK", sql: "SELECT COUNT(*) FROM temp.mark" }]);
    for ending in [Ending::Panic, Ending::PanicAfterWriting] {
        let world = World::new();
        world.store.write(MARK).await.unwrap();
        assert_eq!(world.store.write(LOOK).await.unwrap(), Some(0));
        assert_eq!(failure(world.store.write(Put::good("a").ending(ending)).await), StoreError::Panicked);
        let StoreError::Failed(reason) = failure(world.store.write(LOOK).await) else {
            panic!("the connection outlived a panic")
        };
        assert!(reason.contains("no such table"), "{reason}");
        next_write_works(&world).await;
        world.stop().await;
    }
}

#[actix::test]
async fn a_commit_that_blames_one_operation_is_run_again_one_by_one() {
    for error in [constraint(), StoreError::Conflict("planned".to_owned())] {
        let world = World::new();
        let before = world.figure("commit_queue", "commits").await;
        world.plan.add(FaultPoint::Commit, 1, Act::Fail(error));
        let puts = [
            Put::good("a"),
            Put::good("b").ending(Ending::RefuseAfterWriting),
            Put::good("a"),
            Put::good("c").ending(Ending::PanicAfterWriting),
            Put::good("d"),
        ];
        let [a, b, rival, c, d] = in_one_batch(&world, puts).await.try_into().unwrap();
        assert_eq!((a.unwrap().as_str(), d.unwrap().as_str()), ("value of a", "value of d"));
        assert_eq!(refusal(b), "refused by b");
        assert!(matches!(failure(rival), StoreError::Constraint(_)));
        assert_eq!(failure(c), StoreError::Panicked);
        assert_eq!(names(&world), ["a", "d"]);
        next_write_works(&world).await;
        // The gate's, the one that failed, one for each of the five, the last write's.
        world.until("commit_queue", "commits", before + 1 + 1 + 5 + 1).await;
        world.stop().await;
    }
}

#[actix::test]
async fn the_operation_to_blame_is_the_only_one_to_hear_of_it() {
    let world = World::new();
    world.plan.add(FaultPoint::Commit, 1, Act::Fail(constraint()));
    // In the second run, the commit of the second operation.
    world.plan.add(FaultPoint::Commit, 1, Act::Fail(constraint()));
    let [a, b, c] = in_one_batch(&world, rows(&["a", "b", "c"])).await.try_into().unwrap();
    assert_eq!(failure(b), constraint());
    assert!(a.is_ok() && c.is_ok());
    assert_eq!(names(&world), ["a", "c"]);
    next_write_works(&world).await;
    world.stop().await;
}

#[actix::test]
async fn a_violation_that_only_commit_finds_spares_the_neighbours() {
    // No plan: with deferred foreign keys the engine itself refuses the COMMIT.
    const ORPHAN: Run = Run(&[
        Statement { name: "DEFER", sql: "PRAGMA defer_foreign_keys = ON" },
        Statement {
            name: "ORPHAN",
            sql: "INSERT INTO plans (public_id, service_id, name, created_at) VALUES ('p', 4711, 'p', 0)",
        },
    ]);
    let world = World::new();
    let gate = hold_writer(&world).await;
    let a = spawn_write(&world.store, Put::good("a"));
    let orphan = spawn_write(&world.store, ORPHAN);
    let b = spawn_write(&world.store, Put::good("b"));
    world.until("commit_queue", "waiting", 3).await;
    drop(gate);
    assert!(matches!(failure(orphan.await), StoreError::Constraint(_)));
    assert_eq!((a.await.unwrap().as_str(), b.await.unwrap().as_str()), ("value of a", "value of b"));
    assert_eq!(names(&world), ["a", "b"]);
    assert_eq!(world.number("SELECT COUNT(*) FROM plans WHERE name = 'p'"), 0);
    next_write_works(&world).await;
    world.stop().await;
}

#[actix::test]
async fn a_commit_that_fails_for_all_is_told_to_all_and_not_tried_again() {
    let world = World::new();
    let before = world.figure("commit_queue", "commits").await;
    world.plan.add(FaultPoint::Commit, 1, Act::Fail(disk_failed()));
    let puts = [Put::good("a"), Put::good("b").ending(Ending::RefuseAfterWriting), Put::good("c")];
    for answer in in_one_batch(&world, puts).await {
        assert_eq!(failure(answer), disk_failed());
    }
    assert_eq!(names(&world), [""; 0]);
    next_write_works(&world).await;
    world.until("commit_queue", "commits", before + 3).await;
    assert_eq!(world.store.dead_actor(), None);
    world.stop().await;
}

#[actix::test]
async fn a_full_disk_fails_what_does_not_fit_and_nothing_else_for_good() {
    // The limit belongs to the connection, so it ends with it: a rebuilt connection is a disk with room again.
    const FILL: Run = Run(&[
        Statement { name: "LIMIT", sql: "PRAGMA max_page_count = 1" },
        Statement {
            name: "FILL",
            sql: "INSERT INTO settings (name, value) SELECT 'filler', hex(zeroblob(1000000))",
        },
    ]);
    let world = World::new();
    let gate = hold_writer(&world).await;
    let a = spawn_write(&world.store, Put::good("a"));
    let fill = spawn_write(&world.store, FILL);
    let b = spawn_write(&world.store, Put::good("b"));
    world.until("commit_queue", "waiting", 3).await;
    drop(gate);
    assert!(matches!(failure(fill.await), StoreError::Failed(_)));
    let accepted: Vec<_> = [("a", a.await), ("b", b.await)]
        .into_iter()
        .filter(|(_, answer)| answer.is_ok())
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names(&world), accepted);
    next_write_works(&world).await;
    world.stop().await;
}

#[actix::test]
async fn a_failure_after_the_commit_is_never_told_as_not_written() {
    let world = World::new();
    world.plan.add(FaultPoint::Reply, 1, Act::Fail(disk_failed()));
    let puts = [Put::good("a"), Put::good("b").ending(Ending::RefuseAfterWriting), Put::good("c")];
    let [a, b, c] = in_one_batch(&world, puts).await.try_into().unwrap();
    assert_eq!((a.unwrap().as_str(), c.unwrap().as_str()), ("value of a", "value of c"));
    assert_eq!(refusal(b), "refused by b");
    assert_eq!(names(&world), ["a", "c"]);
    next_write_works(&world).await;
    world.stop().await;
}

#[actix::test]
async fn a_panic_of_the_writer_itself_rings_the_death_bell() {
    let world = World::new();
    world.plan.add(FaultPoint::Commit, 1, Act::Panic);
    for answer in in_one_batch(&world, rows(&["a", "b"])).await {
        assert_eq!(failure(answer), StoreError::Closed);
    }
    assert_eq!(names(&world), [""; 0]);
    assert_eq!(world.dead_actor().await, "writer");
    assert_eq!(world.store.dead_actor(), Some("writer"));
    world.stop().await;
}
