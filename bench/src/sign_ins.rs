//! A load of whole sign-ins: so many people at once, each over a connection of their own that is kept, each beginning
//! again as soon as their app has its tokens. One thread, because it has one core, and most of what it does is waiting.
//!
//! Everybody signs in once before the clock runs: what is measured are people who come back.

mod browser;
mod journey;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::JoinSet;

use self::browser::Browser;
use self::journey::Person;

/// A sign-in that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which step went wrong, and how.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    fn new(step: &str, problem: impl fmt::Display) -> Self {
        Self(format!("{step}: {problem}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What came of a load.
pub struct Measured {
    period: Duration,
    /// How long each sign-in took that ended within the period, shortest first.
    took: Vec<Duration>,
    /// Sign-ins that ended outside it: each person's first one, and what was under way at the end. The service worked
    /// for these too.
    beside: usize,
    /// Of each person to whom it happened, the first failure; they try no more.
    pub failures: Vec<Failure>,
}

impl Measured {
    /// The time within which this share of the sign-ins was over, in milliseconds.
    fn percentile(&self, share: f64) -> f64 {
        let Some(last) = self.took.len().checked_sub(1) else { return 0.0 };
        let place = (self.took.len() as f64 * share) as usize;
        self.took.get(place.min(last)).map_or(0.0, |took| took.as_secs_f64() * 1000.0)
    }
}

/// One line of JSON, times in milliseconds.
impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.took.len();
        let in_all = count + self.beside;
        let rate = count as f64 / self.period.as_secs_f64();
        let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|share| self.percentile(share));
        let failed = self.failures.len();
        write!(f, "{{\"count\":{count},\"in_all\":{in_all},\"failed\":{failed},\"rate\":{rate:.1},")?;
        write!(f, "\"p50\":{p50:.3},\"p99\":{p99:.3},\"p999\":{p999:.3},\"max\":{max:.3}}}")
    }
}

/// Keeps `connections` sign-ins under way at the service at `address` (`http://HOST:PORT`) for `period`.
pub fn measure(address: &str, connections: usize, period: Duration) -> Result<Measured, Box<dyn Error>> {
    let host = address.strip_prefix("http://").ok_or("the address begins with http://")?;
    let people = (0..connections).map(|number| Person::new(number, Browser::new(host)));
    Builder::new_current_thread().enable_all().build()?.block_on(load(people, period))
}

async fn load(people: impl Iterator<Item = Person>, period: Duration) -> Result<Measured, Box<dyn Error>> {
    let mut measured = Measured { period, took: Vec::new(), beside: 0, failures: Vec::new() };
    let mut known = Vec::new();
    for (person, outcome) in at_once(people.map(first_visit)).await? {
        match outcome {
            Ok(()) => known.push(person),
            Err(failure) => measured.failures.push(failure),
        }
    }
    measured.beside += known.len();
    let end = Instant::now() + period;
    for visits in at_once(known.into_iter().map(|person| visits(person, end))).await? {
        measured.took.extend(visits.took);
        measured.beside += usize::from(visits.last_was_late);
        measured.failures.extend(visits.failure);
    }
    measured.took.sort_unstable();
    Ok(measured)
}

/// Carries out all of them, each as a task of its own.
async fn at_once<F>(futures: impl Iterator<Item = F>) -> Result<Vec<F::Output>, Box<dyn Error>>
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut tasks: JoinSet<F::Output> = futures.collect();
    let mut outcomes = Vec::new();
    while let Some(outcome) = tasks.join_next().await {
        outcomes.push(outcome?);
    }
    Ok(outcomes)
}

async fn first_visit(mut person: Person) -> (Person, Result<(), Failure>) {
    let outcome = sign_in(&mut person).await;
    (person, outcome)
}

/// What one person did until the end.
struct Visits {
    took: Vec<Duration>,
    last_was_late: bool,
    failure: Option<Failure>,
}

async fn visits(mut person: Person, end: Instant) -> Visits {
    let mut visits = Visits { took: Vec::new(), last_was_late: false, failure: None };
    loop {
        let begun = Instant::now();
        if let Err(failure) = sign_in(&mut person).await {
            visits.failure = Some(failure);
            return visits;
        }
        if Instant::now() >= end {
            visits.last_was_late = true;
            return visits;
        }
        visits.took.push(begun.elapsed());
    }
}

async fn sign_in(person: &mut Person) -> Result<(), Failure> {
    match tokio::time::timeout(PATIENCE, person.sign_in()).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::new("the whole sign-in", format_args!("not over within {PATIENCE:?}"))),
    }
}
