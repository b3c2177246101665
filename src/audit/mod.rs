//! The audit log, for people who read it.
//!
//! ```text
//! GET /api/platform/audit-log             -> of_platform       every chain there is
//! GET /api/organizations/{org}/audit-log  -> of_organization   the organization's own chain
//! ```
//!
//! Both take `action target_type target_id user_id start_date end_date` and `page`/`limit` or `offset`. Entries are
//! written by the operations that they tell of, see `gatehouse_actors::data::audit`.

pub mod api;
pub mod handlers;
mod rules;
mod view;
