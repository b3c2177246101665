//! Keeps provider tokens fresh ahead of time, so that who reads one waits for nobody.
//!
//! ```text
//! tick ──> lease due grants (write) ──> refresh each through the port, a few at a time ──> outcome
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
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::clock::{Clock, Millis};
use crate::commit_queue::Stop;
use crate::data::due_grants::{DueGrant, LeaseDueGrants, PostponeGrant};
use crate::guard::{DeathBell, Vital};
use crate::message::{Observe, Snapshot};
use crate::store::Store;

/// How often it looks, when there was not more to do than it could take.
const PERIOD: Duration = Duration::from_secs(5);
/// Grants taken at once: what is held in memory, however many are due.
const BATCH: i64 = 64;
/// Refreshes under way at once.
const AT_ONCE: usize = 8;
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

#[derive(Debug, Default)]
struct Counts {
    refreshed: u64,
    over: u64,
    failed: u64,
    left_alone: u64,
}

/// The async actor with the timer.
pub(crate) struct TokenRefresher {
    store: Store,
    clock: Arc<dyn Clock>,
    port: Rc<dyn RefreshPort>,
    circuits: HashMap<String, Circuit>,
    counts: Counts,
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
        let (circuits, counts) = (HashMap::new(), Counts::default());
        let (in_flight, stopping, settled) = (false, false, Vec::new());
        Self { store, clock, port, circuits, counts, in_flight, stopping, settled, _vital: vital }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.in_flight || self.stopping {
            return;
        }
        self.in_flight = true;
        let now = self.clock.now();
        let (store, port) = (self.store.clone(), Rc::clone(&self.port));
        let left_alone: HashMap<String, Millis> = self
            .circuits
            .iter()
            .filter(|(_, circuit)| circuit.closed_until > now)
            .map(|(provider, circuit)| (provider.clone(), circuit.closed_until))
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
                ctx.notify(Tick);
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
                    self.counts.failed += 1;
                    circuit.failures_in_row += 1;
                    if circuit.failures_in_row >= BREAKS_AFTER && circuit.closed_until <= now {
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
    stream::iter(leased)
        .map(|grant| {
            let (store, port) = (store.clone(), Rc::clone(&port));
            let wait_until = left_alone.get(&grant.provider).copied();
            async move { refresh_one(&store, &*port, grant, (now, until, wait_until)).await }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
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

/// Look again at once.
struct Tick;

impl Message for Tick {
    type Result = ();
}

impl Actor for TokenRefresher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(PERIOD, Self::tick);
    }
}

impl Handler<Tick> for TokenRefresher {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Self::Context) {
        self.tick(ctx);
    }
}

impl Handler<Observe> for TokenRefresher {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _ctx: &mut Self::Context) -> Self::Result {
        let now = self.clock.now();
        let broken = self.circuits.values().filter(|circuit| circuit.closed_until > now).count();
        MessageResult(Snapshot {
            actor: "token_refresher",
            figures: vec![
                ("refreshed", self.counts.refreshed),
                ("over", self.counts.over),
                ("failed", self.counts.failed),
                ("left_alone", self.counts.left_alone),
                ("providers_left_alone", u64::try_from(broken).unwrap_or_default()),
            ],
        })
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
