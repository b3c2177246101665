//! Mail: letters are written by a request, queued after its COMMIT, and sent from a thread of their own.
//!
//! ```text
//! handler -> letter::invitation -> Mailer::post -> queue (bounded) -> delivery: send, wait, send again -> server
//! ```
//! Nobody waits for mail and no request fails for it. The queue is in memory: what was not sent when the process ends
//! is lost, and the inviter sees the invitation pending and may pass the link on by other means.

mod delivery;
pub mod letter;

use std::time::Duration;

use actix::Arbiter;
use lettre::Message;
use lettre::message::Mailbox;
use tokio::sync::{mpsc, watch};

use crate::config::mail::MailSettings;

/// Letters that may wait. More are refused and logged.
const QUEUE: usize = 256;
/// How long a stopping process waits for letters that are being sent.
const CLOSING_TIME: Duration = Duration::from_secs(5);

/// A message and what the log calls it.
pub struct Letter {
    /// Public id of what it is about.
    pub about: String,
    /// The message.
    pub message: Message,
}

/// Where letters are posted.
#[derive(Clone)]
pub struct Mailer(Option<(mpsc::Sender<Letter>, Mailbox)>);

impl Mailer {
    /// Without a mail server: takes nothing.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// The sender of letters; none without a mail server.
    #[must_use]
    pub fn sender(&self) -> Option<&Mailbox> {
        self.0.as_ref().map(|(_, from)| from)
    }

    /// Queues a letter. False when there is no server, or no room.
    #[must_use]
    pub fn post(&self, letter: Letter) -> bool {
        let Some((queue, _)) = &self.0 else { return false };
        match queue.try_send(letter) {
            Ok(()) => true,
            Err(error) => {
                let letter = error.into_inner();
                log::warn!(about = letter.about.as_str(); "mail not queued");
                false
            }
        }
    }
}

/// The thread that sends.
pub struct MailRoom {
    mailer: Mailer,
    arbiter: Arbiter,
    closing: watch::Sender<bool>,
    closed: mpsc::Receiver<()>,
}

impl MailRoom {
    /// Starts the thread. `base_url` names this host to the server.
    #[must_use]
    pub fn open(settings: &MailSettings, base_url: &str) -> Self {
        let (queue, letters) = mpsc::channel(QUEUE);
        let (closing, is_closing) = watch::channel(false);
        let (done, closed) = mpsc::channel(1);
        let arbiter = Arbiter::new();
        let transport = delivery::transport(settings, base_url);
        arbiter.spawn(async move {
            delivery::run(transport, letters, is_closing).await;
            // The receiver may have stopped waiting.
            let _ = done.try_send(());
        });
        Self { mailer: Mailer(Some((queue, settings.from.clone()))), arbiter, closing, closed }
    }

    /// A handle for those who post.
    #[must_use]
    pub fn mailer(&self) -> Mailer {
        self.mailer.clone()
    }

    /// Tries what is queued once more, within [`CLOSING_TIME`], and stops the thread.
    pub async fn close(mut self) {
        self.closing.send_replace(true);
        if tokio::time::timeout(CLOSING_TIME, self.closed.recv()).await.is_err() {
            log::warn!(step = "mail cut"; "stopping");
        }
        self.arbiter.stop();
    }
}
