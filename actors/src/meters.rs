//! What is measured while the actors work, where a snapshot would come too late: how long commits and reads take, how
//! large batches are, who found no place. What an actor knows of itself is in its [`crate::message::Snapshot`].

use prometheus::core::Collector;
use prometheus::{Error, Histogram, HistogramOpts, IntCounter, Opts};

/// From a read in memory to a disk that hangs.
const SECONDS: [f64; 13] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Up to the most operations that one transaction takes.
const OPERATIONS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Everything that is measured. Clones count together.
#[derive(Clone)]
pub struct Meters {
    pub(crate) writer: WriterMeters,
    pub(crate) fast: LaneMeters,
    pub(crate) report: LaneMeters,
    pub(crate) background: LaneMeters,
    pub(crate) writes_refused: IntCounter,
}

/// What the writer measures.
#[derive(Clone)]
pub(crate) struct WriterMeters {
    /// Operations per transaction.
    pub(crate) operations: Histogram,
    /// From BEGIN to the end of COMMIT.
    pub(crate) commit_seconds: Histogram,
    /// Transactions that could not be committed.
    pub(crate) failures: IntCounter,
    pub(crate) checkpoint_seconds: Histogram,
}

/// What a lane of readers measures.
#[derive(Clone)]
pub(crate) struct LaneMeters {
    /// One question, without the wait for a reader.
    pub(crate) seconds: Histogram,
    /// Questions that found no place in time.
    pub(crate) refused: IntCounter,
}

impl Meters {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self {
            writer: WriterMeters {
                operations: histogram(
                    HistogramOpts::new(
                        "gatehouse_commit_operations",
                        "Operations that share one transaction.",
                    ),
                    &OPERATIONS,
                )?,
                commit_seconds: histogram(
                    HistogramOpts::new(
                        "gatehouse_commit_seconds",
                        "One transaction, from BEGIN to the end of COMMIT.",
                    ),
                    &SECONDS,
                )?,
                failures: IntCounter::new(
                    "gatehouse_commit_failures_total",
                    "Transactions that could not be committed.",
                )?,
                checkpoint_seconds: histogram(
                    HistogramOpts::new(
                        "gatehouse_checkpoint_seconds",
                        "Moving the write-ahead log into the database file.",
                    ),
                    &SECONDS,
                )?,
            },
            fast: LaneMeters::new("fast")?,
            report: LaneMeters::new("report")?,
            background: LaneMeters::new("background")?,
            writes_refused: refusals("write")?,
        })
    }

    /// Everything, for the registry that shows it.
    #[must_use]
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        let Self { writer, fast, report, background, writes_refused } = self;
        let mut all: Vec<Box<dyn Collector>> = vec![
            Box::new(writer.operations.clone()),
            Box::new(writer.commit_seconds.clone()),
            Box::new(writer.failures.clone()),
            Box::new(writer.checkpoint_seconds.clone()),
            Box::new(writes_refused.clone()),
        ];
        for lane in [fast, report, background] {
            all.push(Box::new(lane.seconds.clone()));
            all.push(Box::new(lane.refused.clone()));
        }
        all
    }
}

impl LaneMeters {
    fn new(lane: &str) -> Result<Self, Error> {
        let seconds =
            HistogramOpts::new("gatehouse_read_seconds", "One question, without the wait for a reader.");
        Ok(Self {
            seconds: histogram(seconds.const_label("lane", lane), &SECONDS)?,
            refused: refusals(lane)?,
        })
    }
}

fn histogram(options: HistogramOpts, bounds: &[f64]) -> Result<Histogram, Error> {
    Histogram::with_opts(options.buckets(bounds.to_vec()))
}

fn refusals(lane: &str) -> Result<IntCounter, Error> {
    let help = "Reads and writes that found no place within the time for it, and were answered 503.";
    IntCounter::with_opts(Opts::new("gatehouse_refused_total", help).const_label("lane", lane))
}
