//! Seals stored ciphertext anew after a key changed, beside everything else, so that the old key can be taken away.
//!
//! ```text
//! start ──> a page of a column (report lane) ──> which are sealed with an old key? ──> seal ──> replace (back door)
//! ```
//! It walks each column by its primary key and writes only what is old, through the queue's back door and with a rest
//! after each piece. It keeps no place: what is done already is only looked at after a restart. A ciphertext that
//! changed in between is left alone: whoever changed it sealed it with the present key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, MessageResult, WrapFuture,
};
use tokio::time::sleep;

use crate::commit_queue::{Background, CommitQueue, Stop};
use crate::data::sealed_columns::{Reseal, ResealCounts, ResealPage, SealedColumn, SealedPage};
use crate::error::{OpError, StoreError};
use crate::guard::{DeathBell, Vital};
use crate::message::{Observe, Snapshot};
use crate::store::ReadLane;

/// Rows that one piece looks at.
const PIECE: i64 = 100;
/// Bounds of the rest after a piece that was written.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// After a failure of the database it goes on where it was.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// A column, and what becomes of its ciphertexts.
pub type ColumnToReseal = (&'static SealedColumn, Reseal);

/// The async actor. It has one job and is idle afterwards.
pub(crate) struct Resealer {
    desk: Desk,
    _vital: Vital,
}

#[derive(Clone)]
struct Desk {
    report: ReadLane,
    queue: Addr<CommitQueue>,
    columns: Arc<[ColumnToReseal]>,
    figures: Arc<Figures>,
}

#[derive(Default)]
struct Figures {
    columns_left: AtomicU64,
    current: AtomicU64,
    resealed: AtomicU64,
    unreadable: AtomicU64,
    failures: AtomicU64,
}

impl Resealer {
    pub(crate) fn new(
        report: ReadLane,
        queue: Addr<CommitQueue>,
        columns: Vec<ColumnToReseal>,
        bell: &DeathBell,
    ) -> Self {
        let figures = Figures { columns_left: AtomicU64::new(columns.len() as u64), ..Figures::default() };
        let desk = Desk { report, queue, columns: columns.into(), figures: Arc::new(figures) };
        Self { desk, _vital: Vital::new("resealer", bell) }
    }
}

impl Desk {
    async fn all_columns(&self) {
        for (column, reseal) in self.columns.iter() {
            self.one_column(column, reseal).await;
            self.figures.columns_left.fetch_sub(1, Ordering::Relaxed);
        }
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let Figures { current, resealed, unreadable, .. } = &*self.figures;
        let (current, resealed, unreadable) = (read(current), read(resealed), read(unreadable));
        log::info!(current = current, resealed = resealed, unreadable = unreadable; "ciphertext is under the present keys");
    }

    async fn one_column(&self, column: &'static SealedColumn, reseal: &Reseal) {
        let mut after = 0;
        loop {
            match self.piece(column, after, reseal).await {
                Ok(Some(last)) => after = last,
                Ok(None) => return,
                Err(error) => {
                    self.figures.failures.fetch_add(1, Ordering::Relaxed);
                    log::warn!(column = column.name, reason:% = error; "sealing anew is interrupted");
                    sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
    }

    /// One page. Returns the last row that it looked at; none at the end of the column.
    async fn piece(
        &self,
        column: &'static SealedColumn,
        after: i64,
        reseal: &Reseal,
    ) -> Result<Option<i64>, StoreError> {
        let page = SealedPage { column, after, limit: PIECE, reseal: Arc::clone(reseal) };
        let found = self.report.ask(page).await?;
        let (last, mut counts) = (found.last, found.counts);
        if !found.anew.is_empty() {
            let begun = Instant::now();
            let replace = ResealPage { column, rows: found.anew };
            let written = self.queue.send(Background(replace)).await.map_err(|_| StoreError::Closed)?;
            counts.resealed = written.map_err(|error| match error {
                OpError::Store(error) => error,
                OpError::Refused(()) => StoreError::Failed("refused".to_owned()),
            })?;
            sleep(begun.elapsed().clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
        }
        self.note(column, counts);
        Ok(last)
    }

    fn note(&self, column: &SealedColumn, ResealCounts { current, resealed, unreadable }: ResealCounts) {
        let add = |figure: &AtomicU64, n: usize| figure.fetch_add(n as u64, Ordering::Relaxed);
        add(&self.figures.current, current);
        add(&self.figures.resealed, resealed);
        add(&self.figures.unreadable, unreadable);
        if resealed > 0 {
            log::info!(column = column.name, rows = resealed; "sealed anew");
        }
        if unreadable > 0 {
            log::error!(column = column.name, rows = unreadable; "no known key opens these: is one missing?");
        }
    }
}

impl Actor for Resealer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let desk = self.desk.clone();
        ctx.spawn(async move { desk.all_columns().await }.into_actor(self).map(|(), _, _| ()));
    }
}

impl Handler<Observe> for Resealer {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _ctx: &mut Self::Context) -> Self::Result {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let Figures { columns_left, current, resealed, unreadable, failures } = &*self.desk.figures;
        MessageResult(Snapshot {
            actor: "resealer",
            figures: vec![
                ("columns_left", read(columns_left)),
                ("current", read(current)),
                ("resealed", read(resealed)),
                ("unreadable", read(unreadable)),
                ("failures", read(failures)),
            ],
        })
    }
}

impl Handler<Stop> for Resealer {
    type Result = ();

    /// What is not sealed anew yet will be after the next start.
    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
