//! Replaces the certificate while the service runs.
//!
//! ```text
//! files changed, or SIGHUP -> Pair::read -> good: shown from the next handshake on
//!                                        -> bad:  the one in use stays, an error is logged, and it is tried again
//! ```

use std::time::Duration;

use actix_web::rt::time::sleep;
use actix_web::web::Data;
use gatehouse_actors::clock::Millis;

use super::certificate::{Pair, Shown};
use crate::state::{App, rfc3339};

/// How soon a change of the files is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Runs until it is aborted; at once over when there is no certificate.
pub(crate) async fn keep(app: Data<App>) {
    let Some(shown) = &app.config.tls else { return };
    let mut hangups = Hangups::new();
    let mut seen = shown.stamp();
    let mut complaint = None;
    loop {
        let is_asked = tokio::select! {
            () = sleep(LOOK_EVERY) => false,
            () = hangups.next() => true,
        };
        // Before the files are read, so that what changes meanwhile is read at the next turn.
        let stamp = shown.stamp();
        // A pair that was bad may have become good by a change that no stamp tells, such as permissions.
        if !is_asked && stamp == seen && complaint.is_none() {
            continue;
        }
        seen = stamp;
        complaint = match renew(shown, app.clock.now()) {
            Ok(()) => None,
            Err(reason) => {
                if is_asked || complaint.as_ref() != Some(&reason) {
                    log::error!(reason = reason.as_str(); "certificate not replaced, the one in use stays");
                }
                Some(reason)
            }
        };
    }
}

fn renew(shown: &Shown, now: Millis) -> Result<(), String> {
    let pair = Pair::read(shown.files())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    if pair.not_after <= now {
        return Err(format!("the certificate expired on {}", rfc3339(pair.not_after)));
    }
    let is_same = pair.is_same(&shown.pair());
    let expires_at = rfc3339(pair.not_after);
    shown.replace(pair);
    if is_same {
        log::info!(expires_at = expires_at.as_str(); "certificate read again, it is the same");
    } else {
        log::info!(expires_at = expires_at.as_str(); "certificate replaced");
    }
    Ok(())
}

/// Logs what is shown from the start, and what an operator should know of it.
pub(crate) fn announce(shown: &Shown, now: Millis) {
    let pair = shown.pair();
    let (not_before, expires_at) = (rfc3339(pair.not_before), rfc3339(pair.not_after));
    log::info!(expires_at = expires_at.as_str(); "TLS is on");
    if pair.not_after <= now {
        // Clients decide whether they put up with it. A start that is refused would leave them nothing to decide.
        log::error!(expires_at = expires_at.as_str(); "the certificate has expired");
    } else if pair.not_before > now {
        log::error!(good_from = not_before.as_str(); "the certificate is not good yet");
    }
    if is_open_to_others(shown) {
        log::warn!("the file of TLS_KEY_FILE can be read by every user of this machine");
    }
}

#[cfg(unix)]
fn is_open_to_others(shown: &Shown) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(&shown.files().key).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_shown: &Shown) -> bool {
    false
}

/// SIGHUP, where there is such a thing and it can be listened for.
struct Hangups {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    #[cfg(unix)]
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self { signal: signal(SignalKind::hangup()).ok() }
    }

    #[cfg(not(unix))]
    fn new() -> Self {
        Self {}
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
