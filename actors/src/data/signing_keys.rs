//! The keys that sign tokens, sealed.

use crate::clock::Millis;
use crate::engine::{ReadTx, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

statements! {
    SIGNING_KEYS = "SELECT key_id, private_sealed, created_at FROM signing_keys ORDER BY id DESC";
    INSERT_FIRST_SIGNING_KEY = "INSERT INTO signing_keys (key_id, algorithm, private_sealed, created_at) \
        SELECT $1, 'ES256', $2, $3 WHERE NOT EXISTS (SELECT 1 FROM signing_keys)";
}

/// A signing key as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSigningKey {
    /// The `kid` of RFC 7517.
    pub key_id: String,
    /// PKCS#8, sealed.
    pub private_sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Millis,
}

/// Every signing key, newest first. There are a handful at most.
#[derive(Debug, Clone, Copy)]
pub struct SigningKeys;

impl ReadOp for SigningKeys {
    type Output = Vec<SealedSigningKey>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.all(SIGNING_KEYS, values![], |row| {
            Ok(SealedSigningKey { key_id: row.get(0)?, private_sealed: row.get(1)?, created_at: row.get(2)? })
        })
    }
}

/// Stores the first signing key; does nothing when there is one already.
#[derive(Debug, Clone)]
pub struct StoreFirstSigningKey {
    /// The key.
    pub key: SealedSigningKey,
}

impl WriteOp for StoreFirstSigningKey {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        let SealedSigningKey { key_id, private_sealed, created_at } = &self.key;
        tx.execute(INSERT_FIRST_SIGNING_KEY, values![key_id, private_sealed.as_slice(), *created_at])?;
        Ok(())
    }
}
