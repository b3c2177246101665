//! From the first start to the last step of a stop.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use gatehouse_actors::engine::Engine;
use gatehouse_actors::engine::migrate::MigrateError;
use gatehouse_actors::error::StoreError;
use gatehouse_actors::system::StartError;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{
    Plan, Put, World, failure, hold_writer, issue_device_code, platform, spawn_write, start,
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Why the actors do not start over the file at `path`.
fn refused(path: &Path) -> MigrateError {
    match start(path.to_path_buf(), &Arc::<Plan>::default()) {
        Err(StartError::Migrate(error)) => error,
        Err(error) => panic!("expected a refusal to start, got {error:?}"),
        Ok(_) => panic!("started"),
    }
}

#[actix::test]
async fn a_missing_folder_and_file_are_created_for_the_owner_alone() {
    let folder = TempDir::new().unwrap();
    let (parent, path) = (folder.path().join("new/data"), folder.path().join("new/data/gatehouse.db"));
    let system = start(path.clone(), &Arc::<Plan>::default()).unwrap();
    system.store().write(Put::good("a")).await.unwrap();
    assert_eq!(mode(&parent), 0o700);
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let file = parent.join(format!("gatehouse.db{suffix}"));
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    system.stop().await;
}

#[actix::test]
async fn a_folder_that_exists_keeps_its_mode() {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
    let system = start(folder.path().join("gatehouse.db"), &Arc::<Plan>::default()).unwrap();
    assert_eq!(mode(folder.path()), 0o750);
    system.stop().await;
}

#[actix::test]
async fn a_path_that_cannot_be_opened_is_named() {
    let folder = TempDir::new().unwrap();
    let in_the_way = folder.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let MigrateError::Open { path, .. } = refused(&in_the_way.join("gatehouse.db")) else {
        panic!("expected Open")
    };
    assert!(path.starts_with(&in_the_way), "{}", path.display());
}

#[actix::test]
async fn one_process_per_database_file() {
    let world = World::new();
    assert!(matches!(refused(&world.path()), MigrateError::InUse(path) if path == world.path()));
    // The first one is not disturbed.
    world.store.write(Put::good("a")).await.unwrap();
    let path = world.path();
    let folder = world.stop().await;
    let second = start(path, &Arc::<Plan>::default()).unwrap();
    second.store().write(Put::good("b")).await.unwrap();
    second.stop().await;
    drop(folder);
}

#[actix::test]
async fn a_restart_finds_what_was_written_and_migrates_nothing() {
    let world = World::new();
    world.store.write(Put::good("a")).await.unwrap();
    let path = world.path();
    let folder = world.stop().await;
    let applied = "SELECT group_concat(version || applied_on) FROM schema_migrations";
    let before = text(&path, applied);
    let second = start(path.clone(), &Arc::<Plan>::default()).unwrap();
    assert_eq!(text(&path, "SELECT value FROM settings WHERE name = 'a'"), "value of a");
    assert_eq!(text(&path, applied), before);
    second.stop().await;
    drop(folder);
}

fn text(path: &Path, sql: &str) -> String {
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// A database that was migrated, stopped, and then changed by `sql`.
async fn altered(sql: &str) -> (TempDir, MigrateError) {
    let world = World::new();
    let path = world.path();
    let folder = world.stop().await;
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let error = refused(&path);
    (folder, error)
}

#[actix::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let (folder, error) = altered(
        "INSERT INTO schema_migrations (version, name, applied_on, checksum) \
         VALUES (4711, 'from_the_future', '2030-01-01T00:00:00Z', '1')",
    )
    .await;
    assert!(matches!(error, MigrateError::Newer { found: 4711, known } if known < 4711), "{error}");
    let path = folder.path().join("gatehouse.db");
    assert_eq!(text(&path, "SELECT CAST(MAX(version) AS TEXT) FROM schema_migrations"), "4711");
}

#[actix::test]
async fn an_applied_migration_with_another_text_is_refused() {
    let (_folder, error) = altered("UPDATE schema_migrations SET checksum = '1' WHERE version = 1").await;
    assert!(matches!(error, MigrateError::Failed(_)), "{error}");
}

#[actix::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("gatehouse.db");
    let letter = "Dear diary, this is not a database. ".repeat(100);
    fs::write(&path, &letter).unwrap();
    let error = refused(&path);
    assert!(matches!(error, MigrateError::Engine(_)), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), letter);
}

