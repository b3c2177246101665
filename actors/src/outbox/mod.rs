//! Delivers what is in the outbox, at least once.
//!
//! ```text
//! an operation enqueues -> COMMIT -> news -> lease targets that are due -> work them off -> settle -> look again
//!                                    timer (for what is to be tried again) ^
//! ```
//!
//! A target is in one hand at a time, and a number of targets is worked on at once, so that one that hangs holds up
//! nobody but itself. What a delivery says and how it travels is the port's: this actor knows neither. A crash loses
//! nothing: what was leased is due again, so a receiver may see a delivery twice, under the same id.

mod port;
mod schedule;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, ResponseFuture,
    StreamHandler, WrapFuture,
};
use futures_util::future::join_all;
use futures_util::stream::unfold;
use tokio::sync::oneshot;

pub use self::port::{DeliveryPort, Outcome, PortFactory};
use crate::bulletin::Bulletin;
use crate::clock::Clock;
use crate::commit_queue::{CommitQueue, Stop};
use crate::data::ended_sessions::{AnySessionEnded, TellOfEndedSessions};
use crate::data::events::PurgeEvents;
use crate::data::outbox::{
    AnythingDue, Delivery, FAILURES_BEFORE_REST, LeaseTargets, LeasedTarget, LookIntoOutbox, PurgeDeliveries,
    ReleaseLeases, SettleTarget, Settled, Verdict,
};
use crate::guard::{DeathBell, Vital};
use crate::message::{Observe, Snapshot, Write, WriteOp};
use crate::store::ReadLane;

/// How often to look for what is to be tried again. What is new is told by the bulletin.
const PERIOD: Duration = Duration::from_secs(1);
/// How often to remove deliveries that finished and events that happened long ago.
const CLEAN_UP_PERIOD: Duration = Duration::from_mins(1);
/// Targets that are worked on at once.
const HANDS: usize = 16;

/// The async actor with the timer.
pub(crate) struct Outbox {
    lane: ReadLane,
    queue: Addr<CommitQueue>,
    bulletin: Bulletin,
    connected: Option<(Rc<dyn DeliveryPort>, Arc<dyn Clock>)>,
    telling: bool,
    looking: Looking,
    draining: bool,
    busy: usize,
    idle: Vec<oneshot::Sender<()>>,
    events_purged_to: i64,
    figures: Figures,
    _vital: Vital,
}

/// Whether a lease is under way, and whether something came in the meantime that it may have missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looking {
    Not,
    Once,
    AndAgain,
}

#[derive(Default)]
struct Figures {
    attempts: u64,
    delivered: u64,
    failed: u64,
    dead: u64,
    purges: u64,
}

impl Outbox {
    pub(crate) fn new(
        lane: ReadLane,
        queue: Addr<CommitQueue>,
        bulletin: Bulletin,
        bell: &DeathBell,
    ) -> Self {
        Self {
            lane,
            queue,
            bulletin,
            connected: None,
            telling: false,
            looking: Looking::Not,
            draining: false,
            busy: 0,
            idle: Vec::new(),
            events_purged_to: 0,
            figures: Figures::default(),
            _vital: Vital::new("outbox", bell),
        }
    }

