//! Every actor there is, in the order in which they start and stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Arbiter, SyncArbiter};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::backup::BackupPlan;
use crate::backup::keeper::BackupKeeper;
use crate::bulletin::Bulletin;
use crate::clock::Clock;
use crate::commit_queue::{Checkpoint, CommitQueue, Flush, Stop};
use crate::device_code_batcher::{DeviceCodeBatches, DeviceCodeMint};
use crate::engine::migrate::{InstanceLock, MigrateError, prepare};
use crate::engine::{Engine, EngineSettings};
use crate::error::StoreError;
use crate::faults::Faults;
use crate::guard::DeathBell;
use crate::housekeeper::{Housekeeper, Housekeeping};
use crate::line::Line;
use crate::memory::Memory;
use crate::meters::{LaneMeters, Meters};
use crate::outbox::{Connect, Drain, Outbox, PortFactory};
use crate::reader::{Desk, Questions, Reader, Serve};
use crate::resealer::{ColumnToReseal, Resealer};
use crate::store::{READ_PERMITS, ReadLane, Store, WRITE_PERMITS};
use crate::stripe_event_actor::{Arrivals, StripeEventActor, StripeSettings};
use crate::token_refresher::{RefreshPortFactory, Settle, TokenRefresher};
use crate::wal_checkpointer::WalCheckpointer;
use crate::writer::{Work, Writer};
use crate::writer_state::WriterState;

/// How long a stop waits for what is being delivered.
const LONGEST_DELIVERY_AT_STOP: Duration = Duration::from_secs(3);

/// What the actors need from outside.
pub struct Ports {
    /// Draws device codes.
    pub device_code_mint: Arc<dyn DeviceCodeMint>,
    /// The way to Stripe, and what is decided about billing.
    pub stripe: StripeSettings,
    /// Planned failures; [`crate::faults::NoFaults`] in the service.
    pub faults: Arc<dyn Faults>,
    /// What is swept out, and when.
    pub housekeeping: Housekeeping,
}

/// Why the actors could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The database could not be made ready.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// A connection could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something could not be measured.
    #[error("cannot count: {0}")]
    Meters(#[from] prometheus::Error),
}

/// The running actors. Must be started inside an actix `System`.
pub struct ActorSystem {
    store: Store,
    arbiters: Vec<Arbiter>,
    bell: DeathBell,
    _lock: InstanceLock,
}

