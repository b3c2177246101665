//! Services, their plans and their client secrets, as an organization manages them.
//!
//! ```text
//! POST   /api/organizations/{org}/services                        -> handlers::create
//! GET    /api/organizations/{org}/services                        -> handlers::list
//! GET    /api/organizations/{org}/services/{svc}                  -> handlers::show
//! PATCH  /api/organizations/{org}/services/{svc}                  -> handlers::update
//! DELETE /api/organizations/{org}/services/{svc}                  -> handlers::delete
//! POST   /api/organizations/{org}/services/{svc}/client-secret    -> secrets::rotate
//! DELETE /api/organizations/{org}/services/{svc}/client-secret    -> secrets::remove
//! POST   /api/organizations/{org}/services/{svc}/plans            -> plans::create
//! GET    /api/organizations/{org}/services/{svc}/plans            -> plans::list
//! PATCH  /api/organizations/{org}/services/{svc}/plans/{plan}     -> plans::update
//! DELETE /api/organizations/{org}/services/{svc}/plans/{plan}     -> plans::delete
//! ```

pub mod api;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod handlers;
pub mod plans;
mod registration;
mod rules;
pub mod secrets;
mod view;
