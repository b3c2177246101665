//! Works off the inbox of Stripe's events: in order per customer, each with exactly one effect.
//!
//! ```text
//! webhook -> inbox (stored, 200) -> Nudge ─┐  (nothing can follow from it: stored as ignored, and that is all)
//! every second (retries, after a restart) ─┴> drain: due events -> read the subscription from Stripe, when there is
//!                                             a key -> one write: effect and mark together
//! every six hours, or when asked ──────────> reconcile: every live subscription compared with Stripe
//! ```
//! Delivery is at least once and so is every attempt; the mark in the transaction of the effect makes it once.

mod drain;
mod port;
mod reconcile;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, ResponseFuture,
    WrapFuture,
};
use tokio::sync::{Mutex, RwLock};

pub use self::port::{
    ReadsNothing, StripeAccount, StripeFailure, StripePort, StripePortFactory, SubscriptionPage,
};
pub use self::reconcile::{ReconcileReport, Repair};
use crate::clock::{Clock, Millis};
use crate::commit_queue::{CommitQueue, Stop};
use crate::data::stripe_effects::BillingRules;
use crate::data::stripe_entitlements::EndLapsedTiers;
use crate::data::stripe_inbox::{Replay, ReplayStripeEvents, StripeInboxState};
use crate::error::{OpError, StoreError};
use crate::guard::{DeathBell, Vital};
use crate::message::{Observe, ReadOp, Snapshot, Write, WriteOp};
use crate::store::ReadLane;

/// How often it looks for events whose next attempt is due.
const TICK: Duration = Duration::from_secs(1);
/// How often tiers that lapsed are ended.
const LAPSE_TICK: Duration = Duration::from_mins(1);
/// How often subscriptions are compared with Stripe.
const RECONCILE_PERIOD: Duration = Duration::from_hours(6);

/// What the actor is started with.
#[derive(Clone)]
pub struct StripeSettings {
    /// Makes the way to Stripe's API, on the actor's own thread.
    pub port: StripePortFactory,
    /// Where "now" comes from.
    pub clock: Arc<dyn Clock>,
    /// What the installation decides.
    pub rules: BillingRules,
}

/// What the actor's work needs; shared by the tasks that it runs on its thread.
struct Worker {
    lane: ReadLane,
    queue: Addr<CommitQueue>,
    port: Box<dyn StripePort>,
    clock: Arc<dyn Clock>,
    rules: BillingRules,
    /// Drains share it; a comparison takes it alone for each subscription, so that no older reading is applied last.
    order: RwLock<()>,
    /// One drain at a time, whoever asked for it: of two readings of a subscription the later one is applied later.
    one_drain: Mutex<()>,
    stopping: Cell<bool>,
    figures: Figures,
}

#[derive(Default)]
struct Figures {
    applied: Cell<u64>,
    ignored: Cell<u64>,
    failed: Cell<u64>,
    dead: Cell<u64>,
    read_from_stripe: Cell<u64>,
    repaired: Cell<u64>,
}

fn add(figure: &Cell<u64>, count: u64) {
    figure.set(figure.get() + count);
}

impl Worker {
    fn now(&self) -> Millis {
        self.clock.now()
    }

    async fn read<Q: ReadOp>(&self, question: Q) -> Result<Q::Output, StoreError> {
        let permit = Arc::clone(&self.lane.permits).acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::Closed)?;
        self.lane.ask_admitted(question, permit).await
    }

    /// Not admitted like a request: there is one writer of this kind, and it waits for each answer.
    async fn write<C: WriteOp<Refused = ()>>(&self, change: C) -> Result<C::Output, StoreError> {
        match self.queue.send(Write { change, permit: None }).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(OpError::Store(error))) => Err(error),
            Ok(Err(OpError::Refused(()))) => Err(StoreError::Failed("refused".to_owned())),
            Err(_) => Err(StoreError::Closed),
        }
    }
}

/// What those who store events tell the actor.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// It was told of events that it has not begun to look for: then nobody has to tell it again.
    pub(crate) nudged: AtomicBool,
    /// Events that were stored as ignored.
    pub(crate) ignored: AtomicU64,
}

/// The async actor.
pub(crate) struct StripeEventActor {
    worker: Rc<Worker>,
    arrivals: Arc<Arrivals>,
    draining: bool,
    again: bool,
    reconciling: bool,
    _vital: Vital,
}

impl StripeEventActor {
    pub(crate) fn new(
        lane: ReadLane,
        queue: Addr<CommitQueue>,
        (settings, arrivals): (&StripeSettings, Arc<Arrivals>),
        bell: &DeathBell,
    ) -> Self {
        let worker = Worker {
            lane,
            queue,
            port: (settings.port)(),
            clock: Arc::clone(&settings.clock),
            rules: settings.rules,
            order: RwLock::new(()),
            one_drain: Mutex::new(()),
            stopping: Cell::new(false),
            figures: Figures::default(),
        };
        Self {
            worker: Rc::new(worker),
            arrivals,
            draining: false,
            again: false,
            reconciling: false,
            _vital: Vital::new("stripe event actor", bell),
        }
    }