impl ActorSystem {
    /// Migrates, opens the connections and starts every actor.
    pub fn start(settings: &EngineSettings, ports: Ports) -> Result<Self, StartError> {
        let lock = prepare(&settings.path)?;
        let bell = DeathBell::default();
        let engine = Engine::new(&settings.path);
        let meters = Meters::new()?;
        let fast = start_lane(&engine, settings.readers_per_lane, &meters.fast)?;
        let report = start_lane(&engine, 1, &meters.report)?;
        // A reader of its own: no report delays what Stripe says, and no backlog of it delays a report.
        let background = start_lane(&engine, 1, &meters.background)?;
        let writer_state = Arc::new(WriterState::default());
        let bulletin = Bulletin::default();
        let memory = Arc::new(Memory::default());
        let told = (&writer_state, &bulletin, &meters, &*memory);
        let line = Arc::<Line>::default();
        start_writer((&engine, &line), ports.faults, &bell, told)?;
        // Timers, deliveries and Stripe live on arbiters of their own: none waits for another, nor for who runs the System.
        let arbiters = vec![Arbiter::new(), Arbiter::new(), Arbiter::new(), Arbiter::new()];
        let [queue_arbiter, timer_arbiter, delivery_arbiter, stripe_arbiter] = arbiters.as_slice() else {
            return Err(StoreError::Closed.into());
        };
        let queue = {
            let (line, bell) = (Arc::clone(&line), bell.clone());
            CommitQueue::start_in_arbiter(&queue_arbiter.handle(), move |_| CommitQueue::new(line, &bell))
        };
        let device_codes = DeviceCodeBatches::new(Arc::clone(&line), ports.device_code_mint, &bell);
        let checkpointer = {
            let (queue, bell) = (queue.clone(), bell.clone());
            WalCheckpointer::start_in_arbiter(&timer_arbiter.handle(), move |_| {
                WalCheckpointer::new(engine, queue, &bell)
            })
        };
        let housekeeper = {
            let (queue, report, bell) = (queue.clone(), report.clone(), bell.clone());
            Housekeeper::start_in_arbiter(&timer_arbiter.handle(), move |_| {
                Housekeeper::new(queue, report, ports.housekeeping, &bell)
            })
        };
        let stripe_arrivals = Arc::<Arrivals>::default();
        let stripe = {
            let (lane, queue, bell, settings) = (background, queue.clone(), bell.clone(), ports.stripe);
            let arrivals = Arc::clone(&stripe_arrivals);
            StripeEventActor::start_in_arbiter(&stripe_arbiter.handle(), move |_| {
                StripeEventActor::new(lane, queue, (&settings, arrivals), &bell)
            })
        };
        let outbox = {
            let (lane, queue, bulletin, bell) = (fast.clone(), queue.clone(), bulletin.clone(), bell.clone());
            Outbox::start_in_arbiter(&delivery_arbiter.handle(), move |_| {
                Outbox::new(lane, queue, bulletin, &bell)
            })
        };
        let write_permits = Arc::new(Semaphore::new(WRITE_PERMITS));
        let bell_of_store = bell.clone();
        let store = Store {
            fast,
            report,
            queue,
            line,
            write_permits,
            device_codes,
            checkpointer,
            housekeeper,
            refresher: Arc::default(),
            backup_keeper: Arc::default(),
            resealer: Arc::default(),
            stripe,
            stripe_arrivals,
            outbox,
            bulletin,
            bell: bell_of_store,
            writer_state,
            memory,
            meters,
        };
        Ok(Self { store, arbiters, bell, _lock: lock })
    }

    /// The store to hand to handlers.
    #[must_use]
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// Lets provider tokens be refreshed ahead of time. Separate from the start, because what refreshes needs the store.
    pub fn refresh_through(&mut self, factory: RefreshPortFactory, clock: Arc<dyn Clock>) {
        let arbiter = Arbiter::new();
        let (store, bell) = (self.store.clone(), self.bell.clone());
        let refresher = TokenRefresher::start_in_arbiter(&arbiter.handle(), move |_| {
            TokenRefresher::new(store, clock, factory(), &bell)
        });
        self.arbiters.push(arbiter);
        // A second one would refresh what the first one does: the one that is there stays.
        let _ = self.store.refresher.set(refresher);
    }

    /// Lets backups be made of the database at `database`, as the plan says.
    pub fn back_up(&mut self, database: PathBuf, plan: BackupPlan) {
        let arbiter = Arbiter::new();
        let bell = self.bell.clone();
        let keeper = BackupKeeper::start_in_arbiter(&arbiter.handle(), move |_| {
            BackupKeeper::new(database, plan, &bell)
        });
        self.arbiters.push(arbiter);
        let _ = self.store.backup_keeper.set(keeper); // as with the refresher
    }

    /// Has everything sealed anew that is not sealed with the present keys. Separate from the start, because a command
    /// that works on the database does so by itself.
    pub fn reseal(&mut self, columns: Vec<ColumnToReseal>) {
        let arbiter = Arbiter::new();
        let (report, queue, bell) = (self.store.report.clone(), self.store.queue.clone(), self.bell.clone());
        let resealer = Resealer::start_in_arbiter(&arbiter.handle(), move |_| {
            Resealer::new(report, queue, columns, &bell)
        });
        self.arbiters.push(arbiter);
        // A second one would do what the first one does: the one that is there stays.
        let _ = self.store.resealer.set(resealer);
    }

