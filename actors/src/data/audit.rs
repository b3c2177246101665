//! The audit log: who did what, in the transaction of the change, hash-chained per organization.

use ring::digest::{SHA256, digest};
use serde_json::{Value as Json, json};

use super::events;
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

statements! {
    LAST_ENTRY = "SELECT sequence, entry_hash FROM audit_log WHERE org_id = $1 ORDER BY sequence DESC LIMIT 1";
    INSERT_ENTRY = "INSERT INTO audit_log (public_id, org_id, sequence, actor_user_id, action, target_type, \
        target_id, metadata, ip_address, user_agent, created_at, previous_hash, entry_hash) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    CHAIN = "SELECT public_id, org_id, sequence, actor_user_id, action, target_type, target_id, metadata, \
        ip_address, user_agent, created_at, previous_hash, entry_hash FROM audit_log \
        WHERE org_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3";
    CHAINS = "SELECT id, slug FROM organizations WHERE id > $1 ORDER BY id LIMIT $2";
}

/// What every entry of one request has in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditContext {
    /// UUID of the entry. One context makes one entry.
    pub entry_public_id: String,
    /// Public id of the user who acts; none for what the service does by itself or anybody may do.
    pub actor_user_id: Option<String>,
    /// The address of the client.
    pub ip_address: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// The present moment.
    pub now: Millis,
}

/// What happened.
pub(crate) struct Happened<'a> {
    /// The chain: the organization's row id; the platform's own for platform actions.
    pub(crate) org_id: i64,
    /// Past tense with a dot: `organization.approved`, `member.role_changed`.
    pub(crate) action: &'static str,
    /// Kind and public id of what it happened to.
    pub(crate) target: (&'static str, &'a str),
    /// An object with what changed: `{"before": …, "after": …}`. Never a secret, never personal data beyond ids.
    pub(crate) metadata: Json,
}

/// Appends an entry to its chain. Part of the caller's transaction: no change without its entry, no entry without
/// its change.
pub(crate) fn append(
    tx: &mut WriteTx<'_>,
    context: &AuditContext,
    happened: &Happened<'_>,
) -> Result<(), StoreError> {
    let last = tx.optional(LAST_ENTRY, values![happened.org_id], |row| {
        Ok((row.get::<i64>(0)?, row.get::<Vec<u8>>(1)?))
    })?;
    let (last_sequence, previous_hash) = last.unwrap_or((0, vec![0; 32]));
    let (target_type, target_id) = happened.target;
    let entry = AuditRow {
        public_id: context.entry_public_id.clone(),
        org_id: happened.org_id,
        sequence: last_sequence + 1,
        actor_user_id: context.actor_user_id.clone(),
        action: happened.action.to_owned(),
        target_type: target_type.to_owned(),
        target_id: target_id.to_owned(),
        metadata: happened.metadata.to_string(),
        ip_address: context.ip_address.clone(),
        user_agent: context.user_agent.clone(),
        created_at: context.now,
        previous_hash,
        entry_hash: Vec::new(),
    };
    let entry_hash = entry.hash();
    let values = values![
        &entry.public_id,
        entry.org_id,
        entry.sequence,
        &entry.actor_user_id,
        &entry.action,
        &entry.target_type,
        &entry.target_id,
        &entry.metadata,
        &entry.ip_address,
        &entry.user_agent,
        entry.created_at,
        entry.previous_hash.as_slice(),
        &entry_hash,
    ];
    tx.execute(INSERT_ENTRY, values)?;
    events::record_audited(tx, context, happened)
}

/// An entry as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// UUID for the outside.
    pub public_id: String,
    /// The chain.
    pub org_id: i64,
    /// Position in the chain, from 1, without gaps.
    pub sequence: i64,
    /// Public id of the user who acted.
    pub actor_user_id: Option<String>,
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
    /// When.
    pub created_at: Millis,
    /// Hash of the entry before; zeros for the first.
    pub previous_hash: Vec<u8>,
    /// Hash of this entry.
    pub entry_hash: Vec<u8>,
}

impl AuditRow {
    /// SHA-256 over the content and the hash before it, in one unambiguous form (a JSON array).
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let content = json!([
            self.org_id,
            self.sequence,
            self.public_id,
            self.actor_user_id,
            self.action,
            self.target_type,
            self.target_id,
            self.metadata,
            self.ip_address,
            self.user_agent,
            self.created_at,
            self.previous_hash,
        ]);
        digest(&SHA256, content.to_string().as_bytes()).as_ref().try_into().unwrap_or_default()
    }

    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            public_id: row.get(0)?,
            org_id: row.get(1)?,
            sequence: row.get(2)?,
            actor_user_id: row.get(3)?,
            action: row.get(4)?,
            target_type: row.get(5)?,
            target_id: row.get(6)?,
            metadata: row.get(7)?,
            ip_address: row.get(8)?,
            user_agent: row.get(9)?,
            created_at: row.get(10)?,
            previous_hash: row.get(11)?,
            entry_hash: row.get(12)?,
        })
    }
}

/// A piece of a chain, for verification.
#[derive(Debug, Clone, Copy)]
pub struct AuditChain {
    /// The chain.
    pub org_id: i64,
    /// The position after which to go on.
    pub after: i64,
    /// The most entries to return.
    pub limit: i64,
}

impl ReadOp for AuditChain {
    type Output = Vec<AuditRow>;
    const LANE: crate::message::Lane = crate::message::Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.all(CHAIN, values![self.org_id, self.after, self.limit], AuditRow::from_row)
    }
}

/// The chains there are: row id and slug of organizations, in order.
#[derive(Debug, Clone, Copy)]
pub struct AuditChains {
    /// The row id after which to go on.
    pub after: i64,
    /// The most chains to return.
    pub limit: i64,
}

impl ReadOp for AuditChains {
    type Output = Vec<(i64, String)>;
    const LANE: crate::message::Lane = crate::message::Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.all(CHAINS, values![self.after, self.limit], |row| Ok((row.get(0)?, row.get(1)?)))
    }
}

/// Notes that a platform owner looked into an organization that is not theirs.
#[derive(Debug, Clone)]
pub struct NotePlatformRead {
    /// The organization's row id.
    pub org_id: i64,
    /// The organization's public id.
    pub org_public_id: String,
    /// The route, as a template.
    pub route: String,
    /// Who, from where.
    pub audit: AuditContext,
}

impl WriteOp for NotePlatformRead {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        let happened = Happened {
            org_id: self.org_id,
            action: "organization.read_by_platform",
            target: ("organization", &self.org_public_id),
            metadata: json!({ "route": self.route }),
        };
        append(tx, &self.audit, &happened)?;
        Ok(())
    }
}
