//! Gatehouse: a multi-tenant sign-on platform. This crate speaks HTTP; `gatehouse-actors` owns the data.

pub mod config;
pub mod dev;
pub mod pages;
pub mod upstream;
