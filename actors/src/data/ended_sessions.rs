//! Who is told of sessions: the organization's feed, and the services that want to hear when one ends.
//!
//! Sessions end in many places, so it is the database that notes it (a trigger, see the migration). What follows from
//! it is done in steps: a suspension that ends ten thousand sessions keeps no other change waiting.

use serde_json::json;

use super::events::{self, EventType};
use super::outbox::{self, Kind, NewDelivery};
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
    ENDED_SESSION = "SELECT x.org_id, x.service_id, x.public_id, u.public_id, s.client_id, x.ended_reason, x.ended_at, \
        s.backchannel_logout_uri IS NOT NULL FROM sessions x JOIN users u ON u.id = x.user_id \
        JOIN services s ON s.id = x.service_id WHERE x.id = $1 AND x.ended_at IS NOT NULL";
    FORGET_ENDED_SESSIONS = "DELETE FROM ended_sessions WHERE session_id <= $1";
    // Also of a deleted service: its sessions ended with it, and it is to hear of that.
    LOGOUT_TARGET = "SELECT client_id, backchannel_logout_uri, id_token_signed_response_alg FROM services WHERE id = $1";
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

/// Tells of sessions that ended, a bounded number at a time: an event each, and for a service that registered a
/// `backchannel_logout_uri` a logout token each (OpenID Connect Back-Channel Logout 1.0, section 2.5).
#[derive(Debug, Clone, Copy)]
pub struct TellOfEndedSessions {
    /// The present moment.
    pub now: Millis,
}

struct Ended {
    org_id: i64,
    service_id: i64,
    public_id: String,
    user_public_id: String,
    client_id: String,
    reason: Option<String>,
    at: Millis,
    wants_logout: bool,
}

impl WriteOp for TellOfEndedSessions {
    /// Whether there may be more.
    type Output = bool;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<bool, OpError<()>> {
        let ids = tx.all(ENDED_SESSIONS, values![0, STEP], |row| row.get::<i64>(0))?;
        let Some(last) = ids.last() else { return Ok(false) };
        for id in &ids {
            tell_of(tx, *id, self.now)?;
        }
        tx.execute(FORGET_ENDED_SESSIONS, values![*last])?;
        Ok(i64::try_from(ids.len()).is_ok_and(|count| count == STEP))
    }
}

fn tell_of(tx: &mut WriteTx<'_>, session_id: i64, now: Millis) -> Result<(), StoreError> {
    let ended = tx.optional(ENDED_SESSION, values![session_id], |row| {
        Ok(Ended {
            org_id: row.get(0)?,
            service_id: row.get(1)?,
            public_id: row.get(2)?,
            user_public_id: row.get(3)?,
            client_id: row.get(4)?,
            reason: row.get(5)?,
            at: row.get(6)?,
            wants_logout: row.get(7)?,
        })
    })?;
    let Some(ended) = ended else { return Ok(()) };
    let data = json!({
        "session_id": ended.public_id,
        "user_id": ended.user_public_id,
        "client_id": ended.client_id,
        "reason": ended.reason,
    });
    events::record(tx, ended.org_id, (EventType::SessionEnded, &data), ended.at)?;
    if !ended.wants_logout {
        return Ok(());
    }
    let payload = json!({ "sid": ended.public_id, "sub": ended.user_public_id });
    let new = NewDelivery {
        kind: Kind::BackchannelLogout,
        target_id: ended.service_id,
        subject_id: session_id,
        org_id: ended.org_id,
        payload: &payload,
    };
    outbox::enqueue(tx, &new, now)
}

/// Where a service wants to hear of logouts, and under which name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutTarget {
    /// The `aud` of the logout token.
    pub client_id: String,
    /// Where it goes; none when the service wants to hear nothing any more.
    pub uri: Option<String>,
    /// How it is signed: as `id_token`s are.
    pub algorithm: String,
}

/// Where does this service want to hear of logouts?
#[derive(Debug, Clone, Copy)]
pub struct LogoutTargetOfService {
    /// Row id of the service.
    pub service_id: i64,
}

impl ReadOp for LogoutTargetOfService {
    type Output = Option<LogoutTarget>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.optional(LOGOUT_TARGET, values![self.service_id], |row| {
            Ok(LogoutTarget { client_id: row.get(0)?, uri: row.get(1)?, algorithm: row.get(2)? })
        })
    }
}
