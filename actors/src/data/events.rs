//! What happened in an organization: a feed that can be followed without missing or repeating anything.
//!
//! Written in the transaction of the change, numbered per organization by the one writer. The same row goes to the
//! organization's webhooks through the outbox.

use ring::digest::{SHA256, digest};
use serde_json::{Value as Json, json};

use super::PLATFORM_ORG_ID;
use super::audit::{AuditContext, Happened};
use super::outbox::{self, Kind, NewDelivery};
use super::webhooks;
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

/// How long an event is kept: 30 days.
pub const EVENT_LIFETIME: Millis = 30 * 24 * 60 * 60 * 1000;
/// How many rows one question looks at, whatever it filters out.
const WINDOW: i64 = 500;
/// How many rows one step of a purge removes.
const PURGE_STEP: i64 = 500;

statements! {
    NEXT_SEQUENCE = "SELECT COALESCE(MAX(sequence), 0) + 1 FROM events WHERE org_id = $1";
    INSERT_EVENT = "INSERT INTO events (org_id, sequence, type, data, created_at) VALUES ($1, $2, $3, $4, $5)";
    EVENTS_FROM = "SELECT sequence, type, data, created_at FROM events WHERE org_id = $1 AND sequence >= $2 \
        ORDER BY sequence LIMIT $3";
    NEWEST_EVENT = "SELECT sequence, type, data, created_at FROM events WHERE org_id = $1 \
        ORDER BY sequence DESC LIMIT 1";
    EVENT = "SELECT sequence, type, data, created_at FROM events WHERE org_id = $1 AND sequence = $2";
    EVENT_ORGANIZATIONS = "SELECT id FROM organizations WHERE id > $1 ORDER BY id LIMIT $2";
    // The newest one stays, however old: the next number follows it.
    PURGE_EVENTS = "DELETE FROM events WHERE org_id = $1 AND sequence IN (SELECT sequence FROM (SELECT sequence, \
        created_at FROM events WHERE org_id = $1 ORDER BY sequence LIMIT $2) oldest WHERE created_at < $3) \
        AND sequence < (SELECT MAX(sequence) FROM events WHERE org_id = $1)";
}

