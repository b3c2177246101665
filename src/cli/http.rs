//! The few requests that commands make: bounded in time and size, no redirects.

use std::sync::Arc;
use std::time::Duration;

use actix_web::rt::time::timeout;
use awc::error::SendRequestError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use serde_json::{Map, Value};
use url::Url;

/// The most bytes of an answer that are read.
const MOST_BYTES: usize = 256 * 1024;

/// Why there is no answer. Never holds anything of the request.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("no answer in time")]
    Timeout,
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("the connection broke")]
    Broken,
}

/// An answer, whatever its status.
pub(super) struct Answer {
    /// The status code.
    pub(super) status: u16,
    body: Vec<u8>,
}

impl Answer {
    #[cfg(test)]
    pub(super) fn of(status: u16, body: &str) -> Self {
        Self { status, body: body.as_bytes().to_vec() }
    }

    /// The body, if it is a JSON object.
    pub(super) fn object(&self) -> Option<Map<String, Value>> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// An HTTP client for one actix system.
pub(super) struct Http {
    client: awc::Client,
    patience: Duration,
}

impl Http {
    /// A client whose requests take at most `patience`.
    pub(super) fn new(patience: Duration) -> Self {
        Self::with(None, patience)
    }

    /// The same for the service on this machine. Its certificate is for its public name, and who could answer at its
    /// address in its stead could also do so without TLS.
    pub(super) fn of_this_machine(patience: Duration) -> Self {
        Self::with(Some(any_certificate()), patience)
    }

    fn with(tls: Option<ClientConfig>, patience: Duration) -> Self {
        crate::upstream::install_crypto_provider();
        let connector = awc::Connector::new();
        let connector = match tls {
            Some(tls) => connector.rustls_0_23(Arc::new(tls)),
            None => connector,
        };
        let client = awc::Client::builder()
            .connector(connector)
            .timeout(patience)
            // RFC 9700 section 4.12: a redirect would carry codes and tokens to wherever it points.
            .disable_redirects()
            .add_default_header((awc::http::header::ACCEPT, "application/json"))
            .add_default_header((
                awc::http::header::USER_AGENT,
                concat!("gatehouse/", env!("CARGO_PKG_VERSION")),
            ))
            .finish();
        Self { client, patience }
    }

    /// Gets a document.
    pub(super) async fn get(&self, url: &Url) -> Result<Answer, HttpError> {
        self.bounded(self.client.get(url.as_str()).send()).await
    }

    /// Posts a form.
    pub(super) async fn post(&self, url: &Url, form: &[(&str, &str)]) -> Result<Answer, HttpError> {
        self.bounded(self.client.post(url.as_str()).send_form(&form)).await
    }

    /// Posts nothing, with an `Authorization`.
    pub(super) async fn post_empty(&self, url: &Url, authorization: &str) -> Result<Answer, HttpError> {
        let request = self.client.post(url.as_str()).insert_header(("authorization", authorization));
        self.bounded(request.content_type("application/json").send()).await
    }

    /// Posts JSON, with one more header.
    pub(super) async fn post_json(
        &self,
        url: &Url,
        body: Vec<u8>,
        header: (&str, &str),
    ) -> Result<Answer, HttpError> {
        let request = self.client.post(url.as_str()).insert_header(header);
        self.bounded(request.content_type("application/json").send_body(body)).await
    }

    // awc's own timer ends with the headers: this one covers the body as well.
    async fn bounded(&self, request: awc::SendClientRequest) -> Result<Answer, HttpError> {
        let whole = async {
            let mut response = request.await.map_err(|error| match error {
                SendRequestError::Timeout => HttpError::Timeout,
                SendRequestError::Connect(error) => HttpError::Connect(error.to_string()),
                _ => HttpError::Broken,
            })?;
            let body = response.body().limit(MOST_BYTES).await.map_err(|_| HttpError::Broken)?;
            Ok(Answer { status: response.status().as_u16(), body: body.to_vec() })
        };
        timeout(self.patience, whole).await.map_err(|_| HttpError::Timeout)?
    }
}

fn any_certificate() -> ClientConfig {
    let verifier = AnyCertificate(ring::default_provider());
    ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth()
}

/// Takes any certificate whose key the other side has.
#[derive(Debug)]
struct AnyCertificate(CryptoProvider);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
