//! Planned failures, passed in as a value. The service runs with [`NoFaults`]; tests pass plans of their own.

use crate::error::StoreError;

/// Where in the life of a batch a failure can be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultPoint {
    /// Before the transaction begins.
    Begin,
    /// Before the operation at this position of the batch is applied.
    Apply(usize),
    /// Before COMMIT.
    Commit,
    /// After COMMIT, before the answers go out.
    Reply,
}

/// Decides whether something goes wrong here.
pub trait Faults: Send + Sync + 'static {
    /// The failure to act out at `point`, if any. May panic, to act out a panic.
    fn at(&self, point: FaultPoint) -> Option<StoreError>;
}

/// Nothing goes wrong on purpose.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn at(&self, _point: FaultPoint) -> Option<StoreError> {
        None
    }
}
