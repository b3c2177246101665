//! The storage crate through its public interface: one binary, a fresh database per test, no sleeping.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]
#![allow(clippy::large_futures, reason = "a test's future lives once, on its own stack")]

mod billing;
mod faults;
mod group_commit;
mod housekeeping;
mod lifecycle;
mod memory;
mod operations;
mod outbox;
mod reads;
mod statements;
mod support;