    /// Lets the outbox deliver. Separate from the start, because what delivers needs the store.
    pub async fn deliver_through(&self, factory: PortFactory, clock: Arc<dyn Clock>) {
        // An outbox that is not there any more has rung the death bell.
        let _ = self.store.outbox.send(Connect { factory, clock }).await;
    }

    /// Rings when a vital actor dies.
    #[must_use]
    pub fn death_bell(&self) -> DeathBell {
        self.bell.clone()
    }

    /// Stops in order, once no request is left: Stripe's events, tokens, outbox, housekeeper, queue, log, addresses.
    /// Each step is logged.
    pub async fn stop(self) {
        let Store { queue, checkpointer, housekeeper, outbox, stripe, refresher, resealer, .. } = &self.store;
        let _ = stripe.send(Stop).await;
        log::info!(step = "stripe events stopped"; "stopping");
        if let Some(refresher) = refresher.get() {
            let _ = refresher.send(Settle).await;
            let _ = refresher.send(Stop).await;
            log::info!(step = "tokens settled"; "stopping");
        }
        // What does not end in time is cut, and is delivered again after the next start.
        let settled = timeout(LONGEST_DELIVERY_AT_STOP, outbox.send(Drain)).await.is_ok();
        let _ = outbox.send(Stop).await;
        log::info!(step = "deliveries settled", all = settled; "stopping");
        if let Some(keeper) = self.store.backup_keeper.get() {
            let _ = keeper.send(Stop).await;
        }
        let _ = housekeeper.send(Stop).await;
        if let Some(resealer) = resealer.get() {
            let _ = resealer.send(Stop).await;
        }
        let _ = queue.send(Flush).await;
        log::info!(step = "writes flushed"; "stopping");
        match queue.send(Checkpoint).await {
            Ok(Ok(emptied)) => log::info!(step = "log checkpointed", emptied = emptied; "stopping"),
            outcome => log::warn!(step = "log checkpoint", outcome:? = outcome; "stopping"),
        }
        let _ = checkpointer.send(Stop).await;
        let _ = queue.send(Stop).await;
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        log::info!(step = "actors stopped"; "stopping");
    }
}

fn start_lane(engine: &Engine, readers: u32, meters: &LaneMeters) -> Result<ReadLane, StoreError> {
    let pool = engine.readers(readers)?;
    let threads = readers as usize;
    let seconds = meters.seconds.clone();
    let questions = Arc::new(Questions::for_readers(threads));
    let list = Arc::clone(&questions);
    let readers = SyncArbiter::start(threads, move || Reader {
        questions: Arc::clone(&list),
        pool: pool.clone(),
        connection: None,
        seconds: seconds.clone(),
    });
    // Each stays at the list, so each gets one.
    for _ in 0..threads {
        readers.try_send(Serve).map_err(|_| StoreError::Closed)?;
    }
    Ok(ReadLane {
        desk: Arc::new(Desk(questions)),
        permits: Arc::new(Semaphore::new(READ_PERMITS)),
        meters: meters.clone(),
    })
}

fn start_writer(
    (engine, line): (&Engine, &Arc<Line>),
    faults: Arc<dyn Faults>,
    bell: &DeathBell,
    (state, bulletin, meters, memory): (&Arc<WriterState>, &Bulletin, &Meters, &Memory),
) -> Result<(), StoreError> {
    // Opened once here so that a database that cannot be written to is found at start, not at the first write.
    drop(engine.writer()?);
    let (engine, line, bell, state) = (engine.clone(), Arc::clone(line), bell.clone(), Arc::clone(state));
    let (bulletin, meters, freshness) =
        (bulletin.clone(), meters.writer.clone(), Arc::clone(&memory.freshness));
    let writer = SyncArbiter::start(1, move || Writer {
        line: Arc::clone(&line),
        engine: engine.clone(),
        connection: None,
        faults: Arc::clone(&faults),
        bell: bell.clone(),
        state: Arc::clone(&state),
        bulletin: bulletin.clone(),
        freshness: Arc::clone(&freshness),
        meters: meters.clone(),
    });
    writer.try_send(Work).map_err(|_| StoreError::Closed)
}
