//! Connections as they are accepted: one too many is turned away before it has cost anything.

use std::net::{IpAddr, Shutdown, SocketAddr};

use actix_web::rt::net::TcpStream;
use serde_json::json;
use socket2::SockRef;

use crate::error::Code;
use crate::http::address::limit_key;
use crate::metrics::process::most_open_files;
use crate::state::App;
use crate::throttle::connections::Place;

/// Files that are open beside connections: the database, its readers, what the process itself calls.
const OTHER_FILES: usize = 128;

const TOO_MANY: &str = "Too many connections are open. Wait, then try again.";

/// A place for the connection, for as long as it lives; or it is hung up on.
pub(super) fn admit(app: &App, socket: &TcpStream, peer: Option<SocketAddr>) -> Option<Place> {
    let peer = peer.map(|peer| peer.ip().to_canonical());
    match app.connections.enter(peer.filter(|peer| is_counted(app, peer)).map(limit_key)) {
        Ok(place) => Some(place),
        Err(limit) => {
            app.meters.throttled.by(limit);
            let socket = SockRef::from(socket);
            // Whoever does not read it is hung up on all the same. Before a handshake there are no words.
            if app.config.tls.is_none() {
                let _ = socket.send(refusal().as_bytes());
            }
            let _ = socket.shutdown(Shutdown::Both);
            None
        }
    }
}

/// A whole answer, written before the server knows of the connection (RFC 9110, section 15.6.4).
fn refusal() -> String {
    let (name, status, _) = Code::ServiceUnavailable.row();
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": TOO_MANY,
        "error": TOO_MANY,
        "error_code": name,
    });
    let body = body.to_string();
    format!(
        "HTTP/1.1 {status}\r\nretry-after: 5\r\nconnection: close\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
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
