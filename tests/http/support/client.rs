//! Requests, answers, and a browser that keeps cookies.

use std::collections::BTreeMap;

use awc::http::header::HeaderMap;
use serde_json::Value;
use url::Url;

use super::World;

/// A request on its way to be sent.
pub(crate) struct Request {
    inner: awc::ClientRequest,
    body: Vec<u8>,
}

impl Request {
    pub(super) fn new(inner: awc::ClientRequest) -> Self {
        Self { inner, body: Vec::new() }
    }

    /// Adds a header, also a second one of the same name.
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self { inner: self.inner.append_header((name, value)), ..self }
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn form(self, pairs: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.body("application/x-www-form-urlencoded", body)
    }

    pub(crate) fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let request = self.header("content-type", content_type);
        Self { body: body.into(), ..request }
    }

    pub(crate) async fn send(self) -> Answer {
        let method = self.inner.get_method().clone();
        let what = format!("{method} {}", self.inner.get_uri());
        let sent = if self.body.is_empty() { self.inner.send() } else { self.inner.send_body(self.body) };
        let mut response = sent.await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let body = response.body().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        Answer {
            what,
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) what: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// Fails, with everything there is to know, unless the status is this.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} was answered: {}", self.what, self.body);
        self
    }

    /// Fails unless this is an error of this status with this `error_code`.
    #[track_caller]
    pub(crate) fn expect_error(self, status: u16, error_code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.json()["error_code"], error_code, "{} was answered: {}", answer.what, answer.body);
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| {
            panic!("{} was answered with no JSON ({error}): {}", self.what, self.body)
        })
    }

    #[track_caller]
    pub(crate) fn text(&self, member: &str) -> String {
        let json = self.json();
        json[member].as_str().unwrap_or_else(|| panic!("{}: no {member} in {json}", self.what)).to_owned()
    }

    #[track_caller]
    pub(crate) fn location(&self) -> Url {
        let location = self.header("location").unwrap_or_else(|| panic!("{}: no Location", self.what));
        Url::parse("http://relative.example").unwrap().join(location).unwrap()
    }
}

/// The value of a query parameter.
pub(crate) fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Keeps cookies; follows nothing by itself.
#[derive(Default)]
pub(crate) struct Browser {
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(crate) async fn get(&mut self, world: &World, target: &str) -> Answer {
        self.send(world.get(target)).await
    }

    pub(crate) async fn post(&mut self, world: &World, target: &str, form: &[(&str, &str)]) -> Answer {
        self.send(world.post(target).form(form)).await
    }

    async fn send(&mut self, request: Request) -> Answer {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if pairs.is_empty() { request } else { request.header("cookie", &pairs.join("; ")) };
        let answer = request.header("accept", "text/html").send().await;
        for cookie in answer.headers.get_all("set-cookie") {
            let text = cookie.to_str().unwrap();
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            if text.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }
}
