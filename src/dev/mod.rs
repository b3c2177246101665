//! What exists in dev mode only: seeded data, a provider inside the binary, a demo app.

pub mod demo;
pub mod provider;
pub mod seed;
