//! Reading the audit log: filtered and paged for people, chain by chain for a proof.

use super::PLATFORM_ORG_ID;
use super::audit::{AuditChain, AuditChains, AuditRow};
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, Value};
use crate::error::StoreError;
use crate::message::{Lane, ReadOp};
use crate::{statements, values};

/// The columns of [`AuditEntry`].
macro_rules! select_entry {
    () => {
        "SELECT l.public_id, l.actor_user_id, u.email, l.action, l.target_type, l.target_id, l.metadata, \
         l.ip_address, l.user_agent, o.public_id, l.created_at \
         FROM audit_log l JOIN organizations o ON o.id = l.org_id LEFT JOIN users u ON u.public_id = l.actor_user_id"
    };
}

/// The filters, after the one parameter that says where to look.
macro_rules! matching_entries {
    () => {
        " AND (CAST($2 AS TEXT) IS NULL OR l.action = $2) AND (CAST($3 AS TEXT) IS NULL OR l.target_type = $3) \
         AND (CAST($4 AS TEXT) IS NULL OR l.target_id = $4) AND (CAST($5 AS TEXT) IS NULL OR l.actor_user_id = $5) \
         AND (CAST($6 AS BIGINT) IS NULL OR l.created_at >= $6) AND (CAST($7 AS BIGINT) IS NULL OR l.created_at < $7)"
    };
}

/// A decision stands in two chains, the platform's and the organization's. Whoever reads all chains reads it once.
macro_rules! not_a_copy {
    () => {
        " AND (l.org_id = $8 OR l.action NOT IN ('organization.approved', 'organization.rejected', \
         'organization.suspended', 'organization.activated', 'organization.tier_changed'))"
    };
}

statements! {
    ENTRIES_OF_ORGANIZATION = concat!(
        select_entry!(),
        " WHERE l.org_id = $1",
        matching_entries!(),
        " ORDER BY l.sequence DESC LIMIT $8 OFFSET $9"
    );
    COUNT_ENTRIES_OF_ORGANIZATION =
        concat!("SELECT COUNT(*) FROM audit_log l WHERE l.org_id = $1", matching_entries!());
    // Every id is greater than 0: the range keeps the walk on the primary key, newest first.
    ENTRIES_OF_ALL = concat!(
        select_entry!(),
        " WHERE l.id > $1",
        matching_entries!(),
        not_a_copy!(),
        " ORDER BY l.id DESC LIMIT $9 OFFSET $10"
    );
    COUNT_ENTRIES_OF_ALL =
        concat!("SELECT COUNT(*) FROM audit_log l WHERE l.id > $1", matching_entries!(), not_a_copy!());
}

/// An entry as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// UUID of the entry.
    pub public_id: String,
    /// Public id of the user who acted.
    pub actor_user_id: Option<String>,
    /// Their address as it is now: erasing a user erases it here as well.
    pub actor_email: Option<String>,
    /// What happened.
    pub action: String,
    /// To what kind of thing.
    pub target_type: String,
    /// To which one.
    pub target_id: String,
    /// A JSON object.
    pub metadata: String,
    /// The address of the client.
    pub ip_address: String,
    /// What the client called itself.
    pub user_agent: String,
    /// Public id of the organization whose chain it is.
    pub org_public_id: String,
    /// When.
    pub created_at: Millis,
}

impl AuditEntry {
    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            public_id: row.get(0)?,
            actor_user_id: row.get(1)?,
            actor_email: row.get(2)?,
            action: row.get(3)?,
            target_type: row.get(4)?,
            target_id: row.get(5)?,
            metadata: row.get(6)?,
            ip_address: row.get(7)?,
            user_agent: row.get(8)?,
            org_public_id: row.get(9)?,
            created_at: row.get(10)?,
        })
    }
}

/// Which entries. What is none does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// What happened, as a whole word: `organization.approved`.
    pub action: Option<String>,
    /// To what kind of thing.
    pub target_type: Option<String>,
    /// Public id of the thing.
    pub target_id: Option<String>,
    /// Public id of the user who acted.
    pub actor_user_id: Option<String>,
    /// Not before this moment.
    pub from: Option<Millis>,
    /// Before this moment.
    pub until: Option<Millis>,
}

