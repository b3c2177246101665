//! Limits that are kept in memory: how fast a device code is polled, how often a user code or the token of
//! an invitation is guessed, how many event streams are open.

pub mod by_address;
pub mod guesses;
pub mod pacing;
pub mod streams;
