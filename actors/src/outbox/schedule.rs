//! When to try again, and when to give up: plain rules.

use super::port::Outcome;
use crate::clock::Millis;
use crate::data::outbox::{Delivery, FAILURES_BEFORE_REST, Verdict};

/// The pause after the first failure: 5 seconds.
const SHORTEST: Millis = 5 * 1000;
/// No pause is longer, but for the jitter: 4 hours.
const LONGEST: Millis = 4 * 60 * 60 * 1000;
/// Each pause is so many times as long as the one before.
const FACTOR: Millis = 3;

/// The pause after so many failures in a row: growing, bounded, and spread over plus and minus a fifth, so that what
/// failed together does not come back together.
pub(super) fn backoff(failures: i64, draw: u32) -> Millis {
    let steps = u32::try_from(failures.clamp(1, 20)).unwrap_or(1) - 1;
    let pause = FACTOR.saturating_pow(steps).saturating_mul(SHORTEST).min(LONGEST);
    let spread = pause * 2 / 5;
    pause - pause / 5 + spread * Millis::from(draw) / Millis::from(u32::MAX)
}

/// What an attempt at `now` means for its delivery.
pub(super) fn judge(delivery: &Delivery, outcome: &Outcome, now: Millis, draw: u32) -> Verdict {
    let attempts = delivery.attempts + 1;
    match outcome {
        Outcome::Delivered { status } => Verdict::Delivered { status: i64::from(*status) },
        Outcome::Refused { status, reason } => {
            Verdict::Dead { status: status.map(i64::from), reason: reason.clone() }
        }
        Outcome::Gone { reason } => Verdict::Dead { status: None, reason: reason.clone() },
        Outcome::Failed { status, reason, wait } => {
            let (status, reason) = (status.map(i64::from), reason.clone());
            // Who asks to be left alone is, but not for longer than we would wait ourselves.
            let at = now + backoff(attempts, draw).max(wait.unwrap_or_default().min(LONGEST));
            if attempts >= delivery.kind.policy().attempts || at >= delivery.expires_at {
                return Verdict::Dead { status, reason };
            }
            Verdict::Again { at, status, reason }
        }
    }
}

/// Until when a target rests after so many failures in a row. The first ones may be one bad delivery among good ones.
pub(super) fn rest(failures: i64, now: Millis, draw: u32) -> Option<Millis> {
    (failures >= FAILURES_BEFORE_REST).then(|| now + backoff(failures + 1 - FAILURES_BEFORE_REST, draw))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::outbox::Kind;

    fn delivery(attempts: i64, lifetime: Millis) -> Delivery {
        Delivery {
            id: 1,
            kind: Kind::Webhook,
            target_id: 1,
            subject_id: 3,
            org_id: 2,
            payload: String::new(),
            attempts,
            created_at: 0,
            expires_at: lifetime,
        }
    }

    fn failed() -> Outcome {
        Outcome::Failed { status: Some(500), reason: "answered 500".to_owned(), wait: None }
    }

    proptest! {
        #[test]
        fn pauses_are_bounded_and_spread(failures in any::<i64>(), draw in any::<u32>()) {
            let pause = backoff(failures, draw);
            prop_assert!(pause >= SHORTEST - SHORTEST / 5);
            prop_assert!(pause <= LONGEST + LONGEST / 5);
            prop_assert!(backoff(failures, 0) <= pause && pause <= backoff(failures, u32::MAX));
        }

        #[test]
        fn pauses_grow_until_the_longest(failures in 1_i64..40, draws in any::<(u32, u32)>()) {
            let (this, next) = (backoff(failures, draws.0), backoff(failures + 1, draws.1));
            let longest_is_reached = backoff(failures, 0) == LONGEST - LONGEST / 5;
            prop_assert!(this < next || backoff(failures + 1, 0) == LONGEST - LONGEST / 5 || longest_is_reached);
        }

        #[test]
        fn a_retry_is_later_than_now_and_in_time(attempts in 0_i64..40, now in 0_i64..1 << 40, draw in any::<u32>()) {
            let lifetime = 3 * 24 * 60 * 60 * 1000;
            match judge(&delivery(attempts, lifetime), &failed(), now, draw) {
                Verdict::Again { at, .. } => {
                    prop_assert!(at > now && at < lifetime);
                    prop_assert!(attempts + 1 < Kind::Webhook.policy().attempts);
                }
                Verdict::Dead { status, .. } => prop_assert_eq!(status, Some(500)),
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn few_failures_do_not_put_a_target_to_rest(failures in 0_i64..60, now in 0_i64..1 << 40, draw in any::<u32>()) {
            match rest(failures, now, draw) {
                None => prop_assert!(failures < FAILURES_BEFORE_REST),
                Some(until) => prop_assert!(failures >= FAILURES_BEFORE_REST && until > now),
            }
        }
    }

    #[test]
    fn who_asks_to_be_left_alone_is_within_bounds() {
        let next = |wait| {
            let outcome = Outcome::Failed { status: Some(429), reason: String::new(), wait };
            match judge(&delivery(0, 24 * 60 * 60 * 1000), &outcome, 0, 0) {
                Verdict::Again { at, .. } => at,
                other => panic!("{other:?}"),
            }
        };
        let unasked = next(None);
        assert_eq!(next(Some(0)), unasked, "never sooner than unasked");
        assert_eq!(next(Some(unasked + 1)), unasked + 1);
        assert_eq!(next(Some(Millis::MAX)), LONGEST);
    }

    #[test]
    fn a_refusal_is_final_at_once() {
        let refused = Outcome::Refused { status: Some(400), reason: "answered 400".to_owned() };
        let verdict = judge(&delivery(0, 1000), &refused, 0, 0);
        assert_eq!(verdict, Verdict::Dead { status: Some(400), reason: "answered 400".to_owned() });
        let delivered = judge(&delivery(0, 1000), &Outcome::Delivered { status: 204 }, 0, 0);
        assert_eq!(delivered, Verdict::Delivered { status: 204 });
    }

    #[test]
    fn all_attempts_of_a_delivery_are_made_within_its_lifetime() {
        for kind in Kind::ALL {
            let policy = kind.policy();
            let pauses: Millis = (1..policy.attempts).map(|attempt| backoff(attempt, u32::MAX)).sum();
            assert!(pauses < policy.lifetime, "{kind:?}: {pauses}");
        }
    }
}
