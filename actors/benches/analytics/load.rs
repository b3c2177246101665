//! Clients that sign in, and how long they wait.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use gatehouse_actors::data::analytics::{Days, LoginTrend, LoginsByService, Outcomes, RecentLogins};
use gatehouse_actors::data::platform_analytics::{PlatformOverview, TopOrganizations};

use crate::world::{BUSY_ORGANIZATION, World};

#[derive(Default)]
pub(crate) struct Latencies(RefCell<Vec<Duration>>);

impl Latencies {
    pub(crate) fn add(&self, latency: Duration) {
        self.0.borrow_mut().push(latency);
    }

    /// The latency that this share of all is not above.
    pub(crate) fn micros(&self, share: f64) -> f64 {
        let mut sorted = self.0.borrow().clone();
        sorted.sort_unstable();
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
        let position = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
        sorted.get(position).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
    }

    pub(crate) fn pair(&self) -> String {
        format!("{:.0} / {:.0}", self.micros(0.5), self.micros(0.99))
    }
}

/// What clients that sign in one after the other saw.
pub(crate) struct SignIns {
    count: usize,
    took: Duration,
    latencies: Latencies,
}

impl SignIns {
    pub(crate) async fn run(world: &World, clients: usize, time: Duration) -> Self {
        let begun = Instant::now();
        Self::run_until(world, clients, || begun.elapsed() >= time).await
    }

    /// Every write of every client is measured: the one that hands out the code and the one that redeems it.
    pub(crate) async fn run_until(world: &World, clients: usize, is_over: impl Fn() -> bool) -> Self {
        let begun = Instant::now();
        let latencies = Latencies::default();
        let count = Cell::new(0);
        let client = async |number: usize| {
            let mut round = 0;
            while !is_over() {
                let person = number * 1000 + round % 500;
                world.sign_in(person, &latencies).await;
                count.set(count.get() + 1);
                round += 1;
            }
        };
        join_all((0..clients).map(client)).await;
        Self { count: count.get(), took: begun.elapsed(), latencies }
    }

    pub(crate) fn line(&self) -> String {
        #[allow(clippy::cast_precision_loss)]
        let rate = self.count as f64 / self.took.as_secs_f64();
        let millis = |share| self.latencies.micros(share) / 1000.0;
        let (median, tail, worst) = (millis(0.5), millis(0.99), millis(1.0));
        format!("{rate:>7.0} sign-ins/s   a write p50 {median:.1} ms, p99 {tail:.1} ms, max {worst:.1} ms")
    }
}

/// Asks one report after the other, four at a time. Returns how many were answered.
pub(crate) async fn reports(world: &World, time: Duration) -> usize {
    let begun = Instant::now();
    let count = Cell::new(0);
    let days = Days { first: world.today() - 365, last: world.today() };
    let reader = async || {
        while begun.elapsed() < time {
            let (org_id, now) = (BUSY_ORGANIZATION, world.now());
            world.store.read(LoginTrend { org_id, days }).await.unwrap();
            world.store.read(LoginsByService { org_id, days }).await.unwrap();
            world.store.read(RecentLogins { org_id, outcomes: Outcomes::Both, limit: 100 }).await.unwrap();
            world.store.read(PlatformOverview { now }).await.unwrap();
            world.store.read(TopOrganizations { now, limit: 100 }).await.unwrap();
            count.set(count.get() + 5);
        }
    };
    join_all((0..4).map(|_| reader())).await;
    count.get()
}
