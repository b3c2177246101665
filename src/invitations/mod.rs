//! Invitations to administer an organization.
//!
//! ```text
//! POST   /api/organizations/{org}/invitations       handlers::create -> CreateInvitation -> COMMIT -> mail queue
//! GET    /api/organizations/{org}/invitations       handlers::list
//! POST, DELETE …/invitations/{invitation}           handlers::cancel -> CancelInvitation
//! GET    /api/invitations                           handlers::mine: pending for the caller's address
//! POST   /api/invitations/accept, /decline          handlers::accept, decline
//!
//! in the browser:
//! GET  /invitations/accept?token=   acceptance::show -> link to /auth/admin/{provider}?invitation=
//!   sign-in (login::arrival) leaves a sealed claim of this browser: this account, for this invitation
//! GET  /invitations/confirm         acceptance::confirm: names organization, role, inviter, account
//! POST /invitations/confirm         acceptance::decide -> AcceptInvitation | DeclineInvitation
//! ```
//! A token is shown once, in the answer that made it and in the mail; the database has its hash.

pub mod acceptance;
pub mod api;
pub mod handlers;
mod view;
