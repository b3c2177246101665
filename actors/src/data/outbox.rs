//! The outbox: what must reach others after a commit. Written in the transaction of the change that causes it, handed
//! out by target in small leases, settled attempt by attempt.

use serde_json::Value as Json;

use super::webhook_deliveries::{self, DISABLE_AFTER, FAILED_FOR_LONG};
use crate::clock::Millis;
use crate::engine::{ReadTx, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

const MINUTE: Millis = 60 * 1000;
const DAY: Millis = 24 * 60 * MINUTE;

/// Which deliveries a lease holds at most: enough to share a commit, few enough to be worked off within the lease.
const DELIVERIES_PER_LEASE: i64 = 8;
/// A hand that has not settled by then is taken for dead. Longer than all deliveries of a lease may take together.
pub const LEASE: Millis = 2 * MINUTE;
/// From so many failures in a row on a target rests, and new deliveries do not wake it.
pub const FAILURES_BEFORE_REST: i64 = 3;
/// How long a finished delivery is kept, for those who look at the log: 7 days.
pub const KEPT_WHEN_FINISHED: Millis = 7 * DAY;
/// How much one step of a clean-up touches.
const STEP: i64 = 500;

statements! {
    INSERT_DELIVERY = "INSERT INTO outbox (kind, target_id, subject_id, org_id, payload, status, created_at, \
        expires_at, next_attempt_at) VALUES ($1, $2, $3, $4, $5, 'pending', $6, $7, $6)";
    // Who is being worked on looks again by itself, and who rests is not to be woken by more of the same.
    WAKE_TARGET = "INSERT INTO outbox_targets (kind, target_id, due_at) VALUES ($1, $2, $3) \
        ON CONFLICT (kind, target_id) DO UPDATE SET due_at = excluded.due_at WHERE outbox_targets.due_at IS NULL \
        OR (outbox_targets.failures < $4 AND outbox_targets.leased_until IS NULL \
        AND outbox_targets.due_at > excluded.due_at)";
    ANY_TARGET_DUE = "SELECT 1 FROM outbox_targets WHERE due_at <= $1 LIMIT 1";
    OUTBOX_WAITING = "SELECT COUNT(*) FROM (SELECT 1 FROM outbox WHERE status = 'pending' LIMIT $1) AS waiting";
    LONGEST_DUE = "SELECT MIN(due_at) FROM outbox_targets WHERE due_at <= $1";
    DUE_TARGETS = "SELECT kind, target_id, failures FROM outbox_targets WHERE due_at <= $1 \
        ORDER BY due_at LIMIT $2";
    LEASE_TARGET = "UPDATE outbox_targets SET due_at = $1, leased_until = $1 WHERE kind = $2 AND target_id = $3";
    DUE_DELIVERIES = "SELECT id, subject_id, org_id, payload, attempts, created_at, expires_at FROM outbox \
        WHERE kind = $1 AND target_id = $2 AND status = 'pending' AND next_attempt_at <= $3 \
        ORDER BY next_attempt_at, id LIMIT $4";
    LEASE_HELD = "SELECT failing_since FROM outbox_targets WHERE kind = $1 AND target_id = $2 AND leased_until = $3";
    RECORD_ATTEMPT = "UPDATE outbox SET status = $1, attempts = attempts + 1, last_attempt_at = $2, last_status = $3, \
        last_error = $4, next_attempt_at = $5, finished_at = $6 WHERE id = $7 AND status = 'pending'";
    GIVE_UP = "UPDATE outbox SET status = 'dead', last_error = $1, finished_at = $2 \
        WHERE id = $3 AND status = 'pending'";
    ABANDON = "UPDATE outbox SET status = 'dead', last_error = $1, finished_at = $2 WHERE id IN (SELECT id \
        FROM outbox WHERE kind = $3 AND target_id = $4 AND status = 'pending' ORDER BY next_attempt_at LIMIT $5)";
    NEXT_ATTEMPT = "SELECT MIN(next_attempt_at) FROM outbox WHERE kind = $1 AND target_id = $2 \
        AND status = 'pending'";
    SETTLE_TARGET = "UPDATE outbox_targets SET due_at = $1, leased_until = NULL, failures = $2, failing_since = $3 \
        WHERE kind = $4 AND target_id = $5";
    FORGET_TARGET = "DELETE FROM outbox_targets WHERE kind = $1 AND target_id = $2";
    RELEASE_LEASES = "UPDATE outbox_targets SET due_at = $1, leased_until = NULL \
        WHERE due_at > $2 AND leased_until IS NOT NULL";
    PURGE_DELIVERIES = "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE finished_at < $1 \
        ORDER BY finished_at LIMIT $2)";
}

/// What is delivered, and so to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A logout token (OpenID Connect Back-Channel Logout 1.0) to a service.
    BackchannelLogout,
    /// An event to an organization's webhook.
    Webhook,
    /// A token to the provider that gave it, to be revoked.
    ProviderRevocation,
}

