//! Limits that are kept in memory: how fast a device code is polled, how often a user code, the token of an invitation or
//! the secret of a client is guessed, how often organizations are registered, how many event streams are open.

pub mod by_address;
pub mod guesses;
pub mod pacing;
pub mod streams;
