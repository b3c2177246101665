//! Gatehouse: a multi-tenant sign-on platform. This crate speaks HTTP; `gatehouse-actors` owns the data.
//!
//! Start reading at [`app`], the route table; then one slice, such as [`device`].

pub mod account;
pub mod analytics;
pub mod app;
pub mod audit;
pub mod billing;
pub mod cli;
pub mod config;
pub mod credentials;
pub mod crypto;
pub mod delivery;
pub mod dev;
pub mod device;
pub mod drain;
pub mod edge;
pub mod end_users;
pub mod error;
pub mod events;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod health;
pub mod http;
pub mod invitations;
mod key_keeper;
pub mod linking;
pub mod login;
pub mod logout;
pub mod mail;
pub mod members;
pub mod metrics;
pub mod oidc;
pub mod openapi;
pub mod orgs;
pub mod pages;
pub mod platform;
pub mod provider_tokens;
pub mod reference;
pub mod server;
pub mod services;
pub mod sessions;
pub mod state;
pub mod stripe;
pub mod telemetry;
pub mod throttle;
pub mod tokens;
pub mod upstream;
pub mod vault;
pub mod webhooks;

pub use server::{Running, start};
