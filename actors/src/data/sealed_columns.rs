//! Every column that holds ciphertext, for the command that seals them anew when a key changes. A table that gains such a
//! column joins here with its two statements; under which key and context it is sealed is known to who seals it.

use std::sync::Arc;

use crate::engine::{ReadTx, Statement, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{Lane, ReadOp, WriteOp};
use crate::{statements, values};

statements! {
    SEALED_SIGNING_KEYS = "SELECT id, private_sealed FROM signing_keys WHERE id > $1 ORDER BY id LIMIT $2";
    RESEAL_SIGNING_KEY = "UPDATE signing_keys SET private_sealed = $1 WHERE id = $2 AND private_sealed = $3";
    // What was taken away holds no secret any more.
    SEALED_CREDENTIALS = "SELECT id, client_secret_sealed, CAST(org_id AS TEXT), provider, version_id, client_id, issuer \
        FROM oauth_credentials WHERE id > $1 AND deleted_at IS NULL ORDER BY id LIMIT $2";
    RESEAL_CREDENTIAL = "UPDATE oauth_credentials SET client_secret_sealed = $1 WHERE id = $2 AND client_secret_sealed = $3";
    SEALED_ORGANIZATION_KEYS = "SELECT org_id, key_sealed FROM organization_keys WHERE org_id > $1 ORDER BY org_id \
        LIMIT $2";
    RESEAL_ORGANIZATION_KEY = "UPDATE organization_keys SET key_sealed = $1 WHERE org_id = $2 AND key_sealed = $3";
    SEALED_STRIPE_KEYS = "SELECT org_id, secret_key_sealed FROM stripe_accounts WHERE org_id > $1 ORDER BY org_id LIMIT $2";
    RESEAL_STRIPE_KEY = "UPDATE stripe_accounts SET secret_key_sealed = $1 WHERE org_id = $2 AND secret_key_sealed = $3";
    SEALED_STRIPE_SECRETS = "SELECT org_id, webhook_secrets_sealed FROM stripe_accounts WHERE org_id > $1 \
        ORDER BY org_id LIMIT $2";
    RESEAL_STRIPE_SECRETS = "UPDATE stripe_accounts SET webhook_secrets_sealed = $1 WHERE org_id = $2 AND webhook_secrets_sealed = $3";
    SEALED_WEBHOOKS = "SELECT id, secret_sealed, public_id FROM webhooks WHERE id > $1 AND secret_sealed IS NOT NULL \
        ORDER BY id LIMIT $2";
    RESEAL_WEBHOOK = "UPDATE webhooks SET secret_sealed = $1 WHERE id = $2 AND secret_sealed = $3";
    SEALED_PREVIOUS_OF_WEBHOOKS = "SELECT id, previous_secret_sealed, public_id FROM webhooks WHERE id > $1 \
        AND previous_secret_sealed IS NOT NULL ORDER BY id LIMIT $2";
    RESEAL_PREVIOUS_OF_WEBHOOK = "UPDATE webhooks SET previous_secret_sealed = $1 WHERE id = $2 \
        AND previous_secret_sealed = $3";
    SEALED_REVOCATION_KEYS = "SELECT id, key_sealed, CAST(org_id AS TEXT) FROM provider_revocations WHERE id > $1 \
        ORDER BY id LIMIT $2";
    RESEAL_REVOCATION_KEY = "UPDATE provider_revocations SET key_sealed = $1 WHERE id = $2 AND key_sealed = $3";
}

/// A column that holds ciphertext.
pub struct SealedColumn {
    /// `table.column`.
    pub name: &'static str,
    /// Row id, ciphertext, what its context is made of: of the rows after the id `$1`, at most `$2`.
    rows: &'static Statement,
    /// How many columns the context is made of.
    places: usize,
    /// Stores ciphertext `$1` in the row `$2`, if `$3` is there.
    update: &'static Statement,
}

/// `signing_keys.private_sealed`
pub const SIGNING_KEYS: SealedColumn = SealedColumn {
    name: "signing_keys.private_sealed",
    rows: SEALED_SIGNING_KEYS,
    places: 0,
    update: RESEAL_SIGNING_KEY,
};

/// `oauth_credentials.client_secret_sealed`; in its place: organization, provider, version, client id, issuer.
pub const OAUTH_CREDENTIALS: SealedColumn = SealedColumn {
    name: "oauth_credentials.client_secret_sealed",
    rows: SEALED_CREDENTIALS,
    places: 5,
    update: RESEAL_CREDENTIAL,
};

/// `organization_keys.key_sealed`, whose row id is the organization's. What these keys seal themselves stays as it is.
pub const ORGANIZATION_KEYS: SealedColumn = SealedColumn {
    name: "organization_keys.key_sealed",
    rows: SEALED_ORGANIZATION_KEYS,
    places: 0,
    update: RESEAL_ORGANIZATION_KEY,
};

/// `stripe_accounts.secret_key_sealed`, whose row id is the organization's.
pub const STRIPE_KEYS: SealedColumn = SealedColumn {
    name: "stripe_accounts.secret_key_sealed",
    rows: SEALED_STRIPE_KEYS,
    places: 0,
    update: RESEAL_STRIPE_KEY,
};

/// `stripe_accounts.webhook_secrets_sealed`, whose row id is the organization's.
pub const STRIPE_SECRETS: SealedColumn = SealedColumn {
    name: "stripe_accounts.webhook_secrets_sealed",
    rows: SEALED_STRIPE_SECRETS,
    places: 0,
    update: RESEAL_STRIPE_SECRETS,
};

/// `webhooks.secret_sealed`; in its place: the public id.
pub const WEBHOOKS: SealedColumn =
    SealedColumn { name: "webhooks.secret_sealed", rows: SEALED_WEBHOOKS, places: 1, update: RESEAL_WEBHOOK };

/// `webhooks.previous_secret_sealed`; in its place: the public id.
pub const PREVIOUS_OF_WEBHOOKS: SealedColumn = SealedColumn {
    name: "webhooks.previous_secret_sealed",
    rows: SEALED_PREVIOUS_OF_WEBHOOKS,
    places: 1,
    update: RESEAL_PREVIOUS_OF_WEBHOOK,
};

/// `provider_revocations.key_sealed`; in its place: the organization.
pub const REVOCATION_KEYS: SealedColumn = SealedColumn {
    name: "provider_revocations.key_sealed",
    rows: SEALED_REVOCATION_KEYS,
    places: 1,
    update: RESEAL_REVOCATION_KEY,
};

/// One ciphertext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRow {
    /// Row id.
    pub id: i64,
    /// What the context is made of.
    pub place: Vec<Option<String>>,
    /// The ciphertext.
    pub sealed: Vec<u8>,
}

