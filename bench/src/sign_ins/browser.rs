//! A browser as far as a sign-in needs one: a connection that is kept, cookies, and redirects that the caller follows.

use std::fmt::Write;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode, http};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Failure;

const FORM: &str = "application/x-www-form-urlencoded";
const ACCEPT: &str = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) gatehouse-bench";

/// One visitor of one service.
pub struct Browser {
    host: String,
    origin: String,
    connection: Option<SendRequest<Full<Bytes>>>,
    /// By name. All of this service's are for its whole host, so nothing else about them matters.
    cookies: Vec<(String, String)>,
}

/// What the service answered, its status checked.
pub struct Answer {
    /// Where a redirect leads, empty without one.
    pub location: String,
    pub body: Bytes,
}

impl Browser {
    /// A browser for the service at `host` (with its port); it connects when it is first used.
    pub fn new(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            origin: format!("http://{host}"),
            connection: None,
            cookies: Vec::new(),
        }
    }

    /// Where the service is: `http://HOST:PORT`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// As a new window of a browser that nobody has used.
    pub fn forget(&mut self) {
        self.cookies.clear();
    }

    /// Opens an address of the service, which must answer with `expected`; `step` names this in a failure.
    pub async fn get(&mut self, step: &str, address: &str, expected: StatusCode) -> Result<Answer, Failure> {
        let request = self.navigation("GET", self.path(step, address)?);
        self.send(step, request.body(Full::default()), expected).await
    }

    /// Submits a form of one of the service's pages.
    pub async fn submit(
        &mut self,
        step: &str,
        path: &str,
        form: String,
        expected: StatusCode,
    ) -> Result<Answer, Failure> {
        let request = self
            .navigation("POST", path)
            .header(header::ORIGIN, &self.origin)
            .header("sec-fetch-site", "same-origin")
            .header(header::CONTENT_TYPE, FORM);
        self.send(step, request.body(Full::from(form)), expected).await
    }

    /// Posts a form as the app's own server does: it is no browser and has no cookies.
    pub async fn post_as_app(
        &mut self,
        step: &str,
        path: &str,
        form: String,
        expected: StatusCode,
    ) -> Result<Answer, Failure> {
        let request = Request::post(path)
            .header(header::HOST, &self.host)
            .header(header::ACCEPT, "*/*")
            .header(header::CONTENT_TYPE, FORM);
        self.send(step, request.body(Full::from(form)), expected).await
    }

    /// The path and query of an address, which must be one of this service.
    fn path<'a>(&self, step: &str, address: &'a str) -> Result<&'a str, Failure> {
        let path = address.strip_prefix(&self.origin).unwrap_or(address);
        if path.starts_with('/') {
            Ok(path)
        } else {
            Err(Failure::new(step, format_args!("{address} is no address of {}", self.origin)))
        }
    }

    fn navigation(&self, method: &str, path: &str) -> http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::ACCEPT, ACCEPT)
            .header(header::USER_AGENT, USER_AGENT)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document");
        if self.cookies.is_empty() {
            return request;
        }
        let mut line = String::new();
        for (name, value) in &self.cookies {
            let separator = if line.is_empty() { "" } else { "; " };
            let _ = write!(line, "{separator}{name}={value}"); // into a String: cannot fail
        }
        request.header(header::COOKIE, line)
    }

    async fn send(
        &mut self,
        step: &str,
        request: http::Result<Request<Full<Bytes>>>,
        expected: StatusCode,
    ) -> Result<Answer, Failure> {
        let request = request.map_err(|error| Failure::new(step, error))?;
        let connection = self.connected(step).await?;
        let answer = connection.send_request(request).await.map_err(|error| Failure::new(step, error))?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| Failure::new(step, error))?.to_bytes();
        if head.status != expected {
            let text = String::from_utf8_lossy(&body);
            let beginning: String = text.chars().take(300).collect();
            let problem = format!("{} instead of {expected}: {beginning}", head.status);
            return Err(Failure::new(step, problem));
        }
        self.keep_cookies(&head.headers);
        let location = head.headers.get(header::LOCATION).map(HeaderValue::to_str).transpose();
        let location = location.map_err(|error| Failure::new(step, error))?.unwrap_or_default().to_owned();
        Ok(Answer { location, body })
    }

    /// The connection, made anew when there is none or the service closed it.
    async fn connected(&mut self, step: &str) -> Result<&mut SendRequest<Full<Bytes>>, Failure> {
        let kept = match self.connection.take() {
            Some(mut connection) => connection.ready().await.ok().map(|()| connection),
            None => None,
        };
        let connection = match kept {
            Some(connection) => connection,
            None => connect(&self.host).await.map_err(|error| Failure::new(step, error))?,
        };
        Ok(self.connection.insert(connection))
    }

    fn keep_cookies(&mut self, headers: &HeaderMap) {
        for line in headers.get_all(header::SET_COOKIE) {
            let Ok(line) = line.to_str() else { continue };
            let mut parts = line.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            self.cookies.retain(|(kept, _)| kept != name);
            if !parts.any(|attribute| attribute.eq_ignore_ascii_case("max-age=0")) {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }
}

async fn connect(host: &str) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its errors reach whoever waits for the answer.
    tokio::spawn(connection);
    Ok(sender)
}
