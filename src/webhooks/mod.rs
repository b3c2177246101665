//! Webhooks: an organization's own receivers of its events.
//!
//! ```text
//! GET    /api/organizations/{org}/webhooks                                       -> handlers::list
//! POST   /api/organizations/{org}/webhooks                                       -> handlers::create
//! GET    /api/organizations/{org}/webhooks/{webhook}                             -> handlers::show
//! PATCH  /api/organizations/{org}/webhooks/{webhook}                             -> handlers::update
//! DELETE /api/organizations/{org}/webhooks/{webhook}                             -> handlers::delete
//! POST   /api/organizations/{org}/webhooks/{webhook}/secret                      -> handlers::rotate
//! POST   /api/organizations/{org}/webhooks/{webhook}/ping                        -> deliveries::ping
//! GET    /api/organizations/{org}/webhooks/{webhook}/deliveries                  -> deliveries::list
//! POST   /api/organizations/{org}/webhooks/{webhook}/deliveries/{event}/replay   -> deliveries::replay
//! ```
//!
//! Events reach a webhook through the outbox, see [`crate::delivery`]. A delivery goes by the id of its event: a
//! webhook gets every event once, and a replay sends the same again.

pub mod api;
pub mod deliveries;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod handlers;
mod rules;
mod view;