/// Declares the types with their words, so that neither can lack what the other has.
macro_rules! event_types {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)+) => {
        /// What can happen. Words are stable: receivers rely on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventType {
            $($(#[$doc])* $name),+
        }

        impl EventType {
            /// Every type there is.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word that stands in feeds and webhooks.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word),+
                }
            }

            /// The type of that word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

event_types! {
    /// Somebody signed in to the organization for the first time.
    UserCreated = "user.created";
    /// A user changed their name or address.
    UserUpdated = "user.updated";
    /// A user's data was erased.
    UserErased = "user.erased";
    /// A sign-in made a session.
    SessionCreated = "session.created";
    /// A session was ended, for whatever reason but old age.
    SessionEnded = "session.ended";
    /// Somebody joined the team.
    MembershipCreated = "membership.created";
    /// Somebody's role in the team changed.
    MembershipRoleChanged = "membership.role_changed";
    /// Somebody left the team or was removed.
    MembershipRemoved = "membership.removed";
    /// Somebody was invited to the team.
    InvitationCreated = "invitation.created";
    /// An invitation was accepted.
    InvitationAccepted = "invitation.accepted";
    /// An invitation was declined.
    InvitationDeclined = "invitation.declined";
    /// An invitation was cancelled.
    InvitationCancelled = "invitation.cancelled";
    /// A service was made.
    ServiceCreated = "service.created";
    /// A service was changed.
    ServiceUpdated = "service.updated";
    /// A service was deleted.
    ServiceDeleted = "service.deleted";
    /// A subscription began.
    SubscriptionCreated = "subscription.created";
    /// A subscription changed.
    SubscriptionUpdated = "subscription.updated";
    /// A subscription ended.
    SubscriptionEnded = "subscription.ended";
    /// The organization was let in.
    OrganizationApproved = "organization.approved";
    /// The organization was turned away.
    OrganizationRejected = "organization.rejected";
    /// The organization was locked out; its sessions ended.
    OrganizationSuspended = "organization.suspended";
    /// The organization was let in again.
    OrganizationActivated = "organization.activated";
    /// The organization was put on a tier.
    OrganizationTierChanged = "organization.tier_changed";
    /// The organization was renamed.
    OrganizationRenamed = "organization.renamed";
    /// A webhook was switched off, because its receiver failed for long.
    WebhookDisabled = "webhook.disabled";
    /// A test, to one webhook alone.
    WebhookPing = "webhook.ping";
}

/// Records what happened in an organization and passes it on to its webhooks. Part of the caller's transaction. The
/// data are ids and states: whoever may read the feed may look up the rest, and what is erased is erased.
///
/// The platform realm has no feed: what happens there is in the audit log.
pub(crate) fn record(
    tx: &mut WriteTx<'_>,
    org_id: i64,
    (event_type, data): (EventType, &Json),
    now: Millis,
) -> Result<(), StoreError> {
    if org_id == PLATFORM_ORG_ID {
        return Ok(());
    }
    let sequence = insert(tx, org_id, (event_type, data), now)?;
    for webhook_id in webhooks::wanting(tx, org_id, event_type)? {
        deliver(tx, (org_id, sequence), webhook_id, now)?;
    }
    Ok(())
}

/// What the entry of an audited change means for the feed. The audit log knows more, and of more.
fn types_of_action(action: &str) -> &'static [EventType] {
    match action {
        "user.updated" => &[EventType::UserUpdated],
        "user.erased" => &[EventType::UserErased],
        "organization.created" | "organization.claimed" => &[EventType::MembershipCreated],
        "member.role_changed" | "organization.ownership_transferred" => &[EventType::MembershipRoleChanged],
        "member.left" | "member.removed" | "organization.declined" => &[EventType::MembershipRemoved],
        "invitation.created" => &[EventType::InvitationCreated],
        "invitation.accepted" => &[EventType::InvitationAccepted, EventType::MembershipCreated],
        "invitation.declined" => &[EventType::InvitationDeclined],
        "invitation.cancelled" => &[EventType::InvitationCancelled],
        "service.created" => &[EventType::ServiceCreated],
        "service.updated" => &[EventType::ServiceUpdated],
        "service.deleted" => &[EventType::ServiceDeleted],
        "organization.approved" => &[EventType::OrganizationApproved],
        "organization.rejected" => &[EventType::OrganizationRejected],
        "organization.suspended" => &[EventType::OrganizationSuspended],
        "organization.activated" => &[EventType::OrganizationActivated],
        "organization.tier_changed" => &[EventType::OrganizationTierChanged],
        "organization.renamed" => &[EventType::OrganizationRenamed],
        _ => &[],
    }
}

/// Records what an audited change means for the feed: one place for all of them, so that none is forgotten.
pub(super) fn record_audited(
    tx: &mut WriteTx<'_>,
    context: &AuditContext,
    happened: &Happened<'_>,
) -> Result<(), StoreError> {
    let (target_type, target_id) = happened.target;
    for event_type in types_of_action(happened.action) {
        let data = json!({
            "target_type": target_type,
            "target_id": target_id,
            "actor_user_id": context.actor_user_id,
            "details": happened.metadata,
        });
        record(tx, happened.org_id, (*event_type, &data), context.now)?;
    }
    Ok(())
}

/// Records an event for one webhook alone.
pub(super) fn record_for(
    tx: &mut WriteTx<'_>,
    org_id: i64,
    webhook_id: i64,
    (event_type, data): (EventType, &Json),
    now: Millis,
) -> Result<i64, StoreError> {
    let sequence = insert(tx, org_id, (event_type, data), now)?;
    deliver(tx, (org_id, sequence), webhook_id, now)?;
    Ok(sequence)
}

fn insert(
    tx: &mut WriteTx<'_>,
    org_id: i64,
    (event_type, data): (EventType, &Json),
    now: Millis,
) -> Result<i64, StoreError> {
    let sequence = tx.one(NEXT_SEQUENCE, values![org_id], |row| row.get::<i64>(0))?;
    let data = data.to_string();
    tx.execute(INSERT_EVENT, values![org_id, sequence, event_type.as_str(), &data, now])?;
    tx.news.organizations.insert(org_id);
    Ok(sequence)
}

fn deliver(
    tx: &mut WriteTx<'_>,
    (org_id, sequence): (i64, i64),
    webhook_id: i64,
    now: Millis,
) -> Result<(), StoreError> {
    let payload = json!({});
    let new = NewDelivery {
        kind: Kind::Webhook,
        target_id: webhook_id,
        subject_id: sequence,
        org_id,
        payload: &payload,
    };
    outbox::enqueue(tx, &new, now)
}