    /// Asks first and writes only when there is something to do.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.tell_of_sessions(ctx);
        let Some((_, clock)) = &self.connected else { return };
        if self.looking != Looking::Not || self.draining || self.busy == HANDS {
            return;
        }
        let answer = self.lane.ask(AnythingDue { now: clock.now() });
        ctx.spawn(answer.into_actor(self).map(|answer, actor, ctx| match answer {
            Ok(true) => actor.look(ctx),
            Ok(false) => {}
            Err(error) => log::warn!(reason:% = error; "cannot look into the outbox"),
        }));
    }

    /// Sees to it that sessions that ended are told of, step by step.
    fn tell_of_sessions(&mut self, ctx: &mut Context<Self>) {
        let Some((_, clock)) = &self.connected else { return };
        if self.telling || self.draining {
            return;
        }
        self.telling = true;
        let (any, lane) = (AnySessionEnded, self.lane.clone());
        let tell = self.write(TellOfEndedSessions { now: clock.now() });
        // Asks first: nothing is written while no session ended.
        let step = async move { if lane.ask(any).await == Ok(true) { tell.await } else { Some(false) } };
        ctx.spawn(step.into_actor(self).map(|more, actor, ctx| {
            actor.telling = false;
            if more == Some(true) {
                actor.tell_of_sessions(ctx);
            }
        }));
    }

    /// Leases what is due, as far as there are hands.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let Some((_, clock)) = &self.connected else { return };
        if self.draining || self.busy == HANDS {
            return;
        }
        if self.looking != Looking::Not {
            self.looking = Looking::AndAgain;
            return;
        }
        self.looking = Looking::Once;
        let limit = i64::try_from(HANDS - self.busy).unwrap_or(1);
        let lease = self.write(LeaseTargets { limit, now: clock.now() });
        ctx.spawn(lease.into_actor(self).map(|leased, actor, ctx| {
            let looked = std::mem::replace(&mut actor.looking, Looking::Not);
            for target in leased.unwrap_or_default() {
                actor.take(target, ctx);
            }
            if looked == Looking::AndAgain {
                actor.look(ctx);
            }
        }));
    }

    /// Works a target off and gives it back.
    fn take(&mut self, target: LeasedTarget, ctx: &mut Context<Self>) {
        let Some((port, clock)) = self.connected.clone() else { return };
        self.busy += 1;
        let work = work_off(port, clock, target);
        ctx.spawn(work.into_actor(self).map(|settlement, actor, ctx| {
            actor.count(&settlement);
            let settled = actor.write(settlement);
            ctx.spawn(settled.into_actor(actor).map(|_, actor, ctx| {
                // Should it have failed, the lease runs out, and the deliveries come again.
                actor.busy -= 1;
                if actor.busy == 0 {
                    for idle in actor.idle.drain(..) {
                        let _ = idle.send(());
                    }
                }
                actor.look(ctx);
            }));
        }));
    }

    fn count(&mut self, settlement: &SettleTarget) {
        for settled in &settlement.settled {
            let figures = &mut self.figures;
            figures.attempts += u64::from(settled.verdict != Verdict::Expired);
            match settled.verdict {
                Verdict::Delivered { .. } => figures.delivered += 1,
                Verdict::Again { .. } => figures.failed += 1,
                Verdict::Dead { .. } | Verdict::Expired => figures.dead += 1,
            }
        }
    }

    fn clean_up(&mut self, ctx: &mut Context<Self>) {
        let Some((_, clock)) = &self.connected else { return };
        if self.draining {
            return;
        }
        let now = clock.now();
        let deliveries = self.write(PurgeDeliveries { now });
        let events = self.write(PurgeEvents { after_org_id: self.events_purged_to, now });
        let both = async { (deliveries.await, events.await) };
        ctx.spawn(both.into_actor(self).map(|(more, purged_to), actor, ctx| {
            actor.figures.purges += 1;
            // After the last organization it begins with the first one again, at the next period.
            let more_events = purged_to.flatten();
            actor.events_purged_to = more_events.unwrap_or(0);
            if more == Some(true) || more_events.is_some() {
                actor.clean_up(ctx);
            }
        }));
    }

    /// Writes without admission: there is one of these in flight per hand, not per request.
    fn write<C: WriteOp>(&self, change: C) -> impl Future<Output = Option<C::Output>> + use<C> {
        let queue = self.queue.clone();
        async move {
            match queue.send(Write { change, permit: None }).await {
                Ok(Ok(output)) => Some(output),
                Ok(Err(crate::error::OpError::Store(error))) => {
                    log::warn!(reason:% = error; "cannot write to the outbox");
                    None
                }
                Ok(Err(crate::error::OpError::Refused(_))) => {
                    log::warn!("a lease ended before its deliveries were settled");
                    None
                }
                Err(error) => {
                    log::debug!(reason:% = error; "commit queue is closed");
                    None
                }
            }
        }
    }
}

/// Tries the deliveries of a target: in order one after the other, else all at once. Stops at a target that is down.
async fn work_off(port: Rc<dyn DeliveryPort>, clock: Arc<dyn Clock>, target: LeasedTarget) -> SettleTarget {
    let LeasedTarget { kind, target_id, failures, leased_until, deliveries } = target;
    let mut settlement = SettleTarget {
        kind,
        target_id,
        leased_until,
        settled: Vec::with_capacity(deliveries.len()),
        failures,
        rest_until: None,
        gone: None,
        entry_public_id: port.uuid(clock.now()),
        now: 0,
    };
    let (expired, mut waiting): (Vec<_>, Vec<_>) =
        deliveries.into_iter().partition(|delivery| delivery.expires_at <= clock.now());
    for Delivery { id, .. } in expired {
        settlement.settled.push(Settled { id, at: clock.now(), verdict: Verdict::Expired });
    }
    while !waiting.is_empty() && settlement.gone.is_none() && settlement.rest_until.is_none() {
        // One that rested is asked with one delivery whether it is back.
        let one_by_one = kind.policy().in_order || settlement.failures >= FAILURES_BEFORE_REST;
        let rest = waiting.split_off(if one_by_one { 1 } else { waiting.len() });
        let batch = std::mem::replace(&mut waiting, rest);
        let outcomes = join_all(batch.iter().map(|delivery| port.deliver(delivery.clone()))).await;
        for (delivery, outcome) in batch.iter().zip(outcomes) {
            note(&mut settlement, delivery, outcome, (clock.now(), port.draw()));
        }
        settlement.rest_until = schedule::rest(settlement.failures, clock.now(), port.draw());
    }
    settlement.now = clock.now();
    settlement
}

