//! What the actors take from outside, under the test's control.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::Mutex;

use gatehouse_actors::device_code_batcher::{DeviceCodeMint, MintedDeviceCode};
use gatehouse_actors::error::StoreError;
use gatehouse_actors::faults::{FaultPoint, Faults};

use super::fresh;

/// What a planned fault does.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Fail(StoreError),
    Panic,
}

/// Failures to act out, each once.
#[derive(Debug, Default)]
pub(crate) struct Plan(Mutex<Vec<Planned>>);

#[derive(Debug)]
struct Planned {
    point: FaultPoint,
    /// So many batches pass this point unharmed.
    spared: usize,
    act: Act,
}

impl Plan {
    /// Plans a fault for the next time that `point` is passed after `spared` times.
    pub(crate) fn add(&self, point: FaultPoint, spared: usize, act: Act) {
        self.0.lock().unwrap().push(Planned { point, spared, act });
    }

    /// Whether every planned fault happened.
    pub(crate) fn is_done(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    fn due(&self, point: FaultPoint) -> Option<Act> {
        let mut plan = self.0.lock().unwrap();
        let position = plan.iter().position(|planned| planned.point == point)?;
        if plan[position].spared == 0 {
            return Some(plan.remove(position).act);
        }
        plan[position].spared -= 1;
        None
    }
}

impl Faults for Plan {
    fn at(&self, point: FaultPoint) -> Option<StoreError> {
        match self.due(point)? {
            Act::Fail(error) => Some(error),
            // Unlike `panic!` it prints nothing: a passing run stays quiet.
            Act::Panic => resume_unwind(Box::new("planned")),
        }
    }
}

/// Draws codes: first the planned user codes, then ones that never repeat.
#[derive(Debug, Default)]
pub(crate) struct Mint {
    planned: Mutex<VecDeque<Option<u64>>>,
}

impl Mint {
    /// Plans the next user codes. `None` panics instead of drawing.
    pub(crate) fn plan(&self, user_codes: &[Option<u64>]) {
        self.planned.lock().unwrap().extend(user_codes);
    }
}

impl DeviceCodeMint for Mint {
    fn mint(&self) -> MintedDeviceCode {
        let planned = self.planned.lock().unwrap().pop_front();
        let number = match planned {
            Some(Some(number)) => number,
            Some(None) => resume_unwind(Box::new("planned")),
            None => 1_000_000 + fresh(),
        };
        let mut secret = [0x5a; 32];
        secret[..8].copy_from_slice(&fresh().to_be_bytes());
        let mut user_code_hash = [0; 16];
        user_code_hash[..8].copy_from_slice(&number.to_be_bytes());
        MintedDeviceCode {
            secret,
            secret_hash: hash_of_secret(&secret),
            user_code: number.to_string(),
            user_code_hash,
        }
    }
}

/// Stands in for SHA-256: the store compares hashes and computes none.
pub(crate) fn hash_of_secret(secret: &[u8; 32]) -> [u8; 32] {
    secret.map(|byte| !byte)
}
