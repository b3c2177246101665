//! One call to Stripe.

use oauth2::http::{Method, Request, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use stripe_client_core::{RequestBuilder, StripeMethod};
use thiserror::Error;

use crate::config::secret::Secret;
use crate::upstream::{HttpClient, UpstreamError};

/// Why a call brought no answer. Fit for a log: no secret, nothing personal.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum StripeError {
    /// No answer, or none of Stripe's.
    #[error(transparent)]
    NoAnswer(#[from] UpstreamError),
    /// Stripe refuses; `code` is its own word, such as `resource_missing`.
    #[error("status {status}, {code}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The error's `code` or `type`.
        code: String,
    },
}

impl StripeError {
    /// Whether Stripe says that there is no such object.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

/// Stripe's API with one key.
pub struct Stripe<'k> {
    /// Carries the requests.
    pub http: &'k HttpClient,
    /// Without a trailing slash.
    pub base: &'k str,
    /// Of the account.
    pub key: &'k Secret<String>,
}

impl Stripe<'_> {
    /// Sends what a builder of async-stripe made. With an idempotency key, sending it again changes nothing more.
    pub async fn call<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        idempotency_key: Option<&str>,
    ) -> Result<T, StripeError> {
        let response = self.http.send(self.prepare(request, idempotency_key)?).await?;
        if response.status() != StatusCode::OK {
            return Err(refused(&response));
        }
        let unreadable = |_| UpstreamError::BadAnswer("not the expected json");
        Ok(serde_json::from_slice(response.body()).map_err(unreadable)?)
    }

    fn prepare(
        &self,
        request: RequestBuilder,
        idempotency_key: Option<&str>,
    ) -> Result<Request<Vec<u8>>, UpstreamError> {
        let method = match request.method {
            StripeMethod::Get => Method::GET,
            StripeMethod::Post => Method::POST,
            StripeMethod::Delete => Method::DELETE,
        };
        let query = request.query.filter(|query| !query.is_empty());
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let bearer = header::HeaderValue::try_from(format!("Bearer {}", self.key.expose()))
            .map_err(|_| UpstreamError::BadAnswer("key is not a header value"))?;
        let mut builder = Request::builder()
            .method(method)
            .uri(format!("{}/v1{}{query}", self.base, request.path))
            .header(header::AUTHORIZATION, bearer)
            .header(header::ACCEPT, "application/json");
        if request.body.is_some() {
            builder = builder.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(key) = idempotency_key {
            builder = builder.header("idempotency-key", key);
        }
        let body = request.body.unwrap_or_default().into_bytes();
        builder.body(body).map_err(|_| UpstreamError::BadAnswer("not an address"))
    }
}

fn refused(response: &Response<Vec<u8>>) -> StripeError {
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let word = |name: &str| body.get("error")?.get(name)?.as_str().filter(|word| is_code(word));
    let code = word("code").or_else(|| word("type")).unwrap_or("no reason given").to_owned();
    StripeError::Refused { status: response.status().as_u16(), code }
}

/// Other text of an answer may hold anything, and is not repeated.
fn is_code(word: &str) -> bool {
    (1..=64).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
