//! Limits that are kept in memory: how often something may be asked or guessed, how fast a device code is polled, how
//! many connections and event streams are open.

pub mod connections;
pub mod guesses;
pub mod limits;
pub mod pacing;
pub mod rate;
pub mod streams;
