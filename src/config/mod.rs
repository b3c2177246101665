//! Configuration: everything from the environment and `.env`, parsed into types.

pub mod provider;
pub mod secret;
