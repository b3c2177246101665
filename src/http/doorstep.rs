//! Connections as they are accepted: one too many is turned away before it has cost anything.

use std::any::Any;
use std::net::{IpAddr, Shutdown};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use socket2::SockRef;

use super::address::limit_key;
use crate::metrics::process::most_open_files;
use crate::state::App;

/// Files that are open beside connections: the database, its readers, what the process itself calls.
const OTHER_FILES: usize = 128;

/// RFC 9110, section 15.6.4.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\n\
    content-type: application/problem+json\r\ncontent-length: 143\r\n\r\n\
    {\"error\":\"SERVICE_UNAVAILABLE\",\"error_code\":\"SERVICE_UNAVAILABLE\",\"status\":503,\"detail\":\"Too many connections are open. Wait, then try again.\"}";

/// Counts a connection for as long as its data live, or hangs up on it.
pub fn admit(app: &App, connection: &dyn Any, data: &mut Extensions) {
    let (socket, clear) = match connection.downcast_ref::<TcpStream>() {
        Some(socket) => (socket, true),
        None => match connection.downcast_ref::<TlsStream<TcpStream>>() {
            Some(stream) => (stream.get_ref().0, false),
            None => return,
        },
    };
    let peer = socket.peer_addr().ok().map(|peer| peer.ip().to_canonical());
    match app.connections.enter(peer.filter(|peer| is_counted(app, peer)).map(limit_key)) {
        Ok(place) => {
            data.insert(place);
        }
        Err(limit) => {
            app.meters.throttled.by(limit);
            let socket = SockRef::from(socket);
            if clear {
                let _ = socket.send(TOO_MANY);
            }
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// A proxy has connections for everybody behind it.
fn is_counted(app: &App, peer: &IpAddr) -> bool {
    !app.config.trusted_proxies.iter().any(|net| net.contains(peer))
}

/// How many connections there may be: what is set, unless the operating system grants fewer files.
#[must_use]
pub fn capacity(set: usize) -> usize {
    let Some(files) = most_open_files() else { return set };
    let most = files.saturating_sub(OTHER_FILES).max(1);
    if most < set {
        log::warn!(open_files = files, connections = most; "MAX_CONNECTIONS is more than the open files this process may have");
    }
    set.min(most)
}
