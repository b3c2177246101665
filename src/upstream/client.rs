//! The HTTP client for everything that leaves this service towards a provider.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_service::{Service, ServiceExt};
use actix_tls::connect::{
    ConnectError as TcpConnectError, ConnectInfo, Connection, Connector as TcpConnector,
};
use actix_web::rt::net::TcpStream;
use actix_web::rt::time::timeout;
use awc::error::{ConnectError, PayloadError, SendRequestError};
use awc::http::Uri;
use futures_util::future::LocalBoxFuture;
use oauth2::http::uri::Authority;
use oauth2::http::{HeaderMap, Method, Request, Response, header};
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::error::UpstreamError;
use super::guarded::{Guard, is_refusal};
use crate::config::secret::Secret;

/// GitHub refuses requests without one; the others show it in their own logs.
const USER_AGENT: &str = "gatehouse";

/// Requests that a client has under way, to everybody and to one host: who waits for one that hangs must not take the
/// place of those who ask others.
const AT_ONCE: usize = 512;
const AT_ONCE_AT_ONE_HOST: usize = 64;
/// Hosts that are remembered before those that nobody asks are forgotten.
const HOSTS: usize = 1024;

/// How long a provider may take and how much it may say.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Name resolution and TCP, and once more for TLS.
    pub connect: Duration,
    /// The whole request, from the first byte sent to the last byte of the body: a body that trickles is cut.
    pub total: Duration,
    /// The answer's body in bytes.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), total: Duration::from_secs(10), body: 1024 * 1024 }
    }
}

/// The head of a request and its body are two small writes. Nagle's algorithm would hold the second one back until the
/// first is acknowledged, which the other side delays: 40 ms for nothing.
fn write_at_once(connection: Connection<Uri, TcpStream>) -> Connection<Uri, TcpStream> {
    if let Err(error) = connection.io_ref().set_nodelay(true) {
        log::debug!(reason:% = error; "connection without TCP_NODELAY");
    }
    connection
}

/// An HTTP client that follows no redirects and waits for nobody. Clones share one connection pool; it is not
/// `Send`, so each worker has its own.
#[derive(Clone)]
pub struct HttpClient(Rc<Inner>);

struct Inner {
    client: awc::Client,
    /// Places at each host.
    hosts: RefCell<HashMap<String, Arc<Semaphore>>>,
    limits: Limits,
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpClient {
    /// A client with the default [`Limits`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// A client with limits of one's own.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        super::install_crypto_provider();
        Self::over(TcpConnector::default().service(), limits)
    }

    /// A client whose connections are made by the guard alone.
    pub(super) fn guarded(guard: Guard, limits: Limits) -> Self {
        super::install_crypto_provider();
        Self::over(guard, limits)
    }

    fn over<S>(connect: S, limits: Limits) -> Self
    where
        S: Service<ConnectInfo<Uri>, Response = Connection<Uri, TcpStream>, Error = TcpConnectError>
            + Clone
            + 'static,
    {
        let connector = awc::Connector::new().connector(connect.map(write_at_once));
        let connector = connector.timeout(limits.connect).handshake_timeout(limits.connect).limit(AT_ONCE);
        let client = awc::Client::builder()
            .connector(connector)
            .max_http_version(awc::http::Version::HTTP_11) // one framing to bound, and enough for a few requests
            .timeout(limits.total)
            // RFC 9700 section 4.12: a redirect would carry the client secret to wherever it points.
            .disable_redirects()
            .add_default_header((awc::http::header::USER_AGENT, USER_AGENT))
            .finish();
        Self(Rc::new(Inner { client, hosts: RefCell::default(), limits }))
    }

