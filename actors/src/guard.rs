//! A dying actor takes the process down in good order.
//!
//! actix restarts nothing after a panic: the address just stops answering. A service that limps on without its writer
//! would accept requests it can never serve, so every async actor holds a [`Vital`], whose drop while panicking rings
//! the [`DeathBell`], and the server drains and exits with code 70.

use std::sync::Arc;

use tokio::sync::watch;

/// Rings once, when a vital actor dies. Clones hear the same bell.
#[derive(Debug, Clone)]
pub struct DeathBell {
    sender: Arc<watch::Sender<Option<&'static str>>>,
}

impl Default for DeathBell {
    fn default() -> Self {
        Self { sender: Arc::new(watch::Sender::new(None)) }
    }
}

impl DeathBell {
    /// Waits for a vital actor to die and tells its name. Never returns while all are well.
    pub async fn rung(&self) -> &'static str {
        let mut receiver = self.sender.subscribe();
        match receiver.wait_for(Option::is_some).await {
            Ok(name) => (*name).unwrap_or("unknown"),
            // Cannot happen while `self` holds the sender; waiting forever is the truthful answer.
            Err(_) => std::future::pending().await,
        }
    }

    /// The name of the actor that died, if one did.
    #[must_use]
    pub fn dead(&self) -> Option<&'static str> {
        *self.sender.borrow()
    }

    pub(crate) fn ring(&self, actor: &'static str) {
        log::error!(actor = actor; "vital actor died");
        self.sender.send_replace(Some(actor));
    }
}

/// Held by an actor without which the process makes no sense.
#[derive(Debug)]
pub(crate) struct Vital {
    name: &'static str,
    bell: DeathBell,
}

impl Vital {
    pub(crate) fn new(name: &'static str, bell: &DeathBell) -> Self {
        Self { name, bell: bell.clone() }
    }
}

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.bell.ring(self.name);
        }
    }
}
