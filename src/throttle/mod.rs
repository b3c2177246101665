//! Limits that are kept in memory: how fast a device code is polled, how often a user code is guessed.

pub mod guesses;
pub mod pacing;
