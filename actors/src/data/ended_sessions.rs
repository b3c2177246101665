//! Who is told of sessions: the organization's feed, and the services that want to hear when one ends.
//!
//! Sessions end in many places, so it is the database that notes it (a trigger, see the migration). What follows from
//! it is done in steps: a suspension that ends ten thousand sessions keeps no other change waiting.

use serde_json::json;

use super::events::{self, EventType};
use super::sessions::Subject;
use crate::clock::Millis;
use crate::engine::{ReadTx, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

/// Sessions that one step tells of.
const STEP: i64 = 200;

statements! {
    ANY_ENDED_SESSION = "SELECT 1 FROM ended_sessions WHERE session_id > $1 LIMIT 1";
    ENDED_SESSIONS = "SELECT session_id FROM ended_sessions WHERE session_id > $1 ORDER BY session_id LIMIT $2";
    ENDED_SESSION = "SELECT x.org_id, x.public_id, u.public_id, s.client_id, x.ended_reason, x.ended_at \
        FROM sessions x JOIN users u ON u.id = x.user_id \
        JOIN services s ON s.id = x.service_id WHERE x.id = $1 AND x.ended_at IS NOT NULL";
    FORGET_ENDED_SESSIONS = "DELETE FROM ended_sessions WHERE session_id <= $1";
}

/// Records that a session began.
pub(super) fn record_created(
    tx: &mut WriteTx<'_>,
    subject: &Subject,
    method: &str,
    now: Millis,
) -> Result<(), StoreError> {
    let data = json!({
        "session_id": subject.session_public_id,
        "user_id": subject.user_public_id,
        "client_id": subject.client_id,
        "provider": subject.provider,
        "method": method,
    });
    events::record(tx, subject.org_id, (EventType::SessionCreated, &data), now)
}

/// Did a session end of which nobody was told?
#[derive(Debug, Clone, Copy)]
pub struct AnySessionEnded;

impl ReadOp for AnySessionEnded {
    type Output = bool;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<bool, StoreError> {
        Ok(tx.optional(ANY_ENDED_SESSION, values![0], |_| Ok(()))?.is_some())
    }
}

/// Tells of sessions that ended, a bounded number at a time: an event each.
#[derive(Debug, Clone, Copy)]
pub struct TellOfEndedSessions {
    /// The present moment.
    pub now: Millis,
}

struct Ended {
    org_id: i64,
    public_id: String,
    user_public_id: String,
    client_id: String,
    reason: Option<String>,
    ended_at: Millis,
}

impl WriteOp for TellOfEndedSessions {
    /// Whether there may be more.
    type Output = bool;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<bool, OpError<()>> {
        let ids = tx.all(ENDED_SESSIONS, values![0, STEP], |row| row.get::<i64>(0))?;
        let Some(last) = ids.last() else { return Ok(false) };
        for id in &ids {
            tell_of(tx, *id)?;
        }
        tx.execute(FORGET_ENDED_SESSIONS, values![*last])?;
        Ok(i64::try_from(ids.len()).is_ok_and(|count| count == STEP))
    }
}

fn tell_of(tx: &mut WriteTx<'_>, session_id: i64) -> Result<(), StoreError> {
    let ended = tx.optional(ENDED_SESSION, values![session_id], |row| {
        Ok(Ended {
            org_id: row.get(0)?,
            public_id: row.get(1)?,
            user_public_id: row.get(2)?,
            client_id: row.get(3)?,
            reason: row.get(4)?,
            ended_at: row.get(5)?,
        })
    })?;
    let Some(ended) = ended else { return Ok(()) };
    let data = json!({
        "session_id": ended.public_id,
        "user_id": ended.user_public_id,
        "client_id": ended.client_id,
        "reason": ended.reason,
    });
    events::record(tx, ended.org_id, (EventType::SessionEnded, &data), ended.ended_at)
}
