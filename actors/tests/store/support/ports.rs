//! What the actors take from outside, under the test's control.

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::device_codes::{DeviceCodeByUserCode, PossibleDeviceCode, USER_CODES};
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

/// Makes secrets that never repeat, and user codes that are the numbers of rows.
#[derive(Debug, Default)]
pub(crate) struct Mint {
    /// Panics instead of making the next secret.
    pub(crate) breaks: AtomicBool,
}

impl DeviceCodeMint for Mint {
    fn mint(&self) -> MintedDeviceCode {
        if self.breaks.swap(false, Ordering::SeqCst) {
            resume_unwind(Box::new("planned"));
        }
        let mut secret = [0x5a; 32];
        secret[..8].copy_from_slice(&fresh().to_be_bytes());
        MintedDeviceCode { secret, secret_hash: hash_of_secret(&secret) }
    }

    fn user_code(&self, id: i64, _created_at: Millis) -> String {
        id.to_string()
    }
}

/// The row that a code of this mint stands for, whenever it was made.
pub(crate) fn typed(user_code: &str, now: Millis) -> DeviceCodeByUserCode {
    let place = user_code.parse::<i64>().unwrap() % USER_CODES;
    let possible = vec![PossibleDeviceCode { place, created_from: 0, created_before: Millis::MAX }];
    DeviceCodeByUserCode { possible, hash: [0; 16], now }
}

/// Stands in for SHA-256: the store compares hashes and computes none.
pub(crate) fn hash_of_secret(secret: &[u8; 32]) -> [u8; 32] {
    secret.map(|byte| !byte)
}
