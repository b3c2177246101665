//! Keeps provider tokens fresh ahead of time, so that who reads one waits for nobody.
//!
//! ```text
//! tick ──> anything due? (read) ──> lease a batch (write) ──> refresh each through the port ──> outcome ──> next batch
//!   refreshed, over, gone: the port has written that     failed: due again later, each time twice as late
//! ```
//! A provider that fails several times in a row is left alone for a while; its grants are postponed without asking.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult,
    ResponseFuture, WrapFuture,
};
use futures_util::future::{LocalBoxFuture, join_all};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::clock::{Clock, Millis};
use crate::commit_queue::Stop;
use crate::data::due_grants::{Backlog, DueGrant, DueGrants, LeaseDueGrants, PostponeGrant};
use crate::guard::{DeathBell, Vital};
use crate::message::{Observe, Snapshot};
use crate::store::Store;

/// How often it looks, when there was not more to do than it could take.
const PERIOD: Duration = Duration::from_secs(5);
/// Grants taken and refreshed at once: what is held in memory, however many are due. A provider that takes half a second
/// for each is asked sixty times a second by that, which keeps a hundred thousand grants an hour fresh twice over.
const BATCH: i64 = 32;
/// How long a lease lasts: several times the longest refresh.
const LEASE: Millis = 5 * 60 * 1000;
/// The first wait after a failure, and the longest.
const FIRST_WAIT: Millis = 30 * 1000;
const LONGEST_WAIT: Millis = 60 * 60 * 1000;
/// Failures in a row after which a provider is left alone, and for how long.
const BREAKS_AFTER: u32 = 5;
const LEFT_ALONE: Millis = 60 * 1000;

/// How long a stop waits for refreshes under way; a provider gets ten seconds for each.
const LONGEST_SETTLING: Duration = Duration::from_secs(12);

/// What became of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// It is fresh, and the port has stored it.
    Refreshed,
    /// Nothing is left to refresh: it is over, gone, or cannot be opened.
    Over,
    /// The provider could not be asked or did not answer as it should.
    Failed,
}

/// Refreshes one grant. Implemented where there is an HTTP client.
pub trait RefreshPort {
    /// Refreshes the grant, unless somebody stored something newer already, and stores what came of it.
    fn refresh(&self, grant: &DueGrant) -> LocalBoxFuture<'static, RefreshOutcome>;
}

/// Makes the port on the refresher's own thread: HTTP clients do not travel between threads.
pub type RefreshPortFactory = Box<dyn FnOnce() -> Rc<dyn RefreshPort> + Send>;

/// A provider's recent luck.
#[derive(Debug, Clone, Copy, Default)]
struct Circuit {
    failures_in_row: u32,
    closed_until: Millis,
}

impl Circuit {
    /// Until when the provider is left alone, if it is. An end further away than that means that the clock was set back.
    fn closed_until(&self, now: Millis) -> Option<Millis> {
        Some(self.closed_until).filter(|end| (1..=LEFT_ALONE).contains(&(end - now)))
    }
}

/// Providers with figures of their own: as named in the database, failures, whether it is left alone now.
const PROVIDERS: [(&str, &str, &str); 5] = [
    ("github", "failed_github", "left_alone_now_github"),
    ("google", "failed_google", "left_alone_now_google"),
    ("microsoft", "failed_microsoft", "left_alone_now_microsoft"),
    ("oidc", "failed_oidc", "left_alone_now_oidc"),
    ("dev", "failed_dev", "left_alone_now_dev"),
];

#[derive(Debug, Default)]
struct Counts {
    refreshed: u64,
    over: u64,
    failed: HashMap<String, u64>,
    left_alone: u64,
}

/// The async actor with the timer.
pub(crate) struct TokenRefresher {
    store: Store,
    clock: Arc<dyn Clock>,
    port: Rc<dyn RefreshPort>,
    circuits: HashMap<String, Circuit>,
    counts: Counts,
    backlog: Backlog,
    in_flight: bool,
    stopping: bool,
    settled: Vec<oneshot::Sender<()>>,
    _vital: Vital,
}

