//! The whole application over HTTP, in process: a real port, a database of its own per test, a clock that stands
//! still until the test moves it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]
#![allow(clippy::large_futures, reason = "a test's future lives once, on its own stack")]

mod api_document;
mod authorize;
mod callers;
mod credentials;
mod errors;
mod hostile;
mod lifetimes;
mod limits;
mod login_exports;
mod metrics;
mod modes;
mod rates;
mod sign_out;
mod support;
mod token_endpoints;
mod tokens;
