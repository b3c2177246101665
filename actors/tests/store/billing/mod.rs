//! Stripe's events, from the inbox to the entitlement.

mod convergence;
mod events;
mod inbox;
mod stage;
