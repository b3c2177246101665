//! How long a peer may be silent, slow or deaf. actix-http bounds the head of a connection's first request and nothing
//! after it, so everything else is bounded here, for every connection.
//!
//! ```text
//! no request in flight   silent for IDLE, or a head that takes longer than HEAD   -> the connection ends
//! in flight or not       takes nothing of what is sent for DEAF                   -> the connection is cut
//! ```

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix_web::rt::time::Instant;

/// Idle connections are kept this long. Longer than common proxies keep theirs, so that they close first.
const IDLE: Duration = Duration::from_secs(75);
/// From the first byte of a head to its end. For the first head of a connection actix-http counts the same time from
/// connecting. Not so short that browsers, which connect before they know what to ask, are told 408 all the time.
pub(super) const HEAD: Duration = Duration::from_secs(15);
/// A peer that has taken nothing for this long does not read any more.
const DEAF: Duration = Duration::from_mins(1);

/// What happens on one connection, as far as it decides how long it may take.
#[derive(Debug)]
pub(super) struct Pace {
    in_flight: Cell<usize>,
    quiet_since: Cell<Instant>,
    head_since: Cell<Option<Instant>>,
    deaf_since: Cell<Option<Instant>>,
    last_was_asked: Cell<bool>,
}

impl Pace {
    pub(super) fn new() -> Rc<Self> {
        let quiet_since = Cell::new(Instant::now());
        Rc::new(Self {
            in_flight: Cell::default(),
            quiet_since,
            head_since: Cell::default(),
            deaf_since: Cell::default(),
            last_was_asked: Cell::default(),
        })
    }

    /// Nothing has been asked yet. For the end of a handshake, whose bytes are no head.
    pub(super) fn rest(&self) {
        self.quiet_since.set(Instant::now());
        self.head_since.set(None);
    }

    /// Bytes came. What comes while nothing is in flight belongs to a head.
    pub(super) fn heard(&self) {
        if self.in_flight.get() == 0 && self.head_since.get().is_none() {
            self.head_since.set(Some(Instant::now()));
        }
    }

    /// A request came, and whether it is meant to be the last. Tells whether one was that before.
    pub(super) fn asked(&self, is_last: bool) -> bool {
        self.last_was_asked.replace(is_last || self.last_was_asked.get())
    }

    /// The peer took some bytes. The end of an answer is still on its way when its request is over.
    pub(super) fn taken(&self) {
        self.deaf_since.set(None);
        if self.in_flight.get() == 0 {
            self.quiet_since.set(Instant::now());
        }
    }

    /// The peer takes nothing at present.
    pub(super) fn refused(&self) {
        if self.deaf_since.get().is_none() {
            self.deaf_since.set(Some(Instant::now()));
        }
    }

    /// When a connection without a request in flight ends.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        if self.in_flight.get() > 0 {
            return None;
        }
        // Whoever has begun to ask may finish, however long it was idle before.
        Some(self.head_since.get().map_or(self.quiet_since.get() + IDLE, |since| since + HEAD))
    }

    /// When a peer that takes nothing is given up.
    pub(super) fn cut_at(&self) -> Option<Instant> {
        self.deaf_since.get().map(|since| since + DEAF)
    }
}

/// A request in flight, until the last of its answer was handed to the connection or thrown away. A stream of events is in
/// flight for as long as it is read.
pub(super) struct Visit(Rc<Pace>);

impl Visit {
    pub(super) fn begin(pace: &Rc<Pace>) -> Self {
        pace.in_flight.set(pace.in_flight.get() + 1);
        pace.head_since.set(None);
        Self(Rc::clone(pace))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get().saturating_sub(1));
        self.0.quiet_since.set(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace_of(age: Duration) -> Rc<Pace> {
        let pace = Pace::new();
        pace.quiet_since.set(Instant::now() - age);
        pace
    }

    #[test]
    fn an_idle_connection_ends_and_one_with_a_request_in_flight_does_not() {
        let pace = pace_of(IDLE);
        assert!(pace.ends_at().unwrap() <= Instant::now());
        let (first, second) = (Visit::begin(&pace), Visit::begin(&pace));
        drop(first);
        assert_eq!(pace.ends_at(), None);
        drop(second);
        assert!(pace.ends_at().unwrap() > Instant::now() + IDLE / 2, "idle from the end of the last answer");
    }

    #[test]
    fn a_head_is_timed_from_its_first_byte_and_more_bytes_do_not_help() {
        let pace = pace_of(IDLE);
        pace.heard();
        let ends_at = pace.ends_at().unwrap();
        assert!(ends_at > Instant::now() + HEAD / 2);
        pace.heard();
        pace.taken();
        assert_eq!(pace.ends_at(), Some(ends_at));
        drop(Visit::begin(&pace));
        pace.heard();
        assert!(pace.ends_at().unwrap() > ends_at, "the next head has a time of its own");
    }

    #[test]
    fn bytes_of_a_body_are_no_head_and_neither_are_those_of_a_handshake() {
        let pace = pace_of(Duration::ZERO);
        let visit = Visit::begin(&pace);
        pace.heard();
        drop(visit);
        assert!(pace.ends_at().unwrap() > Instant::now() + HEAD);
        pace.heard();
        pace.rest();
        assert!(pace.ends_at().unwrap() > Instant::now() + HEAD);
    }

    #[test]
    fn deafness_counts_from_the_first_refusal_until_something_is_taken() {
        let pace = pace_of(Duration::ZERO);
        assert_eq!(pace.cut_at(), None);
        pace.refused();
        let cut_at = pace.cut_at();
        pace.refused();
        assert_eq!(pace.cut_at(), cut_at);
        pace.taken();
        assert_eq!(pace.cut_at(), None);
    }
}
