//! Billing: what Stripe tells, and what a user has bought.
//!
//! ```text
//! POST /webhooks/stripe       -> webhooks::of_platform
//!   raw body -> signature::verify -> Event::parse -> StoreStripeEvent (write) -> 200 -> StripeEventActor
//! POST /webhooks/stripe/{org} -> webhooks::of_organization: the same, for an account of the organization's own
//! GET  /api/subscription      -> handlers::subscription (SignedIn reads it all) -> view::subscription
//! POST /api/billing/checkout  -> checkout::checkout -> BeginCheckout (write) -> Stripe -> CheckoutIsOpen (write)
//! POST /api/billing/portal    -> checkout::portal -> Stripe
//! POST /api/organizations/{org}/billing/checkout, /portal  -> checkout::organization_checkout, organization_portal
//! GET, POST, DELETE /api/organizations/{org}/stripe-account -> accounts::show, save, remove
//! POST /internal/billing/reconcile, /replay                 -> operations::reconcile, replay (gatehouse billing)
//! ```

pub mod accounts;
pub mod api;
pub mod checkout;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod handlers;
pub mod operations;
mod rules;
pub(crate) mod signature;
mod view;
pub mod webhooks;
