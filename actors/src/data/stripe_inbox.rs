//! The inbox of Stripe's events: stored before they are answered, worked off in order, kept with what became of them.

use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{Lane, ReadOp, WriteOp};
use crate::{statements, values};

statements! {
    INSERT_STRIPE_EVENT = "INSERT INTO stripe_events (org_id, event_id, event_type, queue_key, created_at, \
        received_at, payload, status, reason, finished_at, next_attempt_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $6) ON CONFLICT (org_id, event_id) DO NOTHING";
    // An event waits while one before it in its line waits for another attempt.
    DUE_STRIPE_EVENTS = "SELECT e.id, e.org_id, e.event_id, e.queue_key, e.created_at, e.payload, e.attempts, \
        e.received_at, a.secret_key_sealed FROM stripe_events e LEFT JOIN stripe_accounts a ON a.org_id = e.org_id \
        WHERE e.status = 'waiting' AND e.id > $1 AND e.next_attempt_at <= $2 AND NOT EXISTS (SELECT 1 \
        FROM stripe_events b WHERE b.queue_key = e.queue_key AND b.status = 'waiting' AND b.id < e.id \
        AND b.next_attempt_at > $2) ORDER BY e.id LIMIT $3";
    STRIPE_EVENT_WAITS = "SELECT 1 FROM stripe_events WHERE id = $1 AND status = 'waiting'";
    FINISH_STRIPE_EVENT = "UPDATE stripe_events SET status = $1, reason = $2, finished_at = $3 \
        WHERE id = $4 AND status = 'waiting'";
    FAIL_STRIPE_EVENT = "UPDATE stripe_events SET status = $1, reason = $2, attempts = attempts + 1, \
        next_attempt_at = $3, finished_at = $4 WHERE id = $5 AND status = 'waiting'";
    STRIPE_WAITING = "SELECT COUNT(*), MIN(received_at) FROM stripe_events WHERE status = 'waiting' AND id > $1";
    STRIPE_DEAD = "SELECT COUNT(*) FROM stripe_events WHERE status = 'dead' AND id > $1";
    REPLAY_STRIPE_EVENT = "UPDATE stripe_events SET status = 'waiting', attempts = 0, next_attempt_at = $1, \
        reason = NULL, finished_at = NULL WHERE event_id = $2 AND status <> 'waiting' \
        AND org_id IN (SELECT o.id FROM organizations o)";
    REPLAY_STRIPE_EVENTS_SINCE = "UPDATE stripe_events SET status = 'waiting', attempts = 0, next_attempt_at = $1, \
        reason = NULL, finished_at = NULL WHERE id IN (SELECT e.id FROM stripe_events e WHERE e.id > $2 \
        AND e.received_at >= $3 AND e.status <> 'waiting' ORDER BY e.id LIMIT $4) RETURNING id";
    REPLAY_DEAD_STRIPE_EVENTS = "UPDATE stripe_events SET status = 'waiting', attempts = 0, next_attempt_at = $1, \
        reason = NULL, finished_at = NULL WHERE id IN (SELECT e.id FROM stripe_events e WHERE e.status = 'dead' \
        AND e.id > $2 ORDER BY e.id LIMIT $3) RETURNING id";
}

/// How many events one replay puts back into their lines in one transaction.
const REPLAY_BATCH: i64 = 1_000;

/// Keeps an event whose signature was good. A second delivery changes nothing.
#[derive(Debug, Clone)]
pub struct StoreStripeEvent {
    /// Whose Stripe account it came from.
    pub org_id: i64,
    /// `evt_…`.
    pub event_id: String,
    /// Its type.
    pub event_type: String,
    /// What it must be in order with.
    pub queue_key: String,
    /// When it happened.
    pub created_at: Millis,
    /// The body as it was signed.
    pub payload: Vec<u8>,
    /// Why nothing follows from it, when that is plain already: then it does not wait, and nobody works on it.
    pub ignored: Option<&'static str>,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for StoreStripeEvent {
    /// Whether it is new.
    type Output = bool;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<bool, OpError<()>> {
        // Customers of different accounts never wait for each other.
        let queue_key = format!("{}:{}", self.org_id, self.queue_key);
        let (status, finished_at) = match self.ignored {
            Some(_) => ("ignored", Some(self.now)),
            None => ("waiting", None),
        };
        let values = values![
            self.org_id,
            &self.event_id,
            &self.event_type,
            &queue_key,
            self.created_at,
            self.now,
            self.payload.as_slice(),
            status,
            self.ignored,
            finished_at,
        ];
        Ok(tx.execute(INSERT_STRIPE_EVENT, values)? == 1)
    }
}

/// An event that may be worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueStripeEvent {
    /// Row id.
    pub id: i64,
    /// Whose Stripe account it came from.
    pub org_id: i64,
    /// `evt_…`.
    pub event_id: String,
    /// Its line.
    pub queue_key: String,
    /// When it happened.
    pub created_at: Millis,
    /// The body as it was signed.
    pub payload: Vec<u8>,
    /// How often it failed.
    pub attempts: i64,
    /// When it came.
    pub received_at: Millis,
    /// The sealed secret key of the organization's own Stripe account.
    pub secret_key_sealed: Option<Vec<u8>>,
}