#[actix::test]
async fn a_stop_flushes_what_is_in_flight_and_leaves_an_empty_log() {
    let world = World::new();
    let terminal = platform(&world).await;
    let gate = hold_writer(&world).await;
    let writes: Vec<_> =
        (0..300).map(|number| spawn_write(&world.store, Put::good(format!("row {number}")))).collect();
    world.until("commit_queue", "waiting", 300).await;
    // One operation for all of them.
    let codes: Vec<_> = (0..40).map(|_| actix::spawn(issue_device_code(&world, &terminal))).collect();
    world.until("commit_queue", "waiting", 301).await;
    let (store, system, folder) = world.into_parts();
    let bell = system.death_bell();
    let stopping = actix::spawn(system.stop());
    store.observe().await;
    drop(gate);
    stopping.await.unwrap();

    assert!(join_all(writes).await.iter().all(Result::is_ok));
    assert!(join_all(codes).await.into_iter().all(|code| code.unwrap().is_ok()));
    let path = folder.path().join("gatehouse.db");
    assert_eq!(Engine::new(&path).log_length(), 0);
    assert_eq!(text(&path, "SELECT CAST(COUNT(*) AS TEXT) FROM settings"), "300");
    assert_eq!(text(&path, "SELECT CAST(COUNT(*) AS TEXT) FROM device_codes"), "40");
    assert_eq!(bell.dead(), None, "stopping in good order is not dying");
}

#[actix::test]
async fn a_stop_waits_for_every_batch_of_writes() {
    let world = World::new();
    let gate = hold_writer(&world).await;
    let writes: Vec<_> =
        (0..600).map(|number| spawn_write(&world.store, Put::good(format!("row {number}")))).collect();
    world.until("commit_queue", "waiting", 600).await;
    let (_store, system, _folder) = world.into_parts();
    let stopping = actix::spawn(system.stop());
    drop(gate);
    stopping.await.unwrap();
    let unanswered = join_all(writes).await.into_iter().filter(Result::is_err).count();
    assert_eq!(unanswered, 0);
}

#[actix::test]
async fn after_a_stop_nothing_is_written_and_callers_are_told() {
    let world = World::new();
    let terminal = platform(&world).await;
    let (store, system, folder) = world.into_parts();
    let late_code = {
        let world = World::new();
        let code = issue_device_code(&world, &terminal);
        world.stop().await;
        code.await
    };
    assert_eq!(late_code, Err(StoreError::Closed));
    system.stop().await;
    assert_eq!(failure(store.write(Put::good("late")).await), StoreError::Closed);
    let path = folder.path().join("gatehouse.db");
    assert_eq!(text(&path, "SELECT CAST(COUNT(*) AS TEXT) FROM settings"), "0");
}

#[actix::test]
async fn a_batcher_that_panics_rings_the_death_bell_and_leaves_nobody_waiting() {
    let world = World::new();
    let terminal = platform(&world).await;
    let gate = hold_writer(&world).await;
    let in_flight = actix::spawn(issue_device_code(&world, &terminal));
    world.until("device_code_batcher", "batches", 1).await;
    world.mint.breaks.store(true, Ordering::SeqCst);
    assert_eq!(issue_device_code(&world, &terminal).await, Err(StoreError::Closed));
    assert_eq!(world.dead_actor().await, "device code batcher");
    assert_eq!(world.store.dead_actor(), Some("device code batcher"));
    // Until the process has drained, who was in flight is answered, and who comes late is served by another one.
    drop(gate);
    assert!(in_flight.await.unwrap().is_ok());
    assert!(issue_device_code(&world, &terminal).await.is_ok());
    world.stop().await;
}

#[actix::test]
async fn a_vital_actor_that_panics_rings_the_death_bell() {
    let world = World::new();
    let gate = hold_writer(&world).await;
    let in_flight = spawn_write(&world.store, Put::good("in flight"));
    world.until("commit_queue", "waiting", 1).await;
    world.kill_outbox().await;
    assert_eq!(world.dead_actor().await, "outbox");
    assert_eq!(world.store.dead_actor(), Some("outbox"));
    // The others serve until the process has drained, and the stop still ends.
    drop(gate);
    in_flight.await.unwrap();
    world.store.write(Put::good("draining")).await.unwrap();
    assert_eq!(world.settings().len(), 2);
    world.stop().await;
}

#[actix::test]
async fn every_actor_tells_about_itself() {
    let world = World::new();
    let actors: Vec<_> = world.store.observe().await.iter().map(|snapshot| snapshot.actor).collect();
    assert_eq!(
        actors,
        [
            "commit_queue",
            "device_code_batcher",
            "wal_checkpointer",
            "housekeeper",
            "outbox",
            "stripe_event_actor",
            "store"
        ]
    );
    world.store.write(Put::good("a")).await.unwrap();
    assert!(world.figure("wal_checkpointer", "log_bytes").await > 0);
    world.stop().await;
}