/// How hard a delivery is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// After so many attempts it is dead.
    pub attempts: i64,
    /// This long after it was put into the outbox it is dead, too.
    pub lifetime: Millis,
    /// Whether a target gets one at a time, oldest first.
    pub in_order: bool,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::BackchannelLogout, Self::Webhook, Self::ProviderRevocation];

    /// Its word in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BackchannelLogout => "backchannel_logout",
            Self::Webhook => "webhook",
            Self::ProviderRevocation => "provider_revocation",
        }
    }

    /// How hard it is tried.
    #[must_use]
    pub fn policy(self) -> Policy {
        match self {
            // Whatever a session left at the service is older than its longest token by then; and a provider's token
            // that nothing of ours uses any more is not kept for longer to be given back.
            Self::BackchannelLogout | Self::ProviderRevocation => {
                Policy { attempts: 12, lifetime: DAY, in_order: false }
            }
            Self::Webhook => Policy { attempts: 16, lifetime: 3 * DAY, in_order: true },
        }
    }

    fn from_column(text: &str) -> Result<Self, StoreError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| StoreError::Inconsistent {
            table: "outbox_targets",
            column: "kind",
            found: text.to_owned(),
        })
    }
}

/// Something to deliver.
pub(crate) struct NewDelivery<'a> {
    pub(crate) kind: Kind,
    /// Whom it goes to: a row id of the table that the kind names.
    pub(crate) target_id: i64,
    /// What it tells of.
    pub(crate) subject_id: i64,
    /// Whose it is.
    pub(crate) org_id: i64,
    /// Ids of what to tell. Never a secret: what is secret is looked up, and sealed, where it lives.
    pub(crate) payload: &'a Json,
}

/// Puts a delivery into the outbox. Part of the caller's transaction: no change without its delivery, no delivery
/// without its change.
pub(crate) fn enqueue(tx: &mut WriteTx<'_>, new: &NewDelivery<'_>, now: Millis) -> Result<(), StoreError> {
    let payload = new.payload.to_string();
    let expires_at = now + new.kind.policy().lifetime;
    let values =
        values![new.kind.as_str(), new.target_id, new.subject_id, new.org_id, &payload, now, expires_at];
    tx.execute(INSERT_DELIVERY, values)?;
    wake(tx, new.kind, new.target_id, now)
}

/// Sees to it that a target is looked at. For who puts rows into the outbox with a statement of their own.
pub(crate) fn wake(tx: &mut WriteTx<'_>, kind: Kind, target_id: i64, now: Millis) -> Result<(), StoreError> {
    tx.execute(WAKE_TARGET, values![kind.as_str(), target_id, now, FAILURES_BEFORE_REST])?;
    tx.news.outbox = true;
    Ok(())
}

/// Puts a delivery into the outbox by itself, for what changes nothing else in the database.
#[derive(Debug, Clone)]
pub struct EnqueueDelivery {
    /// What it is.
    pub kind: Kind,
    /// Whom it goes to.
    pub target_id: i64,
    /// What it tells of.
    pub subject_id: i64,
    /// Whose it is.
    pub org_id: i64,
    /// Ids of what to tell; never a secret.
    pub payload: Json,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for EnqueueDelivery {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        let Self { kind, target_id, subject_id, org_id, payload, now } = self;
        let (target_id, subject_id, org_id) = (*target_id, *subject_id, *org_id);
        let new = NewDelivery { kind: *kind, target_id, subject_id, org_id, payload };
        Ok(enqueue(tx, &new, *now)?)
    }
}

/// Is anything due?
#[derive(Debug, Clone, Copy)]
pub struct AnythingDue {
    /// The present moment.
    pub now: Millis,
}

