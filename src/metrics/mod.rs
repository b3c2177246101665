//! What the service counts and measures, and `GET /metrics`, which shows it.
//!
//! ```text
//! counted while it happens    requests (routes, methods, classes of status), errors, sign-ins, grants -> this folder
//!                             commits, reads, checkpoints, refusals -> gatehouse_actors::meters
//! asked for by a scrape       actors::ROWS (what actors tell about themselves), process, the moment's gauges
//! ```
//! A label has few values, all known beforehand: never a tenant, never a client, nothing that a request brought along.

pub mod actors;
pub mod endpoint;
pub mod grants;
mod moment;
pub mod process;
pub mod requests;
pub mod sign_ins;
pub mod throttled;

use gatehouse_actors::store::Store;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, Error, Gauge, IntCounter, IntCounterVec, Opts, Registry, TextEncoder};

use self::grants::Grants;
use self::requests::Requests;
use self::sign_ins::SignIns;
use self::throttled::Throttled;
use crate::error::Code;
use crate::state::App;

/// The type of the text that [`text`] makes.
pub const TEXT_FORMAT: &str = prometheus::TEXT_FORMAT;

/// Everything that is counted while it happens.
pub struct Meters {
    /// Requests by route.
    pub requests: Requests,
    /// Sign-ins at providers.
    pub sign_ins: SignIns,
    /// Tokens asked for.
    pub grants: Grants,
    /// What limits refused.
    pub throttled: Throttled,
    errors: Vec<IntCounter>,
    registry: Registry,
}

impl Meters {
    /// All at zero, beside what the actors measure.
    pub fn new(store: &Store) -> Result<Self, Error> {
        let registry = Registry::new();
        for collector in store.meters().collectors() {
            registry.register(collector)?;
        }
        let requests = Requests::new()?;
        let (sign_ins, grants) = (SignIns::new()?, Grants::new()?);
        let throttled = Throttled::new()?;
        let help = "Answers that were errors, by their stable code; RATE_LIMITED and SLOW_DOWN are those that were throttled.";
        let errors = IntCounterVec::new(Opts::new("gatehouse_http_errors_total", help), &["code"])?;
        let each = Code::ALL.iter().map(|code| errors.with_label_values(&[code.row().0])).collect();
        register(&registry, &requests.collector())?;
        register(&registry, &sign_ins.collector())?;
        register(&registry, &grants.collector())?;
        register(&registry, &throttled.collector())?;
        register(&registry, &errors)?;
        register(&registry, &build_info()?)?;
        Ok(Self { requests, sign_ins, grants, throttled, errors: each, registry })
    }

    /// An error was answered.
    pub fn error(&self, code: Code) {
        if let Some(counter) = self.errors.get(code as usize) {
            counter.inc();
        }
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: &C) -> Result<(), Error> {
    registry.register(Box::new(collector.clone()))
}

fn build_info() -> Result<Gauge, Error> {
    let options = Opts::new("gatehouse_build_info", "Which version runs; the value says nothing.");
    let gauge = Gauge::with_opts(options.const_label("version", env!("CARGO_PKG_VERSION")))?;
    gauge.set(1.0);
    Ok(gauge)
}

/// Everything, in the text format of Prometheus.
pub async fn text(app: &App) -> Result<Vec<u8>, Error> {
    let mut families: Vec<MetricFamily> = app.meters.registry.gather();
    families.extend(moment::families(app));
    families.extend(actors::families(&app.store.observe().await));
    families.extend(process::families());
    let mut text = Vec::with_capacity(64 * 1024);
    TextEncoder::new().encode(&families, &mut text)?;
    Ok(text)
}