impl TokenRefresher {
    pub(crate) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        port: Rc<dyn RefreshPort>,
        bell: &DeathBell,
    ) -> Self {
        let vital = Vital::new("token refresher", bell);
        let (circuits, counts, backlog) = (HashMap::new(), Counts::default(), Backlog::default());
        let (in_flight, stopping, settled) = (false, false, Vec::new());
        Self { store, clock, port, circuits, counts, backlog, in_flight, stopping, settled, _vital: vital }
    }

    /// Asks first, and writes only when something is due.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let (store, now) = (self.store.clone(), self.clock.now());
        let question = async move { store.read(DueGrants { now }).await };
        ctx.spawn(question.into_actor(self).map(|found, actor, ctx| match found {
            Ok(backlog) => {
                actor.backlog = backlog;
                if backlog.due > 0 {
                    actor.work_off(ctx);
                }
            }
            Err(error) => log::warn!(reason:% = error; "due grants were not counted"),
        }));
    }

    /// A batch, and then the next one, until nothing is due.
    fn work_off(&mut self, ctx: &mut Context<Self>) {
        if self.in_flight || self.stopping {
            return;
        }
        self.in_flight = true;
        let now = self.clock.now();
        let (store, port) = (self.store.clone(), Rc::clone(&self.port));
        let left_alone: HashMap<String, Millis> = self
            .circuits
            .iter()
            .filter_map(|(provider, circuit)| Some((provider.clone(), circuit.closed_until(now)?)))
            .collect();
        let batch = refresh_batch(store, port, now, left_alone);
        ctx.spawn(batch.into_actor(self).map(|done, actor, ctx| {
            actor.in_flight = false;
            for waiting in actor.settled.drain(..) {
                // Who waited may have given up.
                let _ = waiting.send(());
            }
            let full = i64::try_from(done.len()).unwrap_or(BATCH) >= BATCH;
            actor.note(done);
            if full {
                ctx.notify(WorkOff);
            }
        }));
    }

    fn note(&mut self, done: Vec<Done>) {
        let now = self.clock.now();
        for Done { provider, outcome } in done {
            let circuit = self.circuits.entry(provider.clone()).or_default();
            match outcome {
                None => self.counts.left_alone += 1,
                Some(RefreshOutcome::Failed) => {
                    *self.counts.failed.entry(provider.clone()).or_default() += 1;
                    circuit.failures_in_row += 1;
                    if circuit.failures_in_row >= BREAKS_AFTER && circuit.closed_until(now).is_none() {
                        circuit.closed_until = now + LEFT_ALONE;
                        log::warn!(provider = provider.as_str(); "provider fails, its tokens wait");
                    }
                }
                Some(outcome) => {
                    *circuit = Circuit::default();
                    if outcome == RefreshOutcome::Over {
                        self.counts.over += 1;
                    } else {
                        self.counts.refreshed += 1;
                    }
                }
            }
        }
    }
}

/// What was done about a grant; no outcome when its provider is left alone.
struct Done {
    provider: String,
    outcome: Option<RefreshOutcome>,
}

async fn refresh_batch(
    store: Store,
    port: Rc<dyn RefreshPort>,
    now: Millis,
    left_alone: HashMap<String, Millis>,
) -> Vec<Done> {
    let until = now + LEASE;
    let leased = match store.write(LeaseDueGrants { now, until, limit: BATCH }).await {
        Ok(leased) => leased,
        Err(error) => {
            log::warn!(reason:? = error; "due grants were not leased");
            return Vec::new();
        }
    };
    join_all(leased.into_iter().map(|grant| {
        let wait_until = left_alone.get(&grant.provider).copied();
        refresh_one(&store, &*port, grant, (now, until, wait_until))
    }))
    .await
}

