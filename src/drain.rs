//! Stopping without cutting anybody off. actix drops every request that it has accepted but not begun when it is told
//! to stop, so it is told last.
//!
//! ```text
//! signal -> readiness goes red, answers say `Connection: close`   (farewell)
//!        -> nobody new is let in: a connection is refused at once (Door::close)
//!        -> no request is in flight, and none came for a moment   (Traffic::settled)
//!        -> actix stops, which closes the connections that are idle
//! ```

use std::io;
use std::net::{Shutdown, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::rt::time::{Instant, sleep};
use actix_web::web::Data;
use socket2::SockRef;
use tokio::task::JoinHandle;

use crate::state::App;
use crate::telemetry;

/// What a connection that was accepted needs at most to bring its request before a worker, on a busy machine.
const QUIET: Duration = Duration::from_millis(100);
/// Requests in flight get this long.
const LONGEST: Duration = Duration::from_secs(28);
/// Then actix closes what is left, and cuts what is still in flight after this many seconds.
pub const CLOSE_SECONDS: u64 = 2;
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Which requests are being served.
#[derive(Debug, Default)]
pub struct Traffic {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// One request being served; it ends when this is dropped.
struct Visit<'a>(&'a Traffic);

impl Traffic {
    fn enter(&self) -> Visit<'_> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        Visit(self)
    }

    /// How many requests are being served.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        // Ended before begun, as below.
        let ended = self.ended.load(Ordering::SeqCst);
        self.begun.load(Ordering::SeqCst).saturating_sub(ended)
    }

    /// Returns once no request is being served and none has come for a moment, or at the deadline.
    pub async fn settled(&self, deadline: Duration) {
        let give_up_at = Instant::now() + deadline;
        let mut quiet_since = Instant::now();
        let mut seen = self.begun.load(Ordering::SeqCst);
        while quiet_since.elapsed() < QUIET && Instant::now() < give_up_at {
            sleep(LOOK_EVERY).await;
            // Ended before begun, so that a request between the two looks counts as being served.
            let ended = self.ended.load(Ordering::SeqCst);
            let begun = self.begun.load(Ordering::SeqCst);
            if begun != ended || begun != seen {
                quiet_since = Instant::now();
            }
            seen = begun;
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// Counts the request, and once the process is about to stop, tells the client to send its next one elsewhere.
pub async fn farewell(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let app = request.app_data::<Data<App>>().cloned();
    let _visit = app.as_ref().map(|app| app.traffic.enter());
    let mut response = next.call(request).await?;
    if app.as_ref().is_some_and(|app| app.is_draining()) {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

/// The listening socket, held so that it can be closed before actix stops.
#[derive(Debug)]
pub struct Door(TcpListener);

impl Door {
    /// Of the socket that actix is about to listen on.
    pub fn of(listener: &TcpListener) -> io::Result<Self> {
        listener.try_clone().map(Self)
    }

    /// Lets nobody new in. Connections that were accepted go on.
    pub async fn close(&self, server: &ServerHandle) {
        telemetry::accept_errors_are_expected();
        // On Linux a listening socket that is shut down refuses from then on, in the middle of actix' accepting, so
        // that hardly a connection is left between the two; elsewhere this fails, and new connections wait unserved.
        if let Err(error) = SockRef::from(&self.0).shutdown(Shutdown::Both) {
            log::debug!(reason:% = error; "listening socket stays open");
        }
        // Or actix would try again and again to accept from it.
        server.pause().await;
    }
}

/// Runs the course above. A second signal cuts it short.
pub async fn in_good_order(
    traffic: &Traffic,
    door: &Door,
    (handle, server): (&ServerHandle, JoinHandle<io::Result<()>>),
    signals: &mut StopSignals,
) {
    let course = async {
        door.close(handle).await;
        traffic.settled(LONGEST).await;
        handle.stop(true).await;
    };
    tokio::select! {
        () = course => log::info!(step = "requests finished"; "stopping"),
        _ = signals.next() => {
            log::warn!(step = "second signal, requests cut"; "stopping");
            // A stop that is under way takes no further orders; letting go of the server ends its workers at once.
            server.abort();
        }
    }
}

/// The signals that ask the process to stop. Listened for before anybody can know that the process is there, so that none
/// finds it without a listener and kills it.
pub struct StopSignals {
    /// None when they cannot be listened for: then the process dies at one.
    #[cfg(unix)]
    both: Option<[(tokio::signal::unix::Signal, &'static str); 2]>,
}

impl StopSignals {
    /// Listens from now on.
    #[cfg(unix)]
    #[must_use]
    pub fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let both = signal(SignalKind::terminate())
            .and_then(|terminate| Ok([(terminate, "SIGTERM"), (signal(SignalKind::interrupt())?, "SIGINT")]));
        Self { both: both.ok() }
    }

    /// Waits for the next one, and tells its name.
    #[cfg(unix)]
    pub async fn next(&mut self) -> &'static str {
        let Some([(terminate, of_terminate), (interrupt, of_interrupt)]) = &mut self.both else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => of_terminate,
            _ = interrupt.recv() => of_interrupt,
        }
    }

    /// Listens from the first wait on.
    #[cfg(not(unix))]
    #[must_use]
    pub fn listen() -> Self {
        Self {}
    }

    /// Waits for the next one, and tells its name.
    #[cfg(not(unix))]
    pub async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn traffic_settles_when_the_last_request_ended_and_none_follows() {
        let traffic = Traffic::default();
        let started = Instant::now();
        traffic.settled(Duration::from_mins(1)).await;
        assert!(started.elapsed() >= QUIET);

        let visit = traffic.enter();
        let leave = async {
            sleep(QUIET * 2).await;
            drop(visit);
            // Another one, shorter than the time between two looks.
            sleep(QUIET / 2).await;
            drop(traffic.enter());
            Instant::now()
        };
        let ((), last) = futures_util::join!(traffic.settled(Duration::from_mins(1)), leave);
        assert!(last.elapsed() + LOOK_EVERY >= QUIET);
    }

    #[actix_web::test]
    async fn a_request_without_end_is_waited_for_until_the_deadline() {
        let traffic = Traffic::default();
        let _visit = traffic.enter();
        let started = Instant::now();
        traffic.settled(Duration::from_millis(50)).await;
        assert!(started.elapsed() >= Duration::from_millis(50));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_closed_door_refuses_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door::of(&listener).unwrap();
        let mut accepted = std::net::TcpStream::connect(address).unwrap();
        let (mut served, _) = listener.accept().unwrap();
        SockRef::from(&door.0).shutdown(Shutdown::Both).unwrap();
        let refused = std::net::TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        // Who is inside is still served.
        let mut word = [0; 2];
        io::Write::write_all(&mut accepted, b"hi").unwrap();
        io::Read::read_exact(&mut served, &mut word).unwrap();
        assert_eq!(&word, b"hi");
    }
}
