//! Who signs in, to what, through which provider, and whether it grows.
//!
//! ```text
//! GET /api/organizations/{org}/analytics/login-trends        -> handlers::trends       every day of a range
//! GET /api/organizations/{org}/analytics/logins-by-service   -> handlers::by_service
//! GET /api/organizations/{org}/analytics/logins-by-provider  -> handlers::by_provider
//! GET /api/organizations/{org}/analytics/recent-logins       -> handlers::recent       limit, outcome
//! GET /api/organizations/{org}/analytics/export              -> export::export         format; streamed, audited
//! GET /api/platform/analytics/overview                       -> platform::overview
//! GET /api/platform/analytics/organization-status            -> platform::statuses
//! GET /api/platform/analytics/growth-trends                  -> platform::growth       every day of a range
//! GET /api/platform/analytics/login-activity                 -> platform::activity     every day of a range
//! GET /api/platform/analytics/top-organizations              -> platform::top          limit
//! GET /api/platform/analytics/recent-organizations           -> platform::recent       limit
//! ```
//!
//! A range is `start_date` and `end_date`, days of UTC, both included, at most 366 of them; the last 30 days without.
//! Events and counts are written by the operations that they tell of, see `gatehouse_actors::data::login_events`.

pub mod api;
mod csv;
pub mod export;
pub mod handlers;
pub mod platform;
mod view;