impl ReadOp for AnythingDue {
    type Output = bool;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<bool, StoreError> {
        Ok(tx.optional(ANY_TARGET_DUE, values![self.now], |_| Ok(()))?.is_some())
    }
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxState {
    /// Deliveries that are neither made nor given up, [`OutboxState::COUNTED`] at most.
    pub waiting: i64,
    /// Since when the target is due that has been due longest.
    pub due_since: Option<Millis>,
}

impl OutboxState {
    /// Counted up to here, so that looking costs the same however much there is.
    pub const COUNTED: i64 = 10_000;
}

/// How much is there to do?
#[derive(Debug, Clone, Copy)]
pub struct LookIntoOutbox {
    /// The present moment.
    pub now: Millis,
}

impl ReadOp for LookIntoOutbox {
    type Output = OutboxState;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<OutboxState, StoreError> {
        let waiting = tx.one(OUTBOX_WAITING, values![OutboxState::COUNTED], |row| row.get(0))?;
        let due_since = tx.one(LONGEST_DUE, values![self.now], |row| row.get(0))?;
        Ok(OutboxState { waiting, due_since })
    }
}

/// A delivery in somebody's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Row id.
    pub id: i64,
    /// What it is.
    pub kind: Kind,
    /// Whom it goes to.
    pub target_id: i64,
    /// What it tells of.
    pub subject_id: i64,
    /// Whose it is.
    pub org_id: i64,
    /// JSON: ids of what to tell.
    pub payload: String,
    /// Attempts made before.
    pub attempts: i64,
    /// When it was put into the outbox.
    pub created_at: Millis,
    /// From when on it is not tried any more.
    pub expires_at: Millis,
}

/// A target with what is due for it, for one hand, until the lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedTarget {
    /// What is delivered.
    pub kind: Kind,
    /// To whom.
    pub target_id: i64,
    /// Attempts in a row that failed.
    pub failures: i64,
    /// Also the proof, when it is settled, that nobody else has it since.
    pub leased_until: Millis,
    /// Oldest first; perhaps none.
    pub deliveries: Vec<Delivery>,
}

/// Leases targets that are due, those that waited longest first.
#[derive(Debug, Clone, Copy)]
pub struct LeaseTargets {
    /// The most targets.
    pub limit: i64,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for LeaseTargets {
    type Output = Vec<LeasedTarget>;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Self::Output, OpError<()>> {
        let due = tx.all(DUE_TARGETS, values![self.now, self.limit], |row| {
            Ok((Kind::from_column(&row.get::<String>(0)?)?, row.get::<i64>(1)?, row.get::<i64>(2)?))
        })?;
        let leased_until = self.now + LEASE;
        let mut leased = Vec::with_capacity(due.len());
        for (kind, target_id, failures) in due {
            tx.execute(LEASE_TARGET, values![leased_until, kind.as_str(), target_id])?;
            let values = values![kind.as_str(), target_id, self.now, DELIVERIES_PER_LEASE];
            let deliveries = tx.all(DUE_DELIVERIES, values, |row| {
                Ok(Delivery {
                    id: row.get(0)?,
                    kind,
                    target_id,
                    subject_id: row.get(1)?,
                    org_id: row.get(2)?,
                    payload: row.get(3)?,
                    attempts: row.get(4)?,
                    created_at: row.get(5)?,
                    expires_at: row.get(6)?,
                })
            })?;
            leased.push(LeasedTarget { kind, target_id, failures, leased_until, deliveries });
        }
        Ok(leased)
    }
}

/// What became of a delivery in somebody's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Delivered {
        /// The receiver's answer.
        status: i64,
    },
    /// It failed and is tried again.
    Again {
        /// When.
        at: Millis,
        /// The receiver's answer, if there was one.
        status: Option<i64>,
        /// What went wrong. Our own words, never the receiver's.
        reason: String,
    },
    /// It failed and is not tried any more.
    Dead {
        /// The receiver's answer, if there was one.
        status: Option<i64>,
        /// What went wrong. Our own words, never the receiver's.
        reason: String,
    },
    /// Its time was up before this hand tried it.
    Expired,
}

/// A delivery with its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Row id of the delivery.
    pub id: i64,
    /// When it was tried.
    pub at: Millis,
    /// What became of it.
    pub verdict: Verdict,
}