    /// Gets a JSON document; `bearer` is an access token to show (RFC 6750 section 2.1).
    ///
    /// Any status but 200 is [`UpstreamError::Status`].
    pub async fn get_json<T: DeserializeOwned>(
        &self,
        url: &Url,
        bearer: Option<&Secret<String>>,
    ) -> Result<T, UpstreamError> {
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(url.as_str())
            .header(header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| UpstreamError::BadAnswer("not an address"))?;
        if let Some(token) = bearer {
            let value = header::HeaderValue::try_from(format!("Bearer {}", token.expose()))
                .map_err(|_| UpstreamError::BadAnswer("access token is not a header value"))?;
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let response = self.send(request).await?;
        if response.status() != oauth2::http::StatusCode::OK {
            return Err(UpstreamError::Status(response.status().as_u16()));
        }
        serde_json::from_slice(response.body()).map_err(|_| UpstreamError::BadAnswer("not the expected json"))
    }

    /// Sends one request and reads the whole answer, whatever its status.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, UpstreamError> {
        // awc's own timer ends with the headers where the body is read piece by piece: this one covers both.
        let exchange = async {
            let _place = self.place_at(request.uri()).await;
            self.exchange(request).await
        };
        timeout(self.0.limits.total, exchange).await.map_err(|_| UpstreamError::Timeout)?
    }

    /// Waits for a place at the host. None when places are not given out any more, which never happens.
    async fn place_at(&self, uri: &oauth2::http::Uri) -> Option<OwnedSemaphorePermit> {
        let host = uri.authority().map_or("", Authority::as_str);
        let places = {
            let mut hosts = self.0.hosts.borrow_mut();
            if hosts.len() >= HOSTS {
                hosts.retain(|_, places| places.available_permits() < AT_ONCE_AT_ONE_HOST);
            }
            let places = hosts.entry(host.to_owned());
            Arc::clone(places.or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_AT_ONE_HOST))))
        };
        places.acquire_owned().await.ok()
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, UpstreamError> {
        let (head, body) = request.into_parts();
        let mut response =
            self.prepare(&head)?.send_body(body).await.map_err(|error| sending_failed(&error))?;
        let status = response.status().as_u16();
        let heard = [header::CONTENT_TYPE, header::RETRY_AFTER]
            .map(|name| response.headers().get(name.as_str()).cloned().map(|value| (name, value)));
        let body = response.body().limit(self.0.limits.body).await.map_err(|error| reading_failed(&error))?;

        let mut answer = Response::builder().status(status);
        for (name, value) in heard.into_iter().flatten() {
            answer = answer.header(name, value.as_bytes());
        }
        answer.body(body.to_vec()).map_err(|_| UpstreamError::BadAnswer("not http"))
    }

    /// oauth2 speaks version 1 of the `http` crate and awc version 0.2: what they share is the text.
    fn prepare(&self, head: &oauth2::http::request::Parts) -> Result<awc::ClientRequest, UpstreamError> {
        let unusable = |_| UpstreamError::BadAnswer("not an address");
        let method = awc::http::Method::from_bytes(head.method.as_str().as_bytes())
            .map_err(|_| UpstreamError::BadAnswer("not a method"))?;
        let uri = head.uri.to_string().parse::<Uri>().map_err(unusable)?;
        let mut request = self.0.client.request(method, uri);
        copy_headers(&head.headers, request.headers_mut())?;
        Ok(request)
    }
}

impl<'c> AsyncHttpClient<'c> for HttpClient {
    type Error = UpstreamError;
    type Future = LocalBoxFuture<'c, Result<HttpResponse, UpstreamError>>;

    /// A token request. Only 200 and 4xx are the protocol's answers (RFC 6749 section 5); the rest is somebody
    /// else talking, and oauth2 would read an OAuth error into it.
    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let response = self.send(request).await?;
            let status = response.status();
            if status == oauth2::http::StatusCode::OK || status.is_client_error() {
                Ok(response)
            } else {
                Err(UpstreamError::Status(status.as_u16()))
            }
        })
    }
}

fn copy_headers(from: &HeaderMap, to: &mut awc::http::header::HeaderMap) -> Result<(), UpstreamError> {
    for (name, value) in from {
        let name = awc::http::header::HeaderName::from_bytes(name.as_str().as_bytes());
        let value = awc::http::header::HeaderValue::from_bytes(value.as_bytes());
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(UpstreamError::BadAnswer("not a header"));
        };
        to.insert(name, value);
    }
    Ok(())
}

