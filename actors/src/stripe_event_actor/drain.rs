//! Working off what is due.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};

use super::{StripeAccount, Worker, add};
use crate::clock::Millis;
use crate::data::stripe_effects::{ApplyStripeEvent, ApplyStripeSubscription, EventToApply, unusable};
use crate::data::stripe_inbox::{DueStripeEvent, DueStripeEvents, FailStripeEvents, Outcome};
use crate::error::StoreError;
use crate::stripe::event::Event;

/// Events that are sent to the writer together: enough to share an fsync, few enough that a sign-in does not wait behind
/// them.
const BATCH: i64 = 128;
/// Subscriptions that are read from Stripe at once. Stripe allows 100 requests a second in live mode.
const READS_AT_ONCE: usize = 8;
/// After so many attempts, over more than a day, an event is dead until somebody replays it.
const MOST_ATTEMPTS: i64 = 32;
const FIRST_PAUSE: Millis = 2_000;
const LONGEST_PAUSE: Millis = 60 * 60 * 1000;

/// The events that one look at a subscription is for.
struct Hints {
    account: StripeAccount,
    events: Vec<(EventToApply, i64)>,
}

impl Worker {
    /// Works until nothing is due. An error means that storage does not answer: everything waits.
    pub(super) async fn drain(&self) -> Result<(), StoreError> {
        let _alone = self.one_drain.lock().await;
        let mut after = 0;
        while !self.stopping.get() {
            let due = self.read(DueStripeEvents { after, limit: BATCH, now: self.now() }).await?;
            let Some(last) = due.last() else { break };
            after = last.id;
            let _shared = self.order.read().await;
            let (told, hints) = self.sort(due).await?;
            self.apply_as_told(told).await?;
            let work = hints.into_iter().map(|(key, hints)| self.look_and_apply(key.1, hints));
            let outcomes: Vec<_> = stream::iter(work).buffer_unordered(READS_AT_ONCE).collect().await;
            outcomes.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    /// Events to take at their word, and events that only say where to look.
    async fn sort(
        &self,
        due: Vec<DueStripeEvent>,
    ) -> Result<(Vec<(EventToApply, i64)>, BTreeMap<(i64, String), Hints>), StoreError> {
        let (mut told, mut hints) = (Vec::new(), BTreeMap::new());
        for one in due {
            let DueStripeEvent { id, org_id, created_at, attempts, payload, secret_key_sealed, .. } = one;
            let Ok(event) = Event::parse(&payload) else {
                // Was read when it was stored, so this is a defect of ours: kept for a later version.
                self.fail(vec![(id, i64::MAX)], "the event cannot be read").await?;
                continue;
            };
            let account = StripeAccount { org_id, secret_key_sealed };
            let look = event
                .subscription_id()
                .filter(|_| self.port.can_ask(&account) && unusable(&event, org_id, self.rules).is_none());
            let event = EventToApply { id, org_id, created_at, event };
            match look {
                None => told.push((event, attempts)),
                Some(stripe_id) => {
                    let hint = hints
                        .entry((org_id, stripe_id))
                        .or_insert_with(|| Hints { account, events: Vec::new() });
                    hint.events.push((event, attempts));
                }
            }
        }
        Ok((told, hints))
    }

    /// Each event is an operation of its own, so one that cannot be applied holds up nobody but its own line; that they are
    /// sent together lets them share a commit, in their order.
    async fn apply_as_told(&self, told: Vec<(EventToApply, i64)>) -> Result<(), StoreError> {
        let (rules, now) = (self.rules, self.now());
        let work = told.into_iter().map(|(event, attempts)| async move {
            let id = event.id;
            (id, attempts, self.write(ApplyStripeEvent { event, rules, now }).await)
        });
        for (id, attempts, outcome) in join_all(work).await {
            match outcome {
                Ok(Some(Outcome::Applied(_))) => add(&self.figures.applied, 1),
                Ok(Some(Outcome::Ignored(_))) => add(&self.figures.ignored, 1),
                Ok(None) => {}
                Err(error) if blames_an_event(&error) => {
                    self.fail(vec![(id, attempts)], &error.to_string()).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn look_and_apply(&self, stripe_id: String, hints: Hints) -> Result<(), StoreError> {
        let Hints { account, events } = hints;
        let attempts: Vec<(i64, i64)> =
            events.iter().map(|(event, attempts)| (event.id, *attempts)).collect();
        add(&self.figures.read_from_stripe, 1);
        let subscription = match self.port.subscription(&account, &stripe_id).await {
            Ok(subscription) => subscription,
            Err(failure) => return self.fail(attempts, &failure.to_string()).await,
        };
        let count = events.len() as u64;
        let apply = ApplyStripeSubscription {
            org_id: account.org_id,
            stripe_id,
            subscription,
            events: events.into_iter().map(|(event, _)| event).collect(),
            rules: self.rules,
            now: self.now(),
        };
        match self.write(apply).await {
            Ok(outcome) => {
                let figure =
                    if outcome.reason.is_some() { &self.figures.ignored } else { &self.figures.applied };
                add(figure, count);
                Ok(())
            }
            Err(error) if blames_an_event(&error) => self.fail(attempts, &error.to_string()).await,
            Err(error) => Err(error),
        }
    }

    /// Notes a failed attempt of events, each given with how often it failed before.
    async fn fail(&self, events: Vec<(i64, i64)>, error: &str) -> Result<(), StoreError> {
        let now = self.now();
        let next = |(id, attempts): (i64, i64)| {
            let again = attempts + 1 < MOST_ATTEMPTS && attempts < i64::MAX - 1;
            (id, again.then(|| now + pause(id, attempts)))
        };
        let events: Vec<_> = events.into_iter().map(next).collect();
        let dead = events.iter().filter(|(_, next)| next.is_none()).count() as u64;
        add(&self.figures.failed, events.len() as u64);
        add(&self.figures.dead, dead);
        log::warn!(events = events.len(), dead = dead, reason = error; "stripe events not applied");
        self.write(FailStripeEvents { events, error: error.to_owned(), now }).await
    }
}

/// Whether another batch would fare better without the event. All else is storage's trouble, and passes.
fn blames_an_event(error: &StoreError) -> bool {
    matches!(error, StoreError::Constraint(_) | StoreError::Panicked | StoreError::Inconsistent { .. })
}

/// Doubles up to an hour, and differs from event to event by up to an eighth, so that a herd spreads.
fn pause(id: i64, attempts: i64) -> Millis {
    let doublings = u32::try_from(attempts.clamp(0, 20)).unwrap_or(20);
    let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    pause + pause * id.rem_euclid(16) / 128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        assert_eq!((pause(0, 0), pause(0, 1), pause(0, 2)), (2_000, 4_000, 8_000));
        assert_eq!(pause(0, 31), LONGEST_PAUSE);
        assert!((0..100).all(|id| (2_000..2_250).contains(&pause(id, 0))));
    }
}
