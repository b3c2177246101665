//! A store over a database with as many login events as asked for.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use gatehouse_actors::clock::{Clock, Millis, TestClock};
use gatehouse_actors::data::authorization_codes::{NewAuthorizationCode, RedeemAuthorizationCode};
use gatehouse_actors::data::login_events::{SeenFrom, day_of};
use gatehouse_actors::data::login_proof::RebuildLoginCounts;
use gatehouse_actors::data::organizations::{SeedOrganization, SeedService};
use gatehouse_actors::data::sessions::NewSession;
use gatehouse_actors::data::sign_in::CompleteWebSignIn;
use gatehouse_actors::data::stripe_effects::BillingRules;
use gatehouse_actors::data::users::{Arrival, Profile};
use gatehouse_actors::device_code_batcher::{DeviceCodeMint, MintedDeviceCode};
use gatehouse_actors::engine::EngineSettings;
use gatehouse_actors::faults::NoFaults;
use gatehouse_actors::housekeeper::Housekeeping;
use gatehouse_actors::store::Store;
use gatehouse_actors::stripe_event_actor::{ReadsNothing, StripeSettings};
use gatehouse_actors::system::{ActorSystem, Ports};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::load::Latencies;

/// Half of all events are its.
pub(crate) const BUSY_ORGANIZATION: i64 = 2;
/// Its first service: the first migration made the row before it.
const SERVICE: i64 = 2;
const ORGANIZATIONS: i64 = 50;
const SERVICES: i64 = 5;
const RETENTION_DAYS: i64 = 90;
const DAY: Millis = 24 * 60 * 60 * 1000;
const REDIRECT_URI: &str = "https://app.example/callback";

struct NoDevices;

impl DeviceCodeMint for NoDevices {
    fn mint(&self) -> MintedDeviceCode {
        MintedDeviceCode {
            secret: [0; 32],
            secret_hash: [0; 32],
            user_code: String::new(),
            user_code_hash: [0; 16],
        }
    }
}

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) swept: AtomicBool,
    clock: Arc<TestClock>,
    next: Cell<u64>,
    system: ActorSystem,
    folder: TempDir,
}

impl World {
    pub(crate) async fn with_events(events: i64) -> Self {
        let folder = TempDir::new().unwrap();
        // 2026-01-01T12:00:00Z
        let clock = Arc::new(TestClock::at(1_767_268_800_000));
        let settings = EngineSettings { path: path(&folder), readers_per_lane: 2 };
        let ports = Ports {
            device_code_mint: Arc::new(NoDevices),
            stripe: StripeSettings {
                port: Arc::new(|| Box::new(ReadsNothing)),
                clock: clock.clone(),
                rules: BillingRules { past_due_grace: 0, livemode: None },
            },
            faults: Arc::new(NoFaults),
            housekeeping: Housekeeping { clock: clock.clone(), login_event_days: RETENTION_DAYS },
        };
        let system = ActorSystem::start(&settings, ports).unwrap();
        let swept = AtomicBool::new(false);
        let world = Self { store: system.store(), swept, clock, next: Cell::new(0), system, folder };
        for number in 0..ORGANIZATIONS {
            world.seed(number).await;
        }
        world.fill(events).await;
        world
    }

    async fn seed(&self, number: i64) {
        let slug = format!("org-{number}");
        let service = |service: i64| SeedService {
            public_id: self.public_id(),
            plan_public_id: self.public_id(),
            slug: format!("service-{service}"),
            name: format!("Service {service}"),
            service_type: "web",
            client_id: format!("{slug}-{service}"),
            redirect_uris: vec![REDIRECT_URI.to_owned()],
        };
        let seed = SeedOrganization {
            public_id: self.public_id(),
            name: slug.clone(),
            claim_email: None,
            services: (0..SERVICES).map(service).collect(),
            now: self.now(),
            slug: slug.clone(),
        };
        self.store.write(seed).await.unwrap();
    }

