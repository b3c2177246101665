//! Grants that are due for a refresh, leased in small batches. A lease is a later due date: who dies holding one loses
//! it by itself, and nobody else works on the grant before.

use crate::clock::Millis;
use crate::engine::{ReadTx, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{Lane, ReadOp, WriteOp};
use crate::{statements, values};

/// More are not counted.
const MOST_COUNTED: i64 = 100_000;

statements! {
    COUNT_DUE_GRANTS = "SELECT COUNT(*), MIN(d.refresh_due_at) FROM (SELECT refresh_due_at FROM provider_grants \
        WHERE refresh_due_at <= $1 ORDER BY refresh_due_at LIMIT $2) d";
    LEASE_DUE_GRANTS = "UPDATE provider_grants SET refresh_due_at = $1 WHERE id IN (SELECT id FROM provider_grants \
        WHERE refresh_due_at <= $2 ORDER BY refresh_due_at LIMIT $3) RETURNING id, provider, generation, failures";
    // Only while the lease is the caller's: a sign-in meanwhile has set a date of its own.
    POSTPONE_GRANT = "UPDATE provider_grants SET refresh_due_at = $1, failures = failures + $2 \
        WHERE id = $3 AND refresh_due_at = $4";
    NO_MORE_REFRESH = "UPDATE provider_grants SET refresh_due_at = NULL WHERE id = $1 AND refresh_due_at = $2";
}

/// How far behind the refresher is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Grants that are due and in nobody's hands; a hundred thousand stand for any number from there.
    pub due: i64,
    /// How long the oldest of them has been due.
    pub lag: Millis,
}

/// How many grants are due, and since when?
#[derive(Debug, Clone, Copy)]
pub struct DueGrants {
    /// The present moment.
    pub now: Millis,
}

impl ReadOp for DueGrants {
    type Output = Backlog;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Backlog, StoreError> {
        tx.one(COUNT_DUE_GRANTS, values![self.now, MOST_COUNTED], |row| {
            let oldest: Option<Millis> = row.get(1)?;
            Ok(Backlog { due: row.get(0)?, lag: oldest.map_or(0, |oldest| self.now - oldest) })
        })
    }
}

/// A grant that somebody has to refresh now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueGrant {
    /// Row id.
    pub id: i64,
    /// The provider.
    pub provider: String,
    /// What is stored.
    pub generation: i64,
    /// Refreshes that failed since the last one that did not.
    pub failures: i64,
}

/// Takes the grants that are due longest, until `until`.
#[derive(Debug, Clone, Copy)]
pub struct LeaseDueGrants {
    /// The present moment.
    pub now: Millis,
    /// When the lease ends.
    pub until: Millis,
    /// The most to take.
    pub limit: i64,
}

impl WriteOp for LeaseDueGrants {
    type Output = Vec<DueGrant>;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Vec<DueGrant>, OpError<()>> {
        let leased = tx.all(LEASE_DUE_GRANTS, values![self.until, self.now, self.limit], |row| {
            Ok(DueGrant {
                id: row.get(0)?,
                provider: row.get(1)?,
                generation: row.get(2)?,
                failures: row.get(3)?,
            })
        })?;
        Ok(leased)
    }
}

/// Gives a lease back: the grant is due again later, or never.
#[derive(Debug, Clone, Copy)]
pub struct PostponeGrant {
    /// Row id.
    pub id: i64,
    /// The end of the lease, which tells whose it is.
    pub leased_until: Millis,
    /// When it is due again; none when there is nothing to refresh any more.
    pub due_at: Option<Millis>,
    /// Whether a refresh failed.
    pub failed: bool,
}

impl WriteOp for PostponeGrant {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        match self.due_at {
            Some(due_at) => {
                let failures = i64::from(self.failed);
                tx.execute(POSTPONE_GRANT, values![due_at, failures, self.id, self.leased_until])?;
            }
            None => {
                tx.execute(NO_MORE_REFRESH, values![self.id, self.leased_until])?;
            }
        }
        Ok(())
    }
}
