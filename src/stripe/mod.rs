//! Stripe's API: requests built by async-stripe, carried by the one HTTP client, answers read by our own tolerant
//! structs (docs/adr/0023). Used by the actor (as its port) and by the handlers that sell.

mod client;
pub mod keys;
mod port;
pub mod sale;

pub use client::{Stripe, StripeError};
pub use keys::StripeKeys;
pub use port::port_factory;