    fn drain(&mut self, ctx: &mut Context<Self>) {
        if self.draining {
            self.again = true;
            return;
        }
        self.draining = true;
        // What is stored from here on may be missed by the look that begins.
        self.arrivals.nudged.store(false, Ordering::SeqCst);
        let worker = Rc::clone(&self.worker);
        let done = async move { worker.drain().await }.into_actor(self).map(|outcome, actor, ctx| {
            actor.draining = false;
            if let Err(error) = outcome {
                log::warn!(reason:% = error; "stripe events wait: storage does not answer");
                actor.again = false;
            }
            if std::mem::take(&mut actor.again) && !actor.worker.stopping.get() {
                actor.drain(ctx);
            }
        });
        ctx.spawn(done);
    }

    fn reconcile_by_itself(&mut self, ctx: &mut Context<Self>) {
        if self.reconciling {
            return;
        }
        self.reconciling = true;
        let worker = Rc::clone(&self.worker);
        let done = async move { worker.reconcile().await }.into_actor(self).map(|report, actor, _ctx| {
            actor.reconciling = false;
            report.log();
        });
        ctx.spawn(done);
    }

    fn end_lapsed_tiers(&mut self, ctx: &mut Context<Self>) {
        let worker = Rc::clone(&self.worker);
        let work = async move {
            if let Err(error) = worker.write(EndLapsedTiers { now: worker.now() }).await {
                log::warn!(reason:% = error; "lapsed tiers not ended");
            }
        };
        ctx.spawn(work.into_actor(self));
    }
}

impl Actor for StripeEventActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // What was waiting when the last process ended.
        self.drain(ctx);
        ctx.run_interval(TICK, Self::drain);
        ctx.run_interval(LAPSE_TICK, Self::end_lapsed_tiers);
        ctx.run_interval(RECONCILE_PERIOD, Self::reconcile_by_itself);
    }
}

/// An event was stored. One that is lost does no harm: the next tick finds the event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nudge;

impl Message for Nudge {
    type Result = ();
}

impl Handler<Nudge> for StripeEventActor {
    type Result = ();

    fn handle(&mut self, _: Nudge, ctx: &mut Self::Context) {
        self.drain(ctx);
    }
}

/// Compares every live subscription with Stripe and repairs what differs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reconcile;

impl Message for Reconcile {
    type Result = ReconcileReport;
}

impl Handler<Reconcile> for StripeEventActor {
    type Result = ResponseFuture<ReconcileReport>;

    fn handle(&mut self, _: Reconcile, _ctx: &mut Self::Context) -> Self::Result {
        let worker = Rc::clone(&self.worker);
        Box::pin(async move { worker.reconcile().await })
    }
}

/// Puts events back into their lines and works them off. Answers how many.
#[derive(Debug, Clone)]
pub(crate) struct Again(pub(crate) Replay);

impl Message for Again {
    type Result = Result<u64, StoreError>;
}

impl Handler<Again> for StripeEventActor {
    type Result = ResponseFuture<Result<u64, StoreError>>;

    fn handle(&mut self, Again(which): Again, _ctx: &mut Self::Context) -> Self::Result {
        let worker = Rc::clone(&self.worker);
        Box::pin(async move {
            let (mut after, mut count) = (0, 0);
            loop {
                let replay = ReplayStripeEvents { which: which.clone(), after, now: worker.now() };
                let replayed = worker.write(replay).await?;
                count += replayed.count;
                let Some(go_on_after) = replayed.go_on_after else { break };
                after = go_on_after;
            }
            worker.drain().await?;
            Ok(count)
        })
    }
}

impl Handler<Observe> for StripeEventActor {
    type Result = ResponseFuture<Snapshot>;

    fn handle(&mut self, _: Observe, _ctx: &mut Self::Context) -> Self::Result {
        let (worker, arrivals) = (Rc::clone(&self.worker), Arc::clone(&self.arrivals));
        Box::pin(async move {
            let inbox = worker.read(StripeInboxState).await.unwrap_or_default();
            let whole = |number: i64| u64::try_from(number).unwrap_or_default();
            let lag = inbox.oldest.map_or(0, |oldest| whole(worker.now() - oldest));
            let figures = &worker.figures;
            Snapshot {
                actor: "stripe_event_actor",
                figures: vec![
                    ("waiting", whole(inbox.waiting)),
                    ("lag_millis", lag),
                    ("dead", whole(inbox.dead)),
                    ("applied", figures.applied.get()),
                    ("ignored", figures.ignored.get() + arrivals.ignored.load(Ordering::Relaxed)),
                    ("failed_attempts", figures.failed.get()),
                    ("given_up", figures.dead.get()),
                    ("read_from_stripe", figures.read_from_stripe.get()),
                    ("repaired", figures.repaired.get()),
                ],
            }
        })
    }
}

impl Handler<Stop> for StripeEventActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        // What is not applied yet waits in the inbox for the next process.
        self.worker.stopping.set(true);
        ctx.stop();
    }
}