fn sending_failed(error: &SendRequestError) -> UpstreamError {
    match error {
        SendRequestError::Timeout | SendRequestError::Connect(ConnectError::Timeout) => {
            UpstreamError::Timeout
        }
        SendRequestError::Connect(ConnectError::Resolver(cause)) if is_refusal(&**cause) => {
            UpstreamError::Forbidden
        }
        SendRequestError::Connect(ConnectError::Resolver(_) | ConnectError::NoRecords) => {
            UpstreamError::Unreachable("name does not resolve")
        }
        SendRequestError::Connect(_) => UpstreamError::Unreachable("no connection"),
        SendRequestError::Response(_) => UpstreamError::BadAnswer("not http"),
        SendRequestError::Url(_) | SendRequestError::Http(_) => UpstreamError::BadAnswer("not an address"),
        _ => UpstreamError::Unreachable("connection broke"),
    }
}

fn reading_failed(error: &PayloadError) -> UpstreamError {
    match error {
        PayloadError::Overflow => UpstreamError::BadAnswer("body too large"),
        PayloadError::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => UpstreamError::Timeout,
        PayloadError::EncodingCorrupted | PayloadError::UnknownLength => UpstreamError::BadAnswer("not http"),
        _ => UpstreamError::Unreachable("connection broke"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    const SHORT: Limits = Limits { connect: Duration::from_secs(1), total: Duration::from_secs(1), body: 64 };

    /// 65 bytes in one chunk.
    const LONG_CHUNK: &str = "41\r\n01234567890123456789012345678901234567890123456789012345678901234\r\n";

    /// Answers one connection with `head`, then with `drip` over and over until the other side hangs up.
    fn serve(head: &'static str, drip: &'static str) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer);
            let mut sent = stream.write_all(head.as_bytes());
            while sent.is_ok() && !drip.is_empty() && stream.read(&mut buffer).unwrap_or(1) != 0 {
                sent = stream.write_all(drip.as_bytes());
            }
        });
        url
    }

    async fn get(url: &Url) -> Result<serde_json::Value, UpstreamError> {
        HttpClient::with_limits(SHORT).get_json(url, None).await
    }

    #[actix_web::test]
    async fn json_is_read() {
        let url = serve("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}", "");
        assert_eq!(get(&url).await.unwrap()["a"], 1);
    }

    #[actix_web::test]
    async fn a_trickling_body_is_cut() {
        let url = serve("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\n \r\n");
        assert_eq!(get(&url).await, Err(UpstreamError::Timeout));
    }

    #[actix_web::test]
    async fn an_endless_body_is_cut() {
        let url = serve("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", LONG_CHUNK);
        assert_eq!(get(&url).await, Err(UpstreamError::BadAnswer("body too large")));
        let url = serve("HTTP/1.1 200 OK\r\ncontent-length: 65\r\n\r\n", "");
        assert_eq!(get(&url).await, Err(UpstreamError::BadAnswer("body too large")));
    }

    #[actix_web::test]
    async fn redirects_are_not_followed() {
        let url =
            serve("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", "");
        assert_eq!(get(&url).await, Err(UpstreamError::Status(302)));
    }

    #[actix_web::test]
    async fn a_host_that_hangs_takes_no_place_from_others() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent: Url = format!("http://{}/", silent.local_addr().unwrap()).parse().unwrap();
        let client = HttpClient::with_limits(SHORT);
        let hanging = futures_util::future::join_all(
            (0..=AT_ONCE).map(|_| client.get_json::<serde_json::Value>(&silent, None)),
        );
        let url = serve("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}", "");
        let other = client.get_json::<serde_json::Value>(&url, None);
        let (hung, answer) = futures_util::join!(hanging, other);
        assert!(hung.iter().all(Result::is_err));
        assert_eq!(answer.unwrap()["a"], 1);
    }

    #[actix_web::test]
    async fn nobody_there_is_unreachable() {
        let url = "http://127.0.0.1:1/".parse().unwrap();
        assert_eq!(get(&url).await, Err(UpstreamError::Unreachable("no connection")));
        let garbage = serve("ssh-2.0 hello\r\n\r\n", "");
        assert!(get(&garbage).await.is_err());
    }
}
