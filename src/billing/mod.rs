//! Billing: what Stripe tells, and what a user has bought.
//!
//! ```text
//! POST /webhooks/stripe       -> webhooks::of_platform
//!   raw body -> signature::verify -> Event::parse -> StoreStripeEvent (write) -> 200 -> StripeEventActor
//! GET  /api/subscription      -> handlers::subscription (SignedIn reads it all) -> view::subscription
//! ```

pub mod handlers;
mod signature;
mod view;
pub mod webhooks;