/// An event as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number in the organization, from 1.
    pub sequence: i64,
    /// Its type.
    pub event_type: String,
    /// A JSON object.
    pub data: String,
    /// When.
    pub created_at: Millis,
}

impl Event {
    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            sequence: row.get(0)?,
            event_type: row.get(1)?,
            data: row.get(2)?,
            created_at: row.get(3)?,
        })
    }

    /// The id for the outside; see [`event_id`].
    #[must_use]
    pub fn id(&self, org_public_id: &str) -> String {
        event_id(org_public_id, self.sequence, self.created_at)
    }
}

/// Bits of an event's id that hold its number; the other 38 free ones tell organizations apart.
const SEQUENCE_BITS: u32 = 36;
const SEQUENCE_MASK: u128 = (1 << SEQUENCE_BITS) - 1;

/// The id of an event for the outside: a UUID of version 7 (RFC 9562, section 5.7) that needs no column and no index.
/// Its time is the event's; in place of random bits (section 6.2 leaves them to the maker) it has a hash of the
/// organization and the number of the event, so that an id is also a place in the feed.
#[must_use]
pub fn event_id(org_public_id: &str, sequence: i64, created_at: Millis) -> String {
    let time = u128::from(created_at.unsigned_abs()) & 0xffff_ffff_ffff;
    let free = (u128::from(mark(org_public_id)) << SEQUENCE_BITS)
        | (u128::from(sequence.unsigned_abs()) & SEQUENCE_MASK);
    let (high, low) = (free >> 62, free & ((1 << 62) - 1));
    let bits = (time << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low;
    let hex = format!("{bits:032x}");
    [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)]
        .map(|(from, to)| hex.get(from..to).unwrap_or_default())
        .join("-")
}

/// Number and time of the event with this id; none when the id is not one of the organization's.
#[must_use]
pub fn place_of(org_public_id: &str, id: &str) -> Option<(i64, Millis)> {
    let hex: String = id.chars().filter(|letter| *letter != '-').collect();
    let bits = u128::from_str_radix(&hex, 16).ok()?;
    let free = (((bits >> 64) & 0xfff) << 62) | (bits & ((1 << 62) - 1));
    let sequence = i64::try_from(free & SEQUENCE_MASK).ok()?;
    let time = Millis::try_from(bits >> 80).ok()?;
    // The whole of it, so that there is one way to write an id.
    (event_id(org_public_id, sequence, time) == id).then_some((sequence, time))
}

/// 38 bits that tell organizations apart.
fn mark(org_public_id: &str) -> u64 {
    let hash = digest(&SHA256, org_public_id.as_bytes());
    let bytes = hash.as_ref().first_chunk::<8>().copied().unwrap_or_default();
    u64::from_be_bytes(bytes) >> (64 - 38)
}

/// Where a reader of the feed stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Before everything that is kept.
    Oldest,
    /// After everything that is there.
    Newest,
    /// After the event of this number and time. Both, because a database that was restored from a backup gives a
    /// number a second time, to another event.
    After(i64, Millis),
}

/// The next events of an organization.
#[derive(Debug, Clone)]
pub struct EventsAfter {
    /// Row id of the organization.
    pub org_id: i64,
    /// Where to go on.
    pub position: Position,
    /// Only these types; none means all.
    pub types: Option<Vec<EventType>>,
    /// The most events to return.
    pub limit: usize,
}

/// A piece of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// Oldest first.
    pub events: Vec<Event>,
    /// The last one looked at, wanted or not: where to go on. None when nothing was looked at.
    pub last: Option<(i64, Millis)>,
    /// Whether there is more already.
    pub has_more: bool,
}

/// The feed does not go back to that position any more, or has not come to it yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfReach;

