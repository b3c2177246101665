//! Organizations: registered by anybody, listed, read and renamed by their members.
//!
//! ```text
//! POST /api/organizations -> register ─ signed in:  the caller owns it
//!                                     └ anonymous:  owner_email may claim it by a verified platform sign-in
//! GET  /api/organizations -> list         GET, PATCH /api/organizations/{org} -> show, rename
//! ```
//!
//! A claim never happens behind anybody's back: it stands in the organization's audit log, the organization shows up
//! in the claimant's list, and while it is pending they give it back by leaving it (see `members`).

pub mod api;
pub mod handlers;
mod rules;
mod view;
