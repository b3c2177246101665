//! Storage and everything that runs without a request.

pub mod clock;