impl ReadOp for EventsAfter {
    type Output = Result<EventPage, OutOfReach>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let newest = tx.optional(NEWEST_EVENT, values![self.org_id], Event::from_row)?;
        let newest_sequence = newest.as_ref().map_or(0, |event| event.sequence);
        let from = match self.position {
            Position::Oldest => 0,
            Position::After(sequence, _) => sequence,
            Position::Newest => {
                let last = newest.map(|event| (event.sequence, event.created_at));
                return Ok(Ok(EventPage { events: Vec::new(), last, has_more: false }));
            }
        };
        let mut found = tx.all(EVENTS_FROM, values![self.org_id, from, WINDOW], Event::from_row)?;
        if let Position::After(sequence, at) = self.position {
            match found.first() {
                Some(seen) if (seen.sequence, seen.created_at) == (sequence, at) => {
                    found.remove(0);
                }
                // Purged since, and nothing after it: numbers have no gaps.
                Some(next) if next.sequence == sequence + 1 => {}
                _ => return Ok(Err(OutOfReach)),
            }
        }
        Ok(Ok(self.page(found, newest_sequence)))
    }
}

impl EventsAfter {
    fn page(&self, found: Vec<Event>, newest_sequence: i64) -> EventPage {
        let mut page = EventPage { events: Vec::new(), last: None, has_more: false };
        for event in found {
            if page.events.len() == self.limit {
                break;
            }
            page.last = Some((event.sequence, event.created_at));
            if self.wants(&event) {
                page.events.push(event);
            }
        }
        page.has_more = page.last.is_some_and(|(sequence, _)| sequence < newest_sequence);
        page
    }

    fn wants(&self, event: &Event) -> bool {
        self.types.as_ref().is_none_or(|types| types.iter().any(|one| one.as_str() == event.event_type))
    }
}

/// One event of an organization.
#[derive(Debug, Clone, Copy)]
pub struct EventBySequence {
    /// Row id of the organization.
    pub org_id: i64,
    /// Its number.
    pub sequence: i64,
}

impl ReadOp for EventBySequence {
    type Output = Option<Event>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.optional(EVENT, values![self.org_id, self.sequence], Event::from_row)
    }
}

/// Removes events that are older than they are kept, a bounded number at a time, organization by organization.
#[derive(Debug, Clone, Copy)]
pub struct PurgeEvents {
    /// The organization after which to go on.
    pub after_org_id: i64,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for PurgeEvents {
    /// The organization after which to go on; none after the last one.
    type Output = Option<i64>;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Self::Output, OpError<()>> {
        let mut left = PURGE_STEP;
        let mut done = self.after_org_id;
        let organizations =
            tx.all(EVENT_ORGANIZATIONS, values![done, PURGE_STEP], |row| row.get::<i64>(0))?;
        let is_last_step = i64::try_from(organizations.len()).is_ok_and(|count| count < PURGE_STEP);
        for org_id in organizations {
            let purged = tx.execute(PURGE_EVENTS, values![org_id, left, self.now - EVENT_LIFETIME])?;
            left -= i64::try_from(purged).unwrap_or(left);
            if left <= 0 {
                // There may be more of this one: it is looked at again.
                return Ok(Some(done));
            }
            done = org_id;
        }
        Ok((!is_last_step).then_some(done))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORG: &str = "0198c0de-0000-7000-8000-000000000001";

    #[test]
    fn an_id_is_a_uuid_of_version_7() {
        let id = event_id(ORG, 1, 1_767_225_600_000);
        assert_eq!(id.len(), 36);
        assert_eq!((&id[..13], &id[14..15]), ("019b76da-a800", "7"));
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
    }

    #[test]
    fn words_are_told_apart() {
        for one in EventType::ALL {
            assert_eq!(EventType::parse(one.as_str()), Some(*one));
        }
        assert_eq!(EventType::parse("user"), None);
    }

    proptest! {
        #[test]
        fn an_id_is_a_place_in_the_feed(sequence in 0_i64..1 << 36, time in 0_i64..1 << 48) {
            let id = event_id(ORG, sequence, time);
            prop_assert_eq!(place_of(ORG, &id), Some((sequence, time)));
            prop_assert_eq!(place_of("0198c0de-0000-7000-8000-000000000002", &id), None);
            prop_assert_eq!(place_of(ORG, &id.to_uppercase()).is_some(), id == id.to_uppercase());
        }

        #[test]
        fn whatever_else_is_no_place(text in ".{0,40}", byte in 0_usize..36) {
            prop_assert_eq!(place_of(ORG, &text), None);
            let place = Some((5, 1_767_225_600_000));
            let mut id = event_id(ORG, 5, 1_767_225_600_000).into_bytes();
            id[byte] = if id[byte] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(id).unwrap();
            // A change of the time or of the number makes another place, everything else makes none.
            prop_assert_ne!(place_of(ORG, &changed), place);
        }
    }
}
