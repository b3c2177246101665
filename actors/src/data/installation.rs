//! Facts about the installation as a whole.

use crate::clock::Millis;
use crate::engine::WriteTx;
use crate::error::OpError;
use crate::message::WriteOp;
use crate::{statements, values};

statements! {
    CLAIM_MODE = "INSERT INTO settings (name, value) VALUES ('mode', $1) ON CONFLICT (name) DO NOTHING";
    MODE = "SELECT value FROM settings WHERE name = 'mode'";
    PROBE = "INSERT INTO settings (name, value) VALUES ('probed_at', $1) \
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
}

/// Says for what a database is used, once and for all: one that dev mode has opened lets anybody sign in as anybody,
/// and one with real users must not get a provider that does.
#[derive(Debug, Clone, Copy)]
pub struct ClaimMode {
    /// `dev` or `production`.
    pub mode: &'static str,
}

/// The database belongs to the other mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherMode(pub String);

impl WriteOp for ClaimMode {
    type Output = ();
    type Refused = OtherMode;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<OtherMode>> {
        tx.execute(CLAIM_MODE, values![self.mode])?;
        let mode = tx.one(MODE, values![], |row| row.get::<String>(0))?;
        if mode == self.mode { Ok(()) } else { Err(OpError::Refused(OtherMode(mode))) }
    }
}

/// Writes something, to see whether writing works again.
#[derive(Debug, Clone, Copy)]
pub struct ProbeWrites {
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for ProbeWrites {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        tx.execute(PROBE, values![&self.now.to_string()])?;
        Ok(())
    }
}
