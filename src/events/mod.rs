//! The feed of an organization's events, for its administrators.
//!
//! ```text
//! GET /api/organizations/{org}/events?after&limit&types    -> handlers::follow
//!       Accept: application/json (or nothing)   one page, and a cursor to go on from   (handlers::page)
//!       Accept: text/event-stream               what is there, then what comes         (stream::open)
//! ```
//!
//! A cursor is the id of the last event seen. Events are numbered per organization by the one writer, so a reader who
//! goes on from a cursor misses nothing and sees nothing twice, also while writes go on.

pub mod api;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod handlers;
mod rules;
mod stream;