    /// Events of 90 days behind the actors' back, then the counts from them.
    async fn fill(&self, events: i64) {
        let begun = Instant::now();
        let connection = Connection::open(path(&self.folder)).unwrap();
        let first = self.now() - (RETENTION_DAYS - 1) * DAY;
        let step = (self.now() - first) / events;
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {events}) \
             INSERT INTO login_events (public_id, org_id, service_id, user_id, provider, method, succeeded, reason, \
             ip_address, user_agent, created_at) \
             SELECT printf('01900000-0000-7000-a000-%012d', i), org_id, \
             (SELECT MIN(s.id) FROM services s WHERE s.org_id = m.org_id) + i % {SERVICES}, \
             1000000 + org_id * 100000 + (i * 7919) % 20000, \
             CASE i % 3 WHEN 0 THEN 'github' WHEN 1 THEN 'google' ELSE 'microsoft' END, 'web', i % 20 <> 0, \
             CASE WHEN i % 20 = 0 THEN 'cancelled' END, '203.0.113.7', \
             'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', {first} + i * {step} \
             FROM (SELECT i, CASE WHEN i % 2 = 0 THEN {BUSY_ORGANIZATION} \
             ELSE {BUSY_ORGANIZATION} + (i * 31) % {ORGANIZATIONS} END AS org_id FROM n) m"
        );
        connection.execute_batch(&sql).unwrap();
        drop(connection);
        let filled = begun.elapsed();
        let begun = Instant::now();
        self.store.write(RebuildLoginCounts).await.unwrap();
        println!(
            "{events} events of {ORGANIZATIONS} organizations: inserted in {:.1} s, counted anew in {:.1} s",
            filled.as_secs_f64(),
            begun.elapsed().as_secs_f64()
        );
    }

    pub(crate) async fn stop(self) {
        self.system.stop().await;
        drop(self.folder);
    }

    pub(crate) fn now(&self) -> Millis {
        self.clock.now()
    }

    pub(crate) fn today(&self) -> i64 {
        day_of(self.now())
    }

    /// Moves the clock to where every event that was filled in is past its retention.
    pub(crate) fn outlive_retention(&self) {
        self.clock.advance((RETENTION_DAYS + 1) * DAY);
    }

    pub(crate) fn count(&self, table: &str) -> i64 {
        let connection = Connection::open(path(&self.folder)).unwrap();
        connection.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    /// One sign-in on the web, both writes measured.
    pub(crate) async fn sign_in(&self, person: usize, latencies: &Latencies) {
        let secret_hash = self.hash();
        let complete =
            CompleteWebSignIn { arrival: self.arrival(person), service_id: SERVICE, code: code(secret_hash) };
        let begun = Instant::now();
        let id = self.store.write(complete).await.unwrap();
        latencies.add(begun.elapsed());
        let redeem = RedeemAuthorizationCode {
            id,
            secret_hash,
            client_id: "org-0-0".to_owned(),
            redirect_uri: REDIRECT_URI.to_owned(),
            code_challenge: Some("challenge".to_owned()),
            client_authenticated: false,
            session: NewSession { public_id: self.public_id(), refresh_hash: self.hash() },
            now: self.now(),
        };
        let begun = Instant::now();
        self.store.write(redeem).await.unwrap();
        latencies.add(begun.elapsed());
    }

    fn arrival(&self, person: usize) -> Arrival {
        Arrival {
            org_id: BUSY_ORGANIZATION,
            profile: Profile {
                provider: "google".to_owned(),
                issuer: "https://accounts.google.com".to_owned(),
                subject: format!("subject-{person}"),
                email: Some(format!("person-{person}@example.com")),
                email_verified: true,
                name: Some("Somebody".to_owned()),
                avatar_url: None,
            },
            new_user_public_id: self.public_id(),
            bootstrap_owner_email: None,
            credential_version: None,
            claims: Vec::new(),
            now: self.now(),
        }
    }

    fn fresh(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    fn public_id(&self) -> String {
        format!("01900000-0000-7000-b000-{:012}", self.fresh())
    }

    fn hash(&self) -> [u8; 32] {
        let mut hash = [0x5a; 32];
        hash[..8].copy_from_slice(&self.fresh().to_be_bytes());
        hash
    }
}

fn code(secret_hash: [u8; 32]) -> NewAuthorizationCode {
    NewAuthorizationCode {
        secret_hash,
        redirect_uri: REDIRECT_URI.to_owned(),
        registered_uri: REDIRECT_URI.to_owned(),
        code_challenge: Some("challenge".to_owned()),
        scope: "openid email".to_owned(),
        nonce: None,
        seen_from: SeenFrom { ip_address: "203.0.113.7".to_owned(), user_agent: "Browser/1".to_owned() },
    }
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("gatehouse.db")
}
