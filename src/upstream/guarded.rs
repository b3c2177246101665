//! The HTTP client for addresses that a tenant chose: it reaches the internet and nothing behind our own walls.
//!
//! ```text
//! url ──> scheme ──> resolve once ──> every address public? ──> connect to exactly these ──> limits, no redirects
//! ```
//! The check sits in the connector, below everything that builds requests: whatever a caller asks for, no socket is
//! opened to an address that was not judged, and a name is not resolved a second time after it was.

use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::rc::Rc;

use actix_service::Service;
use actix_tls::connect::tcp::{TcpConnector, TcpConnectorService};
use actix_tls::connect::{ConnectError, ConnectInfo, Connection, Resolve};
use actix_web::rt::net::TcpStream;
use actix_web::rt::task::spawn_blocking;
use awc::http::Uri;
use futures_util::future::LocalBoxFuture;
use oauth2::{HttpRequest, HttpResponse};
use url::{Host, Url};

use super::address_policy::AddressPolicy;
use super::client::{HttpClient, Limits};
use super::error::UpstreamError;

/// A client that may be given any address. Like [`HttpClient`] it belongs to one worker and is cheap to clone.
#[derive(Clone)]
pub struct GuardedClient {
    http: HttpClient,
    guard: Guard,
}

/// Where a connection may go to, and how its name is looked up.
#[derive(Clone)]
pub(super) struct Guard {
    policy: AddressPolicy,
    resolver: Rc<dyn Resolve>,
}

impl GuardedClient {
    /// A client with the default [`Limits`] that asks the operating system for names.
    #[must_use]
    pub fn new(policy: AddressPolicy) -> Self {
        Self::with(policy, Rc::new(SystemResolver), Limits::default())
    }

    /// A client with a resolver and limits of one's own.
    #[must_use]
    pub fn with(policy: AddressPolicy, resolver: Rc<dyn Resolve>, limits: Limits) -> Self {
        let guard = Guard { policy, resolver };
        Self { http: HttpClient::guarded(guard.clone(), limits), guard }
    }

    /// Sends one request and reads the whole answer, whatever its status; a redirect is an answer like any other.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, UpstreamError> {
        self.http.send(request).await
    }

    /// The same client for code that does not care where an address came from.
    #[must_use]
    pub fn as_http(&self) -> &HttpClient {
        &self.http
    }

    /// Whether the address could be connected to now. Says so early, to whoever chose it; every connection is
    /// judged anew.
    pub async fn check(&self, url: &Url) -> Result<(), UpstreamError> {
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || !self.guard.policy.permits_scheme(url.scheme()) {
            return Err(UpstreamError::Forbidden);
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(UpstreamError::Forbidden),
        };
        let port = url.port_or_known_default().unwrap_or_default();
        self.guard.resolve(url.scheme(), &host, port).await.map(|_| ()).map_err(|error| match error {
            ConnectError::Resolver(cause) if is_refusal(&*cause) => UpstreamError::Forbidden,
            _ => UpstreamError::Unreachable("name does not resolve"),
        })
    }
}

impl Guard {
    /// The addresses of a host, all of them permitted. One that is not condemns the name: the others would only say
    /// which of them is tried first.
    async fn resolve(&self, scheme: &str, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let addresses = match literal {
            Ok(address) => vec![SocketAddr::new(address, port)],
            // RFC 6761, section 6.3: these names are this machine, whatever a resolver says or does not say.
            Err(_) if is_localhost(host) && self.policy == AddressPolicy::Public => {
                return Err(ConnectError::Resolver(Box::new(UpstreamError::Forbidden)));
            }
            Err(_) => self.resolver.lookup(host, port).await.map_err(ConnectError::Resolver)?,
        };
        if addresses.is_empty() {
            return Err(ConnectError::NoRecords);
        }
        if !addresses.iter().all(|address| self.policy.permits(scheme, address.ip())) {
            log::warn!("a connection to an address that is not public was refused");
            return Err(ConnectError::Resolver(Box::new(UpstreamError::Forbidden)));
        }
        Ok(addresses)
    }
}

fn is_localhost(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether a connection failed because this guard refused it.
pub(super) fn is_refusal(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<UpstreamError>() == Some(&UpstreamError::Forbidden)
}

impl Service<ConnectInfo<Uri>> for Guard {
    type Response = Connection<Uri, TcpStream>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, ConnectError>>;

    actix_service::always_ready!();

    fn call(&self, info: ConnectInfo<Uri>) -> Self::Future {
        let guard = self.clone();
        Box::pin(async move {
            let scheme = info.request().scheme_str().unwrap_or_default().to_owned();
            let addresses = guard.resolve(&scheme, info.hostname(), info.port()).await?;
            let tcp: TcpConnectorService = TcpConnector::default().service();
            tcp.call(info.set_addrs(addresses)).await
        })
    }
}

/// Names as this machine resolves them.
struct SystemResolver;

impl Resolve for SystemResolver {
    fn lookup<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> LocalBoxFuture<'a, Result<Vec<SocketAddr>, Box<dyn StdError>>> {
        let host = host.to_owned();
        Box::pin(async move {
            let found = spawn_blocking(move || (host.as_str(), port).to_socket_addrs()).await??;
            Ok(found.collect())
        })
    }
}

#[cfg(test)]
#[path = "guarded_tests.rs"]
mod tests;
