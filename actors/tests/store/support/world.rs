//! A running store over a database file of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatehouse_actors::clock::{Clock, Millis, TestClock};
use gatehouse_actors::data::stripe_effects::BillingRules;
use gatehouse_actors::engine::EngineSettings;
use gatehouse_actors::error::OpError;
use gatehouse_actors::housekeeper::Housekeeping;
use gatehouse_actors::message::WriteOp;
use gatehouse_actors::outbox::DeliveryPort;
use gatehouse_actors::store::Store;
use gatehouse_actors::stripe_event_actor::{ReadsNothing, StripePortFactory, StripeSettings};
use gatehouse_actors::system::{ActorSystem, Ports, StartError};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::time::timeout;

use super::{Mint, Plan, Receivers};

/// 2026-01-01T00:00:00Z. Nothing depends on it but the looks of a failure message.
const BEGINNING: Millis = 1_767_225_600_000;

/// Long enough for a loaded machine; only a failing test ever waits so long.
const DEADLINE: Duration = Duration::from_secs(10);

/// Writes on a task of its own, which begins whether or not anybody awaits it.
pub(crate) fn spawn_write<C: WriteOp>(store: &Store, op: C) -> impl Future<Output = WriteAnswer<C>> + use<C> {
    let store = store.clone();
    let task = actix::spawn(async move { store.write(op).await });
    async move { task.await.unwrap() }
}

type WriteAnswer<C> = Result<<C as WriteOp>::Output, OpError<<C as WriteOp>::Refused>>;

/// A subscription that is past due grants for a week.
pub(crate) const GRACE: Millis = 7 * 24 * 60 * 60 * 1000;

/// Starts the actors over the file at `path`.
pub(crate) fn start(path: PathBuf, plan: &Arc<Plan>) -> Result<ActorSystem, StartError> {
    // No key: events are taken at their word.
    let ports = (plan, &Arc::<Mint>::default());
    start_with(path, ports, Arc::new(TestClock::at(BEGINNING)), Arc::new(|| Box::new(ReadsNothing)))
}

fn start_with(
    path: PathBuf,
    (plan, mint): (&Arc<Plan>, &Arc<Mint>),
    clock: Arc<TestClock>,
    port: StripePortFactory,
) -> Result<ActorSystem, StartError> {
    let housekeeping = Housekeeping { clock: clock.clone(), login_event_days: 90, stripe_event_days: 30 };
    let rules = BillingRules { past_due_grace: GRACE, livemode: None };
    let stripe = StripeSettings { port, clock, rules };
    let ports = Ports { device_code_mint: mint.clone(), stripe, faults: plan.clone(), housekeeping };
    ActorSystem::start(&EngineSettings { path, readers_per_lane: 2 }, ports)
}

/// A store, its database, and the strings to pull.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) plan: Arc<Plan>,
    pub(crate) mint: Arc<Mint>,
    pub(crate) clock: Arc<TestClock>,
    system: ActorSystem,
    folder: TempDir,
}

impl World {
    /// A fresh database in a folder that goes away with the world.
    pub(crate) fn new() -> Self {
        Self::with_stripe(Arc::new(|| Box::new(ReadsNothing)))
    }

    /// The same, with a way to Stripe.
    pub(crate) fn with_stripe(port: StripePortFactory) -> Self {
        Self::over(TempDir::new().unwrap(), Arc::new(TestClock::at(BEGINNING)), port)
    }

    /// The actors over the database in `folder`, which may be there already.
    pub(crate) fn over(folder: TempDir, clock: Arc<TestClock>, port: StripePortFactory) -> Self {
        let (plan, mint) = (Arc::<Plan>::default(), Arc::<Mint>::default());
        let path = folder.path().join("gatehouse.db");
        let system = start_with(path, (&plan, &mint), clock.clone(), port).unwrap();
        Self { store: system.store(), plan, mint, clock, system, folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("gatehouse.db")
    }

    pub(crate) fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Lets the outbox deliver to `receivers`.
    pub(crate) async fn deliver_to(&self, receivers: &Receivers) {
        self.system.deliver_through(receivers.port(), self.clock.clone()).await;
    }

    /// Makes the outbox panic.
    pub(crate) async fn kill_outbox(&self) {
        let factory = Box::new(|| -> Rc<dyn DeliveryPort> { resume_unwind(Box::new("planned")) });
        self.system.deliver_through(factory, self.clock.clone()).await;
    }

    /// The name that the death bell tells.
    pub(crate) async fn dead_actor(&self) -> &'static str {
        let bell = self.system.death_bell();
        timeout(DEADLINE, bell.rung()).await.expect("the death bell never rang")
    }

    /// Stops the actors; the folder lives as long as what is returned.
    pub(crate) async fn stop(self) -> TempDir {
        self.system.stop().await;
        self.folder
    }

    /// Takes the world apart, for a test that stops the actors by itself.
    pub(crate) fn into_parts(self) -> (Store, ActorSystem, TempDir) {
        (self.store, self.system, self.folder)
    }

    /// A connection beside the actors, to look at the database and to make states that no operation makes.
    pub(crate) fn sql(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.busy_timeout(DEADLINE).unwrap();
        connection
    }

    /// Changes the database behind the actors' back.
    pub(crate) fn execute(&self, sql: &str) {
        self.sql().execute_batch(sql).unwrap();
    }

    /// The one number that `sql` selects.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        self.sql().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// The one text that `sql` selects, if it is not null.
    pub(crate) fn text(&self, sql: &str) -> Option<String> {
        self.sql().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// All settings: the table that the misbehaving operations write to.
    pub(crate) fn settings(&self) -> BTreeMap<String, String> {
        let connection = self.sql();
        let mut statement = connection.prepare("SELECT name, value FROM settings").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// A figure of an actor's snapshot.
    pub(crate) async fn figure(&self, actor: &str, name: &str) -> u64 {
        let snapshots = self.store.observe().await;
        snapshots.iter().find(|snapshot| snapshot.actor == actor).map_or(0, |snapshot| snapshot.figure(name))
    }

    /// Waits until an actor's figure is `value`.
    pub(crate) async fn until(&self, actor: &str, name: &str, value: u64) {
        let begun = Instant::now();
        loop {
            let found = self.figure(actor, name).await;
            if found == value {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "{actor}.{name} is {found}, not {value}");
        }
    }
}