/// What becomes of one ciphertext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resealed {
    /// It is sealed with the present key as it is.
    Current,
    /// This takes its place.
    Anew(Vec<u8>),
    /// No known key opens it.
    Unreadable,
}

/// How many ciphertexts there were of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResealCounts {
    /// Sealed with the present key as they were.
    pub current: usize,
    /// Sealed anew.
    pub resealed: usize,
    /// Left as they are, because no known key opens them.
    pub unreadable: usize,
}

/// Decides about one ciphertext.
pub type Reseal = Arc<dyn Fn(&SealedRow) -> Resealed + Send + Sync>;

/// Seals every ciphertext of a column anew that is not sealed with the present key, in one transaction.
pub struct ResealColumn {
    /// The column.
    pub column: &'static SealedColumn,
    /// What to do with each.
    pub reseal: Reseal,
}

impl SealedColumn {
    /// The rows after an id, in the order of their ids.
    fn page(&self, tx: &mut ReadTx<'_>, after: i64, limit: i64) -> Result<Vec<SealedRow>, StoreError> {
        tx.all(self.rows, values![after, limit], |row| {
            let place = (2..2 + self.places).map(|column| row.get(column));
            let place = place.collect::<Result<_, _>>()?;
            Ok(SealedRow { id: row.get(0)?, sealed: row.get(1)?, place })
        })
    }

    /// Puts a ciphertext in the place of another, if that is still there. Returns how many rows changed.
    fn replace(&self, tx: &mut WriteTx<'_>, row: &SealedRow, anew: &[u8]) -> Result<usize, StoreError> {
        tx.execute(self.update, values![anew, row.id, row.sealed.as_slice()])
    }
}

/// How many rows are looked at together.
const PAGE: i64 = 500;

impl WriteOp for ResealColumn {
    type Output = ResealCounts;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<ResealCounts, OpError<()>> {
        let mut counts = ResealCounts::default();
        let mut after = 0;
        loop {
            let rows = self.column.page(tx, after, PAGE)?;
            let Some(last) = rows.last() else { return Ok(counts) };
            after = last.id;
            for row in &rows {
                match (self.reseal)(row) {
                    Resealed::Current => counts.current += 1,
                    Resealed::Unreadable => counts.unreadable += 1,
                    Resealed::Anew(sealed) => {
                        counts.resealed += self.column.replace(tx, row, &sealed)?;
                    }
                }
            }
        }
    }
}

/// Looks at some ciphertexts of a column and seals those anew that are not sealed with the present key; nothing is
/// written yet.
pub struct SealedPage {
    /// The column.
    pub column: &'static SealedColumn,
    /// The row after which to go on.
    pub after: i64,
    /// How many to look at.
    pub limit: i64,
    /// What to do with each.
    pub reseal: Reseal,
}

/// What a look at some ciphertexts found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResealedPage {
    /// The last row that was looked at; none at the end of the column.
    pub last: Option<i64>,
    /// What was found; nothing is sealed anew before it is written.
    pub counts: ResealCounts,
    /// Rows as they are, and what is to take the place of their ciphertext.
    pub anew: Vec<(SealedRow, Vec<u8>)>,
}

impl ReadOp for SealedPage {
    type Output = ResealedPage;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<ResealedPage, StoreError> {
        let rows = self.column.page(tx, self.after, self.limit)?;
        let last = rows.last().map(|row| row.id);
        let mut page = ResealedPage { last, counts: ResealCounts::default(), anew: Vec::new() };
        for row in rows {
            match (self.reseal)(&row) {
                Resealed::Current => page.counts.current += 1,
                Resealed::Unreadable => page.counts.unreadable += 1,
                Resealed::Anew(sealed) => page.anew.push((row, sealed)),
            }
        }
        Ok(page)
    }
}

/// Writes what was sealed anew, except where something else has been stored meanwhile.
pub struct ResealPage {
    /// The column.
    pub column: &'static SealedColumn,
    /// As found, and what takes its place.
    pub rows: Vec<(SealedRow, Vec<u8>)>,
}

impl WriteOp for ResealPage {
    /// How many rows changed.
    type Output = usize;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<usize, OpError<()>> {
        let mut changed = 0;
        for (row, anew) in &self.rows {
            changed += self.column.replace(tx, row, anew)?;
        }
        Ok(changed)
    }
}
