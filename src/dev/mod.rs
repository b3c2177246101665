//! What exists in dev mode only.

pub mod provider;