impl DueStripeEvent {
    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            org_id: row.get(1)?,
            event_id: row.get(2)?,
            queue_key: row.get(3)?,
            created_at: row.get(4)?,
            payload: row.get(5)?,
            attempts: row.get(6)?,
            received_at: row.get(7)?,
            secret_key_sealed: row.get(8)?,
        })
    }
}

/// The next events to work on, in order of arrival.
#[derive(Debug, Clone, Copy)]
pub struct DueStripeEvents {
    /// The row id after which to go on.
    pub after: i64,
    /// The most to return.
    pub limit: i64,
    /// The present moment.
    pub now: Millis,
}

impl ReadOp for DueStripeEvents {
    type Output = Vec<DueStripeEvent>;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.all(DUE_STRIPE_EVENTS, values![self.after, self.now, self.limit], DueStripeEvent::from_row)
    }
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It had its effect; with a word on what it was, when that is not obvious.
    Applied(Option<&'static str>),
    /// It cannot be used, and why.
    Ignored(&'static str),
}

pub(crate) fn still_waits(tx: &mut WriteTx<'_>, id: i64) -> Result<bool, StoreError> {
    Ok(tx.optional(STRIPE_EVENT_WAITS, values![id], |_| Ok(()))?.is_some())
}

/// Marks an event, in the transaction of its effect.
pub(crate) fn finish(
    tx: &mut WriteTx<'_>,
    id: i64,
    outcome: &Outcome,
    now: Millis,
) -> Result<(), StoreError> {
    let (status, reason) = match outcome {
        Outcome::Applied(note) => ("applied", *note),
        Outcome::Ignored(reason) => ("ignored", Some(*reason)),
    };
    tx.execute(FINISH_STRIPE_EVENT, values![status, reason, now, id])?;
    Ok(())
}

/// Notes that events could not be applied: they wait for another attempt, or are dead.
#[derive(Debug, Clone)]
pub struct FailStripeEvents {
    /// Row ids, each with the moment of the next attempt; none: that was the last one.
    pub events: Vec<(i64, Option<Millis>)>,
    /// What went wrong, fit for an operator. Never a secret.
    pub error: String,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for FailStripeEvents {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        for (id, next) in &self.events {
            let status = if next.is_some() { "waiting" } else { "dead" };
            let finished_at = next.is_none().then_some(self.now);
            let values = values![status, &self.error, next.unwrap_or(self.now), finished_at, *id];
            tx.execute(FAIL_STRIPE_EVENT, values)?;
        }
        Ok(())
    }
}

/// Which events to apply once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// The one with this id, in whichever account.
    Event(String),
    /// Those that came at or after this moment.
    Since(Millis),
    /// Those that failed too often.
    Dead,
}

/// Puts events back into their lines. Applying one again changes nothing unless something was missed.
#[derive(Debug, Clone)]
pub struct ReplayStripeEvents {
    /// Which ones.
    pub which: Replay,
    /// The row id after which to go on.
    pub after: i64,
    /// The present moment.
    pub now: Millis,
}

/// A part of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// How many were put back.
    pub count: u64,
    /// Where to go on; none: that was all.
    pub go_on_after: Option<i64>,
}

impl WriteOp for ReplayStripeEvents {
    type Output = Replayed;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Replayed, OpError<()>> {
        let id = |row: &Row<'_, '_>| row.get::<i64>(0);
        let ids = match &self.which {
            Replay::Event(event_id) => {
                let count = tx.execute(REPLAY_STRIPE_EVENT, values![self.now, event_id])? as u64;
                return Ok(Replayed { count, go_on_after: None });
            }
            Replay::Since(moment) => {
                let values = values![self.now, self.after, *moment, REPLAY_BATCH];
                tx.all(REPLAY_STRIPE_EVENTS_SINCE, values, id)?
            }
            Replay::Dead => {
                tx.all(REPLAY_DEAD_STRIPE_EVENTS, values![self.now, self.after, REPLAY_BATCH], id)?
            }
        };
        let full = i64::try_from(ids.len()).is_ok_and(|count| count == REPLAY_BATCH);
        let go_on_after = full.then(|| ids.iter().copied().max()).flatten();
        Ok(Replayed { count: ids.len() as u64, go_on_after })
    }
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InboxState {
    /// Events that wait.
    pub waiting: i64,
    /// When the oldest of them came.
    pub oldest: Option<Millis>,
    /// Events that failed too often.
    pub dead: i64,
}

/// How much is there to do?
#[derive(Debug, Clone, Copy)]
pub struct StripeInboxState;

impl ReadOp for StripeInboxState {
    type Output = InboxState;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<InboxState, StoreError> {
        let (waiting, oldest) = tx.one(STRIPE_WAITING, values![0], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let dead = tx.one(STRIPE_DEAD, values![0], |row| row.get(0))?;
        Ok(InboxState { waiting, oldest, dead })
    }
}