fn note(settlement: &mut SettleTarget, delivery: &Delivery, outcome: Outcome, (at, draw): (i64, u32)) {
    let verdict = schedule::judge(delivery, &outcome, at, draw);
    if let Verdict::Again { reason, .. } | Verdict::Dead { reason, .. } = &verdict {
        let (kind, attempt) = (delivery.kind.as_str(), delivery.attempts + 1);
        log::info!(kind, delivery = delivery.id, attempt, reason = reason.as_str(); "not delivered");
    }
    match outcome {
        // Whoever says no is there.
        Outcome::Delivered { .. } | Outcome::Refused { .. } => settlement.failures = 0,
        Outcome::Failed { .. } => settlement.failures += 1,
        Outcome::Gone { reason } => {
            settlement.failures = 0;
            settlement.gone = Some(reason);
        }
    }
    settlement.settled.push(Settled { id: delivery.id, at, verdict });
}

impl Actor for Outbox {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(PERIOD, Self::tick);
        ctx.run_interval(CLEAN_UP_PERIOD, Self::clean_up);
        ctx.add_stream(unfold(self.bulletin.outbox(), |mut news| async {
            news.changed().await.ok()?;
            Some((News, news))
        }));
    }
}

/// Something was put into the outbox.
struct News;

impl StreamHandler<News> for Outbox {
    fn handle(&mut self, _: News, ctx: &mut Self::Context) {
        self.tell_of_sessions(ctx);
        self.look(ctx);
    }

    /// The writer is gone, and with it the process soon; what is in hand is still settled.
    fn finished(&mut self, _ctx: &mut Self::Context) {}
}

/// Gives the outbox its port. Before, nothing is delivered.
pub(crate) struct Connect {
    pub(crate) factory: PortFactory,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Message for Connect {
    type Result = ();
}

impl Handler<Connect> for Outbox {
    type Result = ();

    fn handle(&mut self, Connect { factory, clock }: Connect, ctx: &mut Self::Context) {
        let release = self.write(ReleaseLeases { now: clock.now() });
        self.connected = Some((factory(), clock));
        self.looking = Looking::Once;
        ctx.spawn(release.into_actor(self).map(|_, actor, ctx| {
            actor.looking = Looking::Not;
            actor.look(ctx);
        }));
    }
}

/// Takes nothing more into its hands, and answers once they are empty.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drain;

impl Message for Drain {
    type Result = ();
}

impl Handler<Drain> for Outbox {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _ctx: &mut Self::Context) -> Self::Result {
        self.draining = true;
        let (reply, answer) = oneshot::channel();
        if self.busy == 0 {
            let _ = reply.send(());
        } else {
            self.idle.push(reply);
        }
        Box::pin(async move {
            let _ = answer.await;
        })
    }
}

impl Handler<Observe> for Outbox {
    type Result = ResponseFuture<Snapshot>;

    fn handle(&mut self, _: Observe, _ctx: &mut Self::Context) -> Self::Result {
        let Figures { attempts, delivered, failed, dead, purges } = self.figures;
        let mut figures = vec![
            ("busy", self.busy as u64),
            ("attempts", attempts),
            ("delivered", delivered),
            ("failed", failed),
            ("dead", dead),
            ("purges", purges),
        ];
        let look = self.connected.as_ref().map(|(_, clock)| {
            let now = clock.now();
            (self.lane.ask(LookIntoOutbox { now }), now)
        });
        Box::pin(async move {
            if let Some((look, now)) = look
                && let Ok(state) = look.await
            {
                let whole = |number: i64| u64::try_from(number).unwrap_or_default();
                figures.push(("waiting", whole(state.waiting)));
                figures.push(("lag_millis", state.due_since.map_or(0, |since| whole(now - since))));
            }
            Snapshot { actor: "outbox", figures }
        })
    }
}

impl Handler<Stop> for Outbox {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
