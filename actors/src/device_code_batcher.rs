//! Issues device codes in batches: up to 256 rows in one operation, never waiting for more of them.
//!
//! ```text
//! batcher there:    draws a secret -> its row joins what is gathered -> the first of a batch puts it into the line
//! writer:           takes all that was gathered until then -> rows -> COMMIT -> each row's id, to its request
//! batcher there:    the user code that follows from the id
//! ```

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::{Actor, Addr, Context, Handler, Message, ResponseFuture};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::clock::Millis;
use crate::data::device_codes::{DeviceCodeRow, InsertDeviceCodes, NewDeviceCode};
use crate::engine::WriteTx;
use crate::error::{OpError, StoreError};
use crate::guard::{DeathBell, Vital};
use crate::line::Line;
use crate::message::Snapshot;
use crate::store::WRITE_PERMITS;
use crate::writer::{QueuedWrite, Verdict, attempt};

const MAX_BATCH: usize = 256;

/// A fresh secret: what the terminal gets and what the database keeps.
#[derive(Clone, PartialEq, Eq)]
pub struct MintedDeviceCode {
    /// The secret half of the device code; the row's id goes in front of it.
    pub secret: [u8; 32],
    /// SHA-256 of `secret`.
    pub secret_hash: [u8; 32],
}

impl fmt::Debug for MintedDeviceCode {
    /// It is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MintedDeviceCode").finish_non_exhaustive()
    }
}

/// Makes codes. A port: randomness and keys live on the other side of the wall.
pub trait DeviceCodeMint: Send + Sync + 'static {
    /// A fresh secret.
    fn mint(&self) -> MintedDeviceCode;

    /// What the user types for the row `id` that was made at `created_at`, without the dash. It follows from them, so it
    /// is not kept.
    fn user_code(&self, id: i64, created_at: Millis) -> String;
}

/// Asks for one device code (RFC 8628, section 3.1).
#[derive(Debug, Clone)]
pub struct IssueDeviceCode {
    /// All of the row but its secret.
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

/// A row that is asked for, with the way back and the admission.
struct Request {
    row: DeviceCodeRow,
    permit: OwnedSemaphorePermit,
    reply: Reply,
}

type Reply = oneshot::Sender<Result<i64, StoreError>>;

thread_local! {
    /// The batchers of this thread; one, unless several stores are open.
    static HERE: RefCell<Vec<(usize, Addr<DeviceCodeBatcher>)>> = const { RefCell::new(Vec::new()) };
}

/// The actor that is asked for device codes. There is one on each thread that asks, so that asking is no hand-over to
/// another; all fill the same batch.
pub(crate) struct DeviceCodeBatcher {
    batches: DeviceCodeBatches,
    _vital: Vital,
}

/// Where requests for device codes gather. Clones share one.
#[derive(Clone)]
pub(crate) struct DeviceCodeBatches {
    line: Arc<Line>,
    mint: Arc<dyn DeviceCodeMint>,
    bell: DeathBell,
    gathered: Arc<Mutex<Gathered>>,
}

#[derive(Default)]
struct Gathered {
    waiting: Vec<Request>,
    /// Batches in the line that have not taken their rows yet: always enough for all that wait.
    called: usize,
    batches: u64,
    issued: u64,
}

impl DeviceCodeBatches {
    pub(crate) fn new(line: Arc<Line>, mint: Arc<dyn DeviceCodeMint>, bell: &DeathBell) -> Self {
        Self { line, mint, bell: bell.clone(), gathered: Arc::default() }
    }

    /// The batcher of this thread, started when it is first asked.
    pub(crate) fn batcher(&self) -> Addr<DeviceCodeBatcher> {
        let store = Arc::as_ptr(&self.gathered) as usize;
        HERE.with_borrow_mut(|here| {
            here.retain(|(_, batcher)| batcher.connected());
            if let Some((_, batcher)) = here.iter().find(|(of, _)| *of == store) {
                return batcher.clone();
            }
            let vital = Vital::new("device code batcher", &self.bell);
            let batcher = DeviceCodeBatcher { batches: self.clone(), _vital: vital }.start();
            here.push((store, batcher.clone()));
            batcher
        })
    }

