//! What the tests share: a running application, a client, whole sign-ins, tokens of our own making, snapshots.

mod client;
mod flows;
mod forge;
mod rewind;
mod snapshot;
mod world;

pub(crate) use client::{Answer, Browser, Request, parameter};
pub(crate) use flows::{DEVICE_GRANT, Device, SignIn, Tokens, authorize_query, redeem_form};
pub(crate) use forge::{Forge, claims_of};
pub(crate) use rewind::Moment;
pub(crate) use snapshot::{assert_snapshot, visible_text};
pub(crate) use world::{PLATFORM_REDIRECT_URI, World, run, run_deployed, run_limited, run_production};