/// Gives a leased target back, with what became of its deliveries. One that is not named was not tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettleTarget {
    /// What was delivered.
    pub kind: Kind,
    /// To whom.
    pub target_id: i64,
    /// As in the lease.
    pub leased_until: Millis,
    /// What became of the deliveries.
    pub settled: Vec<Settled>,
    /// Attempts in a row that failed, these included.
    pub failures: i64,
    /// Not to be tried before, whatever waits.
    pub rest_until: Option<Millis>,
    /// The target is not there any more: why nothing that waits for it will ever be delivered.
    pub gone: Option<String>,
    /// UUID for an audit entry, should there be one to write.
    pub entry_public_id: String,
    /// The present moment.
    pub now: Millis,
}

/// The lease ended and somebody else has the target: the deliveries are theirs to settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseLost;

impl WriteOp for SettleTarget {
    /// When the target is due again; none when nothing waits for it.
    type Output = Option<Millis>;
    type Refused = LeaseLost;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Self::Output, OpError<LeaseLost>> {
        let (kind, target_id) = (self.kind.as_str(), self.target_id);
        let lease = values![kind, target_id, self.leased_until];
        let held = tx.optional(LEASE_HELD, lease, |row| row.get::<Option<Millis>>(0))?;
        let Some(failing_since) = held else { return Err(OpError::Refused(LeaseLost)) };
        for settled in &self.settled {
            record(tx, settled)?;
        }
        let failing_since = (self.failures > 0).then(|| failing_since.unwrap_or(self.now));
        if let Some(reason) = &self.gone {
            tx.execute(ABANDON, values![reason, self.now, kind, target_id, STEP])?;
        }
        self.switch_off_if_hopeless(tx, failing_since)?;
        let next = tx.one(NEXT_ATTEMPT, values![kind, target_id], |row| row.get::<Option<Millis>>(0))?;
        let due_at = next.map(|next| self.rest_until.map_or(next, |rest| rest.max(next)));
        if due_at.is_none() && self.failures == 0 {
            tx.execute(FORGET_TARGET, values![kind, target_id])?;
        } else {
            tx.execute(SETTLE_TARGET, values![due_at, self.failures, failing_since, kind, target_id])?;
        }
        Ok(due_at)
    }
}

impl SettleTarget {
    /// A webhook that failed for days, or whose receiver says that it is gone, is switched off.
    fn switch_off_if_hopeless(
        &self,
        tx: &mut WriteTx<'_>,
        failing_since: Option<Millis>,
    ) -> Result<(), StoreError> {
        let failed_for_long = failing_since.is_some_and(|since| self.now - since >= DISABLE_AFTER);
        let reason = match &self.gone {
            Some(reason) => reason.as_str(),
            None if failed_for_long => FAILED_FOR_LONG,
            None => return Ok(()),
        };
        if self.kind != Kind::Webhook {
            return Ok(());
        }
        webhook_deliveries::disable(tx, self.target_id, (reason, &self.entry_public_id), self.now)
    }
}

fn record(tx: &mut WriteTx<'_>, Settled { id, at, verdict }: &Settled) -> Result<(), StoreError> {
    let (state, status, reason, next, finished) = match verdict {
        Verdict::Delivered { status } => ("delivered", Some(*status), None, *at, Some(*at)),
        Verdict::Again { at: next, status, reason } => {
            ("pending", *status, Some(reason.as_str()), *next, None)
        }
        Verdict::Dead { status, reason } => ("dead", *status, Some(reason.as_str()), *at, Some(*at)),
        Verdict::Expired => {
            tx.execute(GIVE_UP, values!["not delivered in time", *at, *id])?;
            return Ok(());
        }
    };
    tx.execute(RECORD_ATTEMPT, values![state, *at, status, reason, next, finished, *id])?;
    Ok(())
}

/// Makes every leased target due. At start, when whoever held a lease is gone: a database has one process.
#[derive(Debug, Clone, Copy)]
pub struct ReleaseLeases {
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for ReleaseLeases {
    /// How many there were.
    type Output = usize;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<usize, OpError<()>> {
        Ok(tx.execute(RELEASE_LEASES, values![self.now, 0])?)
    }
}

/// Removes deliveries that finished long ago, a bounded number at a time.
#[derive(Debug, Clone, Copy)]
pub struct PurgeDeliveries {
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for PurgeDeliveries {
    /// Whether there may be more.
    type Output = bool;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<bool, OpError<()>> {
        let purged = tx.execute(PURGE_DELIVERIES, values![self.now - KEPT_WHEN_FINISHED, STEP])?;
        Ok(i64::try_from(purged).is_ok_and(|purged| purged == STEP))
    }
}