    fn put(&self, request: Request) {
        let mut gathered = self.lock();
        gathered.waiting.push(request);
        if gathered.called * MAX_BATCH < gathered.waiting.len() {
            gathered.called += 1;
            gathered.batches += 1;
            drop(gathered);
            self.line.put(Box::new(Batch { batches: self.clone(), taken: None, answer: Ok(Vec::new()) }));
        }
    }

    fn take(&self) -> Taken {
        let mut gathered = self.lock();
        gathered.called = gathered.called.saturating_sub(1);
        let count = gathered.waiting.len().min(MAX_BATCH);
        let rest = gathered.waiting.split_off(count);
        let requests = std::mem::replace(&mut gathered.waiting, rest);
        drop(gathered);
        let (mut rows, mut ways_back) =
            (Vec::with_capacity(requests.len()), Vec::with_capacity(requests.len()));
        for Request { row, permit, reply } in requests {
            rows.push(row);
            ways_back.push((reply, permit));
        }
        Taken { insert: InsertDeviceCodes { rows }, ways_back }
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let gathered = self.lock();
        Snapshot {
            actor: "device_code_batcher",
            figures: vec![
                ("waiting", gathered.waiting.len() as u64),
                ("batches", gathered.batches),
                ("issued", gathered.issued),
            ],
        }
    }
}

impl Actor for DeviceCodeBatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Admission is the store's; the mailbox only has to be large enough never to matter.
        ctx.set_mailbox_capacity(WRITE_PERMITS);
    }
}

impl Handler<Issue> for DeviceCodeBatcher {
    type Result = ResponseFuture<Result<IssuedDeviceCode, StoreError>>;

    fn handle(&mut self, Issue { request, permit }: Issue, _ctx: &mut Self::Context) -> Self::Result {
        let mint = Arc::clone(&self.batches.mint);
        let (IssueDeviceCode { code }, minted) = (request, mint.mint());
        let created_at = code.now;
        let (reply, answer) = oneshot::channel();
        let row = DeviceCodeRow { code, secret_hash: minted.secret_hash };
        self.batches.put(Request { row, permit, reply });
        Box::pin(async move {
            let id = answer.await.unwrap_or(Err(StoreError::Closed))?;
            Ok(IssuedDeviceCode { id, secret: minted.secret, user_code: mint.user_code(id, created_at) })
        })
    }
}

/// A batch in the line. It takes its rows when it is written, so that nobody who came meanwhile waits for the next one.
struct Batch {
    batches: DeviceCodeBatches,
    taken: Option<Taken>,
    answer: Result<Vec<i64>, OpError<()>>,
}

struct Taken {
    insert: InsertDeviceCodes,
    ways_back: Vec<(Reply, OwnedSemaphorePermit)>,
}

impl QueuedWrite for Batch {
    fn apply(&mut self, tx: &mut WriteTx<'_>) -> Verdict {
        let taken = self.taken.get_or_insert_with(|| self.batches.take());
        self.answer = attempt(&taken.insert, tx);
        Verdict::on(&self.answer)
    }

    fn fail(&mut self, error: StoreError) {
        self.answer = Err(OpError::Store(error));
    }

    fn answer(mut self: Box<Self>) {
        // What failed before it was its turn has taken nothing yet.
        let taken = self.taken.get_or_insert_with(|| self.batches.take());
        let ways_back = std::mem::take(&mut taken.ways_back);
        match std::mem::replace(&mut self.answer, Ok(Vec::new())) {
            Ok(ids) => {
                self.batches.lock().issued += ids.len() as u64;
                for ((reply, _permit), id) in ways_back.into_iter().zip(ids) {
                    let _ = reply.send(Ok(id));
                }
            }
            Err(error) => {
                let error = match error {
                    OpError::Store(error) => error,
                    OpError::Refused(()) => StoreError::Failed("insert refused".to_owned()),
                };
                for (reply, _permit) in ways_back {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }
}

impl Drop for Batch {
    /// A batch that never is written lets go of its requests, which tells their callers.
    fn drop(&mut self) {
        if self.taken.is_none() {
            drop(self.batches.take());
        }
    }
}
