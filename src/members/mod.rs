//! The team of an organization.
//!
//! ```text
//! GET          /{org}/members                     -> list
//! PATCH        /{org}/members/{user_id} {role}    -> change_role     owner; to "owner" hands over ownership
//! POST, DELETE /{org}/members/{user_id}           -> remove          admin: members; owner: everybody; oneself: leave
//! POST         /{org}/transfer-ownership          -> transfer        owner, to a member; the old owner stays as admin
//! POST         /{org}/members/transfer-ownership  -> transfer
//! ```
//!
//! The guard lets in whoever might be allowed; the operation looks again, inside the transaction.

pub mod api;
pub mod handlers;
mod view;
