//! What is known of a user's sign-ins: the chain of their events, and the days on which they were active.

use super::login_events::day_of;
use crate::clock::Millis;
use crate::engine::WriteTx;
use crate::error::StoreError;
use crate::{statements, values};

statements! {
    LOGIN_USER = "SELECT last_day, last_event_id FROM login_users WHERE user_id = $1";
    REMEMBER_LOGIN = "INSERT INTO login_users (user_id, org_id, last_day, last_event_id) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (user_id) DO UPDATE SET last_event_id = excluded.last_event_id, \
        last_day = CASE WHEN login_users.last_day > excluded.last_day OR excluded.last_day IS NULL \
        THEN login_users.last_day ELSE excluded.last_day END";
    CHAINED_EVENT = "SELECT user_id, succeeded, created_at, previous_id FROM login_events WHERE id = $1";
    CHANGE_ACTIVITY = "INSERT INTO active_user_changes (org_id, day, change) VALUES ($1, $2, $3) \
        ON CONFLICT (org_id, day) DO UPDATE SET change = active_user_changes.change + excluded.change";
    FORGET_PLACE = "UPDATE login_events SET ip_address = '', user_agent = '' WHERE id = $1";
}

/// Active is who signed in today or on one of the 29 days before.
pub(crate) const ACTIVITY_DAYS: i64 = 30;
/// How many events of a user are looked at when a clock went back over midnight.
const LONGEST_WALK: usize = 4096;

/// A user who has an event.
pub(crate) struct KnownUser {
    user_id: i64,
    last_day: Option<i64>,
    pub(crate) last_event_id: i64,
}

pub(crate) fn known(tx: &mut WriteTx<'_>, user_id: i64) -> Result<Option<KnownUser>, StoreError> {
    tx.optional(LOGIN_USER, values![user_id], |row| {
        Ok(KnownUser { user_id, last_day: row.get(0)?, last_event_id: row.get(1)? })
    })
}

/// Moves the end of the user's chain to `event_id`; `day` is that of a success.
pub(crate) fn remember(
    tx: &mut WriteTx<'_>,
    (user_id, org_id): (i64, i64),
    day: Option<i64>,
    event_id: i64,
) -> Result<(), StoreError> {
    tx.execute(REMEMBER_LOGIN, values![user_id, org_id, day, event_id])?;
    Ok(())
}

/// The days of a user's successes next to a day: the last one before it and the first one after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Neighbours {
    before: Option<i64>,
    after: Option<i64>,
}

/// None when the user signed in on this day already.
pub(crate) fn neighbours_if_first_of_day(
    tx: &mut WriteTx<'_>,
    known: Option<&KnownUser>,
    day: i64,
) -> Result<Option<Neighbours>, StoreError> {
    let Some((known, last_day)) = known.and_then(|known| Some((known, known.last_day?))) else {
        return Ok(Some(Neighbours::default()));
    };
    match last_day {
        last if last < day => Ok(Some(Neighbours { before: Some(last), after: None })),
        last if last == day => Ok(None),
        // The clock went back over midnight: only the events themselves know.
        _ => walk_to_neighbours(tx, known, day),
    }
}

fn walk_to_neighbours(
    tx: &mut WriteTx<'_>,
    known: &KnownUser,
    day: i64,
) -> Result<Option<Neighbours>, StoreError> {
    let mut neighbours = Neighbours::default();
    let mut has_day = false;
    walk(tx, known, LONGEST_WALK, |_, event| {
        let other = day_of(event.created_at);
        if !event.succeeded {
            return Ok(());
        }
        has_day |= other == day;
        if other < day {
            neighbours.before = Some(neighbours.before.map_or(other, |before| before.max(other)));
        } else if other > day {
            neighbours.after = Some(neighbours.after.map_or(other, |after| after.min(other)));
        }
        Ok(())
    })?;
    Ok((!has_day).then_some(neighbours))
}

struct Chained {
    id: i64,
    succeeded: bool,
    created_at: Millis,
}

/// Follows a user's chain from its end. It breaks off where an event was swept out, and where its number belongs to
/// somebody else by now.
fn walk(
    tx: &mut WriteTx<'_>,
    known: &KnownUser,
    longest: usize,
    mut at: impl FnMut(&mut WriteTx<'_>, &Chained) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut next = Some(known.last_event_id);
    for _ in 0..longest {
        let Some(id) = next else { break };
        let found = tx.optional(CHAINED_EVENT, values![id], |row| {
            let event = Chained { id, succeeded: row.get(1)?, created_at: row.get(2)? };
            Ok((row.get::<Option<i64>>(0)?, event, row.get::<Option<i64>>(3)?))
        })?;
        let Some((user_id, event, previous_id)) = found else { break };
        // Numbers only grow along a chain, so one that does not fall was given out anew.
        if user_id != Some(known.user_id) || previous_id.is_some_and(|previous| previous >= id) {
            break;
        }
        at(tx, &event)?;
        next = previous_id;
    }
    Ok(())
}

/// Counts the user as active on the days that this sign-in adds to those of its neighbours.
pub(crate) fn extend_activity(
    tx: &mut WriteTx<'_>,
    org_id: i64,
    day: i64,
    neighbours: Neighbours,
) -> Result<(), StoreError> {
    let Some((from, until)) = added_days(day, neighbours) else { return Ok(()) };
    tx.execute(CHANGE_ACTIVITY, values![org_id, from, 1])?;
    tx.execute(CHANGE_ACTIVITY, values![org_id, until, -1])?;
    Ok(())
}

/// The days on which a user is active because of a sign-in on `day` and of no other: from, and the first one after.
fn added_days(day: i64, neighbours: Neighbours) -> Option<(i64, i64)> {
    let from = neighbours.before.map_or(day, |before| day.max(before + ACTIVITY_DAYS));
    let until = neighbours.after.map_or(day + ACTIVITY_DAYS, |after| after.min(day + ACTIVITY_DAYS));
    (from < until).then_some((from, until))
}

/// Takes address and agent out of a user's events. The events stay, so that counts keep their sense.
pub(crate) fn forget_places(tx: &mut WriteTx<'_>, user_id: i64) -> Result<(), StoreError> {
    let Some(known) = known(tx, user_id)? else { return Ok(()) };
    // To the end, however far it is: nothing of an erased user may stay.
    walk(tx, &known, usize::MAX, |tx, event| {
        tx.execute(FORGET_PLACE, values![event.id])?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn active_days(signed_in: &BTreeSet<i64>) -> BTreeSet<i64> {
        signed_in.iter().flat_map(|day| *day..day + ACTIVITY_DAYS).collect()
    }

    proptest! {
        /// Whatever the order in which the days come.
        #[test]
        fn the_added_days_are_exactly_those_that_no_other_sign_in_covers(days in prop::collection::vec(0..200i64, 1..40)) {
            let mut signed_in = BTreeSet::new();
            let mut counted = BTreeSet::new();
            for day in days {
                if signed_in.contains(&day) {
                    continue;
                }
                let before = signed_in.range(..day).next_back().copied();
                let after = signed_in.range(day + 1..).next().copied();
                signed_in.insert(day);
                if let Some((from, until)) = added_days(day, Neighbours { before, after }) {
                    for added in from..until {
                        prop_assert!(counted.insert(added), "day {added} is counted twice");
                    }
                }
                prop_assert_eq!(&counted, &active_days(&signed_in));
            }
        }
    }
}
