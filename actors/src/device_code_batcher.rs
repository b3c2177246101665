//! Issues device codes in batches: up to 256 rows in one operation, never waiting more than 5 ms, not at all when idle.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, MessageResult,
    ResponseFuture, SpawnHandle, WrapFuture,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::commit_queue::{CommitQueue, Flush, Stop};
use crate::data::device_codes::{InsertDeviceCodes, NewDeviceCode};
use crate::error::{OpError, StoreError};
use crate::guard::{DeathBell, Vital};
use crate::message::{Observe, Snapshot, Write};

const MAX_BATCH: usize = 256;
const MAX_WAIT: Duration = Duration::from_millis(5);
/// A user code that is taken is drawn again this often. With 20^8 codes even one collision is rare.
const MAX_TRIES: u8 = 3;

/// A fresh pair of codes: what the terminal gets and what the database keeps.
#[derive(Clone, PartialEq, Eq)]
pub struct MintedDeviceCode {
    /// The secret half of the device code; the row's id goes in front of it.
    pub secret: [u8; 32],
    /// SHA-256 of `secret`.
    pub secret_hash: [u8; 32],
    /// What the user types, without the dash.
    pub user_code: String,
    /// Keyed hash of `user_code`.
    pub user_code_hash: [u8; 16],
}

impl fmt::Debug for MintedDeviceCode {
    /// The codes are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MintedDeviceCode").finish_non_exhaustive()
    }
}

/// Draws codes. A port: randomness and keys live on the other side of the wall.
pub trait DeviceCodeMint: Send + Sync + 'static {
    /// A fresh pair of codes.
    fn mint(&self) -> MintedDeviceCode;
}

/// Asks for one device code (RFC 8628, section 3.1).
#[derive(Debug, Clone)]
pub struct IssueDeviceCode {
    /// All of the row but its secrets.
    pub code: NewDeviceCode,
}

/// A device code that is durable.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedDeviceCode {
    /// The row's id, in front of the secret in the device code.
    pub id: i64,
    /// The secret half of the device code.
    pub secret: [u8; 32],
    /// What the user types, without the dash.
    pub user_code: String,
}

impl fmt::Debug for IssuedDeviceCode {
    /// The codes are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedDeviceCode").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The message that carries a request to the batcher, with its admission.
pub(crate) struct Issue {
    pub(crate) request: IssueDeviceCode,
    pub(crate) permit: OwnedSemaphorePermit,
}

impl Message for Issue {
    type Result = Result<IssuedDeviceCode, StoreError>;
}

struct Request {
    code: NewDeviceCode,
    minted: MintedDeviceCode,
    tries: u8,
    _permit: OwnedSemaphorePermit,
    reply: oneshot::Sender<Result<IssuedDeviceCode, StoreError>>,
}

/// The async actor that gathers requests.
pub(crate) struct DeviceCodeBatcher {
    queue: Addr<CommitQueue>,
    mint: Arc<dyn DeviceCodeMint>,
    waiting: Vec<Request>,
    in_flight: usize,
    timer: Option<SpawnHandle>,
    flushed: Vec<oneshot::Sender<()>>,
    issued: u64,
    batches: u64,
    collisions: u64,
    _vital: Vital,
}

impl DeviceCodeBatcher {
    pub(crate) fn new(queue: Addr<CommitQueue>, mint: Arc<dyn DeviceCodeMint>, bell: &DeathBell) -> Self {
        Self {
            queue,
            mint,
            waiting: Vec::new(),
            in_flight: 0,
            timer: None,
            flushed: Vec::new(),
            issued: 0,
            batches: 0,
            collisions: 0,
            _vital: Vital::new("device code batcher", bell),
        }
    }

    /// Idle or full: ship now. Otherwise the commit in flight or the timer will.
    fn ship_or_wait(&mut self, ctx: &mut Context<Self>) {
        if self.in_flight == 0 || self.waiting.len() >= MAX_BATCH {
            self.ship(ctx);
        } else if self.timer.is_none() {
            self.timer = Some(ctx.run_later(MAX_WAIT, |actor, ctx| {
                actor.timer = None;
                actor.ship(ctx);
            }));
        }
    }

    fn ship(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        if self.waiting.is_empty() {
            return self.tell_flushed();
        }
        let rest = self.waiting.split_off(self.waiting.len().min(MAX_BATCH));
        let batch = std::mem::replace(&mut self.waiting, rest);
        let rows = batch.iter().map(|request| request.code.row(&request.minted)).collect();
        self.in_flight += 1;
        self.batches += 1;
        let done =
            self.queue.send(Write { change: InsertDeviceCodes { rows }, permit: None }).into_actor(self).map(
                |outcome, actor, ctx| {
                    actor.in_flight -= 1;
                    actor.answer(batch, outcome.unwrap_or(Err(OpError::Store(StoreError::Closed))));
                    actor.ship(ctx);
                },
            );
        ctx.spawn(done);
    }

    fn answer(&mut self, batch: Vec<Request>, outcome: Result<Vec<Option<i64>>, OpError<()>>) {
        let ids = match outcome {
            Ok(ids) => ids,
            Err(error) => {
                let error = match error {
                    OpError::Store(error) => error,
                    OpError::Refused(()) => StoreError::Failed("insert refused".to_owned()),
                };
                for request in batch {
                    let _ = request.reply.send(Err(error.clone()));
                }
                return;
            }
        };
        for (mut request, id) in batch.into_iter().zip(ids) {
            if let Some(id) = id {
                self.issued += 1;
                let MintedDeviceCode { secret, user_code, .. } = request.minted;
                let _ = request.reply.send(Ok(IssuedDeviceCode { id, secret, user_code }));
            } else if request.tries >= MAX_TRIES {
                let _ = request.reply.send(Err(StoreError::Busy));
            } else {
                self.collisions += 1;
                request.minted = self.mint.mint();
                request.tries += 1;
                self.waiting.push(request);
            }
        }
    }

    fn tell_flushed(&mut self) {
        if self.in_flight == 0 {
            for flushed in self.flushed.drain(..) {
                let _ = flushed.send(());
            }
        }
    }
}

impl Actor for DeviceCodeBatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAX_BATCH * 16);
    }
}

impl Handler<Issue> for DeviceCodeBatcher {
    type Result = ResponseFuture<Result<IssuedDeviceCode, StoreError>>;

    fn handle(&mut self, Issue { request, permit }: Issue, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let minted = self.mint.mint();
        self.waiting.push(Request { code: request.code, minted, tries: 1, _permit: permit, reply });
        self.ship_or_wait(ctx);
        Box::pin(async move { answer.await.unwrap_or(Err(StoreError::Closed)) })
    }
}

impl Handler<Flush> for DeviceCodeBatcher {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Flush, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        self.flushed.push(reply);
        self.ship(ctx);
        Box::pin(async move {
            let _ = answer.await;
        })
    }
}

impl Handler<Observe> for DeviceCodeBatcher {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _ctx: &mut Self::Context) -> Self::Result {
        MessageResult(Snapshot {
            actor: "device_code_batcher",
            figures: vec![
                ("waiting", self.waiting.len() as u64),
                ("batches", self.batches),
                ("issued", self.issued),
                ("collisions", self.collisions),
            ],
        })
    }
}

impl Handler<Stop> for DeviceCodeBatcher {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