/// Entries of one chain or of all, newest first.
#[derive(Debug, Clone)]
pub struct AuditEntries {
    /// Row id of the organization; none for every chain there is, each decision once.
    pub org_id: Option<i64>,
    /// Which ones.
    pub filter: AuditFilter,
    /// The most to return.
    pub limit: i64,
    /// How many to skip.
    pub offset: i64,
}

impl ReadOp for AuditEntries {
    /// A page, and how many there are on all pages.
    type Output = (Vec<AuditEntry>, i64);
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let AuditFilter { action, target_type, target_id, actor_user_id, from, until } = &self.filter;
        let place = self.org_id.unwrap_or(0);
        let mut values =
            values![place, action, target_type, target_id, actor_user_id, *from, *until].to_vec();
        let (list, count) = if self.org_id.is_some() {
            (ENTRIES_OF_ORGANIZATION, COUNT_ENTRIES_OF_ORGANIZATION)
        } else {
            values.push(Value::Integer(PLATFORM_ORG_ID));
            (ENTRIES_OF_ALL, COUNT_ENTRIES_OF_ALL)
        };
        let total = tx.one(count, &values, |row| row.get(0))?;
        values.extend([Value::Integer(self.limit), Value::Integer(self.offset)]);
        Ok((tx.all(list, &values, AuditEntry::from_row)?, total))
    }
}

/// How many entries a proof reads at a time.
const PIECE: i64 = 1000;

/// A chain that was walked from its first entry to its last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainReport {
    /// Row id of the organization.
    pub org_id: i64,
    /// Its slug.
    pub slug: String,
    /// Entries that hold together, from the first on.
    pub entries: i64,
    /// Hash of the last of them; zeros before the first.
    pub head: [u8; 32],
    /// What is wrong with the entry after them.
    pub broken: Option<String>,
    /// How many of the expected heads were not met on the way.
    pub heads_missing: usize,
}

/// Walks a chain: numbers without gaps, each entry naming the hash before it, each hash that of its content. A chain
/// whose end was cut off still holds together, so a head that is known from earlier is looked for on the way.
pub fn prove_chain(
    mut ask: impl FnMut(&AuditChain) -> Result<Vec<AuditRow>, StoreError>,
    (org_id, slug): (i64, String),
    expected_heads: &[[u8; 32]],
) -> Result<ChainReport, StoreError> {
    let head = [0; 32];
    let mut missing = expected_heads.to_vec();
    missing.retain(|expected| *expected != head);
    let mut report =
        ChainReport { org_id, slug, entries: 0, head, broken: None, heads_missing: missing.len() };
    // From before the first number there can be: an entry slipped in with number 0 is a gap as well.
    let mut after = i64::MIN;
    loop {
        let piece = ask(&AuditChain { org_id, after, limit: PIECE })?;
        let Some(last) = piece.last() else { return Ok(report) };
        after = last.sequence;
        for row in &piece {
            if let Some(problem) = problem_of(row, &report) {
                return Ok(ChainReport { broken: Some(problem), ..report });
            }
            report.entries = row.sequence;
            report.head = row.hash();
            missing.retain(|expected| *expected != report.head);
            report.heads_missing = missing.len();
        }
    }
}

fn problem_of(row: &AuditRow, before: &ChainReport) -> Option<String> {
    let expected = before.entries + 1;
    if row.sequence != expected {
        return Some(format!("entry {expected} is missing, entry {} follows", row.sequence));
    }
    if row.previous_hash != before.head {
        return Some(format!("entry {expected} does not follow the entry before it"));
    }
    if row.entry_hash != row.hash() {
        return Some(format!("entry {expected} was changed"));
    }
    None
}

/// Every chain there is, the platform's first, in order of organizations.
pub fn every_chain(
    mut ask: impl FnMut(&AuditChains) -> Result<Vec<(i64, String)>, StoreError>,
) -> Result<Vec<(i64, String)>, StoreError> {
    let mut chains: Vec<(i64, String)> = Vec::new();
    loop {
        let after = chains.last().map_or(i64::MIN, |(org_id, _)| *org_id);
        let piece = ask(&AuditChains { after, limit: PIECE })?;
        if piece.is_empty() {
            return Ok(chains);
        }
        chains.extend(piece);
    }
}
