//! The network edge: from the listening socket to the application.
//!
//! ```text
//! accepted socket -> doorstep::admit     counted, or refused before it has cost anything
//!                 -> TLS handshake       when there is a certificate, within HANDSHAKE
//!                 -> Wire                ends when the peer is silent, slow or deaf for too long (pace)
//!                 -> actix-http          reads heads and bodies, calls the application
//! ```
//!
//! Put together here and not by actix-web's `HttpServer`, which shows a connection only once its handshake is over and
//! gives no hand on the stream: who never finishes a handshake would count nowhere, and who never finishes a head would
//! stay for ever.

pub mod certificate;
mod doorstep;
mod pace;
pub(crate) mod renewal;
mod validity;
mod wire;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpService, KeepAlive, Request, Response};
use actix_server::Server;
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt};
use actix_service::{apply_fn_factory, fn_service, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::rt::net::TcpStream;
use actix_web::rt::time::timeout;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse};
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

pub use self::doorstep::capacity;
use self::pace::{HEAD, Pace, Visit};
use self::wire::{Watched, Wire};
use crate::drain::CLOSE_SECONDS;
use crate::http::keeping::Keeping;
use crate::state::App;

/// From the first byte of a TLS handshake to its end.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection that is told to close gets this long to read why.
const FAREWELL: Duration = Duration::from_secs(1);
/// Never reached: who is one too many is told so, and not left waiting.
const MOST_PER_WORKER: usize = 1 << 20;

/// Serves an application on a socket. It begins when the server is first awaited.
pub fn serve<F, I, S, B>(
    app: Data<App>,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    application: F,
) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    S::Service: 'static,
    S::Future: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + Unpin + 'static,
{
    let server = Server::build()
        .workers(app.config.workers)
        .max_concurrent_connections(MOST_PER_WORKER)
        .shutdown_timeout(CLOSE_SECONDS)
        .disable_signals();
    let stop = server.graceful_shutdown_signal();
    let server = server.listen("gatehouse", listener, move || {
        let door = Door { app: app.clone(), tls: tls.clone().map(TlsAcceptor::from) };
        let stop = stop.clone();
        let stopping = move || {
            let stop = stop.clone();
            async move { stop.notified().await }
        };
        let application = map_config(application().into_factory(), |()| AppConfig::default());
        let http = HttpService::build()
            .graceful_shutdown_signal(stopping)
            // Idle connections end by their pace.
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(HEAD)
            .client_disconnect_timeout(FAREWELL)
            .on_connect_ext(|wire: &Wire, data| {
                data.insert(wire.pace());
            })
            .h1(apply_fn_factory(application.map_err(|error| error.error_response()), visit));
        fn_service(move |socket| enter(door.clone(), socket)).and_then(http.map_err(drop))
    })?;
    Ok(server.run())
}

/// What a connection has to pass.
#[derive(Clone)]
struct Door {
    app: Data<App>,
    tls: Option<TlsAcceptor>,
}

/// From an accepted socket to a stream with HTTP on it.
async fn enter(door: Door, socket: TcpStream) -> Result<(Wire, Option<SocketAddr>), ()> {
    let peer = socket.peer_addr().ok();
    let place = doorstep::admit(&door.app, &socket, peer).ok_or(())?;
    // Answers are written whole, so nothing is gained by holding one back until the last was acknowledged.
    let _ = socket.set_nodelay(true);
    let watched = Watched::new(socket, place);
    let Some(tls) = door.tls else { return Ok((Wire::plain(watched), peer)) };
    // In a box of its own, so that plain connections do not carry the room for it.
    match timeout(HANDSHAKE, Box::pin(tls.accept(watched))).await {
        Ok(Ok(stream)) => Ok((Wire::tls(stream), peer)),
        Ok(Err(error)) => {
            log::debug!(reason:% = error; "no TLS handshake");
            Err(())
        }
        Err(_) => {
            log::debug!("the TLS handshake takes too long");
            Err(())
        }
    }
}

/// Keeps the connection from being taken for an idle one while a request is served.
fn visit<S, B>(
    request: Request,
    application: &S,
) -> impl Future<Output = Result<Response<Keeping<B, Option<Visit>>>, HttpResponse>> + use<S, B>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = HttpResponse>,
{
    let is_last = request.head().connection_type() == ConnectionType::Close;
    let pace = request.conn_data::<Rc<Pace>>();
    let follows_the_last = pace.is_some_and(|pace| pace.asked(is_last));
    let visit = pace.map(Visit::begin);
    let answer = (!follows_the_last).then(|| application.call(request));
    async move {
        // RFC 9112, section 9.6: what follows a request with `Connection: close` is not served.
        let refused = || HttpResponse::BadRequest().force_close().finish();
        let answer: Response<B> = answer.ok_or_else(refused)?.await?.into();
        Ok(answer.map_body(|_, body| Keeping::new(body, visit)))
    }
}
