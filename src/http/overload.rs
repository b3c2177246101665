//! What is refused because more comes than there is room for, told to the log in few lines: one when it begins, one a
//! minute while it goes on, one when it is over. Each request has its own line besides, at the level of any other: it is
//! no failure of ours, and thousands of errors a second would hide those that are.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::web::Data;

use crate::state::App;

/// How often it is looked whether it is over.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// It is over when nothing was refused for so long.
const QUIET: Duration = Duration::from_secs(10);
/// How often the number is told while it goes on.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// The refusals of this process.
#[derive(Debug, Default)]
pub struct Overload(Mutex<Option<Spell>>);

/// From the first refusal to the last one before a pause.
#[derive(Debug, Clone, Copy)]
struct Spell {
    began: Instant,
    newest: Instant,
    told: Instant,
    refused: u64,
}

/// What the log is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    GoesOn { refused: u64, lasted: Duration },
    Over { refused: u64, lasted: Duration },
}

impl Overload {
    /// Notes a refusal, and tells of it if it is the first one.
    pub fn refused(&self) {
        if self.note(Instant::now()) {
            log::warn!("more comes than there is room for, refusing what finds none");
        }
    }

    /// Whether it is the first one of a spell.
    fn note(&self, now: Instant) -> bool {
        let mut spell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spell) = spell.as_mut() {
            spell.refused += 1;
            spell.newest = now;
            return false;
        }
        *spell = Some(Spell { began: now, newest: now, told: now, refused: 1 });
        true
    }

    fn look(&self, now: Instant, quiet: Duration) -> Option<News> {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let spell = place.as_mut()?;
        let (refused, lasted) = (spell.refused, spell.newest.saturating_duration_since(spell.began));
        if now.saturating_duration_since(spell.newest) >= quiet {
            *place = None;
            return Some(News::Over { refused, lasted });
        }
        if now.saturating_duration_since(spell.told) >= TELL_EVERY {
            spell.told = now;
            return Some(News::GoesOn { refused, lasted });
        }
        None
    }

    /// Says how many there were, for a process that stops meanwhile.
    pub(crate) fn conclude(&self) {
        tell(self.look(Instant::now(), Duration::ZERO));
    }
}

/// Runs until it is aborted.
pub(crate) async fn keep(app: Data<App>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        tell(app.overload.look(Instant::now(), QUIET));
    }
}

fn tell(news: Option<News>) {
    match news {
        Some(News::GoesOn { refused, lasted }) => {
            log::warn!(refused = refused, seconds = lasted.as_secs(); "still refusing what finds no room");
        }
        Some(News::Over { refused, lasted }) => {
            log::warn!(refused = refused, seconds = lasted.as_secs(); "there is room for everything again");
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_refusals_are_told_of_at_their_beginning_each_minute_and_at_their_end() {
        let overload = Overload::default();
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let look = |seconds: u64| overload.look(at(seconds), QUIET);
        assert_eq!(look(0), None);
        let first = (0..=90).filter(|second| overload.note(at(*second))).count();
        assert_eq!(first, 1, "only the first one begins it");
        assert_eq!(look(90), Some(News::GoesOn { refused: 91, lasted: Duration::from_secs(90) }));
        assert_eq!(look(92), None, "the minute is not over, nor is the load");
        assert_eq!(look(99), None);
        assert_eq!(look(100), Some(News::Over { refused: 91, lasted: Duration::from_secs(90) }));
        assert_eq!(look(200), None, "once");
        assert!(overload.note(at(201)), "the next one begins anew");
        overload.conclude();
        assert_eq!(look(300), None, "a stop has told of it");
    }
}