async fn refresh_one(
    store: &Store,
    port: &dyn RefreshPort,
    grant: DueGrant,
    (now, until, wait_until): (Millis, Millis, Option<Millis>),
) -> Done {
    let outcome = match wait_until {
        Some(_) => None,
        None => Some(port.refresh(&grant).await),
    };
    let (due_at, failed) = match (outcome, wait_until) {
        (Some(RefreshOutcome::Refreshed), _) => return Done { provider: grant.provider, outcome },
        (Some(RefreshOutcome::Over), _) => (None, false),
        (None, Some(open_at)) => (Some(open_at + spread(grant.id, FIRST_WAIT)), false),
        _ => (Some(now + wait(grant.id, grant.failures)), true),
    };
    let postpone = PostponeGrant { id: grant.id, leased_until: until, due_at, failed };
    if let Err(error) = store.write(postpone).await {
        // The lease ends by itself, and the grant is tried again then.
        log::warn!(reason:? = error; "a grant was not postponed");
    }
    Done { provider: grant.provider, outcome }
}

/// Twice as long after each failure, up to an hour, and a quarter more or less so that not all come back at once.
fn wait(id: i64, failures: i64) -> Millis {
    let doublings = u32::try_from(failures.clamp(0, 16)).unwrap_or_default();
    let wait = FIRST_WAIT.saturating_mul(1_i64 << doublings).min(LONGEST_WAIT);
    wait - wait / 4 + spread(id.wrapping_mul(31).wrapping_add(failures), wait / 2)
}

/// A number below `range` that looks random and is the same each time: actors draw no random numbers.
fn spread(seed: i64, range: Millis) -> Millis {
    // The finalizer of splitmix64.
    let mut x = seed.cast_unsigned().wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    i64::try_from((x ^ (x >> 31)) % range.max(1).cast_unsigned()).unwrap_or_default()
}

/// Begin nothing new, and answer when what was begun is stored: a provider may have taken an old token for a new one.
pub(crate) struct Settle;

impl Message for Settle {
    type Result = ();
}

impl Handler<Settle> for TokenRefresher {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Settle, _ctx: &mut Self::Context) -> Self::Result {
        self.stopping = true;
        if !self.in_flight {
            return Box::pin(std::future::ready(()));
        }
        let (sender, receiver) = oneshot::channel();
        self.settled.push(sender);
        Box::pin(async move {
            let _ = timeout(LONGEST_SETTLING, receiver).await;
        })
    }
}

/// Take the next batch at once.
struct WorkOff;

impl Message for WorkOff {
    type Result = ();
}

impl Actor for TokenRefresher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(PERIOD, Self::look);
    }
}

impl Handler<WorkOff> for TokenRefresher {
    type Result = ();

    fn handle(&mut self, _: WorkOff, ctx: &mut Self::Context) {
        self.work_off(ctx);
    }
}

impl Handler<Observe> for TokenRefresher {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _ctx: &mut Self::Context) -> Self::Result {
        let now = self.clock.now();
        let is_left_alone = |circuit: &Circuit| circuit.closed_until(now).is_some();
        let broken = self.circuits.values().filter(|circuit| is_left_alone(circuit)).count();
        let mut figures = vec![
            ("due", self.backlog.due.try_into().unwrap_or_default()),
            ("lag_millis", self.backlog.lag.try_into().unwrap_or_default()),
            ("refreshed", self.counts.refreshed),
            ("over", self.counts.over),
            ("failed", self.counts.failed.values().sum()),
            ("left_alone", self.counts.left_alone),
            ("providers_left_alone", u64::try_from(broken).unwrap_or_default()),
        ];
        for (provider, failed, left_alone) in PROVIDERS {
            figures.push((failed, self.counts.failed.get(provider).copied().unwrap_or_default()));
            figures.push((left_alone, u64::from(self.circuits.get(provider).is_some_and(is_left_alone))));
        }
        MessageResult(Snapshot { actor: "token_refresher", figures })
    }
}

impl Handler<Stop> for TokenRefresher {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_grow_and_stay_within_an_hour_and_a_quarter(id in any::<i64>(), failures in 0_i64..100) {
            let waited = wait(id, failures);
            let middle = FIRST_WAIT.saturating_mul(1 << failures.min(16)).min(LONGEST_WAIT);
            prop_assert!(waited >= middle * 3 / 4 && waited <= middle * 5 / 4, "{waited} around {middle}");
        }
    }
}
