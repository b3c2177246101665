//! What platform owners do: let organizations in and keep them in line, and decide who owns the platform.
//!
//! ```text
//! GET    /api/platform/tiers                        -> tiers
//! PATCH  /api/platform/tiers/{id}                   -> tiers::set_price   the price at Stripe
//! GET    /api/platform/organizations                -> list      status, tier_id, search, page/limit or offset
//! POST   /api/platform/organizations/{id}/approve   -> approve   pending -> active
//! POST   /api/platform/organizations/{id}/reject    -> reject    pending -> rejected
//! POST   /api/platform/organizations/{id}/suspend   -> suspend   active -> suspended; ends sessions, codes, invitations
//! POST   /api/platform/organizations/{id}/activate  -> activate  suspended -> active; brings nothing back
//! PATCH  /api/platform/organizations/{id}/tier      -> set_tier
//! POST   /api/platform/owners                       -> appoint
//! DELETE /api/platform/owners/{user_id}             -> demote    never the last, never oneself
//! ```

pub mod api;
pub mod handlers;
pub mod owners;
pub mod tiers;
mod view;
