//! What the tests share: a world with a database of its own, planned failures, operations that misbehave.

mod fixtures;
mod misbehaving;
mod ports;
mod receivers;
mod teams;
mod world;

pub(crate) use fixtures::{
    Arrived, CHALLENGE, REDIRECT_URI, Tenant, code_for, code_of, code_request, device_sign_in,
    issue_device_code, new_code, new_session, person, platform, redeem_code, tenant, web_sign_in,
};
pub(crate) use misbehaving::{Ending, Gate, Put, REFUSED, Run, count_twice, hold_report_reader, hold_writer};
pub(crate) use ports::{Act, Mint, Plan, hash_of_secret, typed};
pub(crate) use receivers::Receivers;
pub(crate) use teams::{Administrator, administrator, audit, join, registered};
pub(crate) use world::{GRACE, World, spawn_write, start};

use gatehouse_actors::error::{OpError, StoreError};
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that no other call in this process gets.
pub(crate) fn fresh() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// An id for the outside that no other row has.
pub(crate) fn public_id() -> String {
    format!("01900000-0000-7000-9000-{:012}", fresh())
}

/// A hash that no other secret has.
pub(crate) fn hash() -> [u8; 32] {
    let mut hash = [0xa5; 32];
    hash[..8].copy_from_slice(&fresh().to_be_bytes());
    hash
}

/// The refusal, or a failure of the test.
#[track_caller]
pub(crate) fn refusal<T: std::fmt::Debug, R: std::fmt::Debug>(answer: Result<T, OpError<R>>) -> R {
    match answer {
        Err(OpError::Refused(reason)) => reason,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// The storage failure, or a failure of the test.
#[track_caller]
pub(crate) fn failure<T: std::fmt::Debug, R: std::fmt::Debug>(answer: Result<T, OpError<R>>) -> StoreError {
    match answer {
        Err(OpError::Store(error)) => error,
        other => panic!("expected a storage failure, got {other:?}"),
    }
}
