//! The certificate and its private key: two files, read together, proved to belong together.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use gatehouse_actors::clock::Millis;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, InconsistentKeys, ServerConfig};
use zeroize::Zeroizing;

use super::validity::validity;

/// Where the certificate and its key are, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those between it and the root.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// The file of the certificate.
    #[error("the certificate {0}")]
    Certificate(String),
    /// The file of the key.
    #[error("the key {0}")]
    Key(String),
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Pair {
    key: Arc<CertifiedKey>,
    /// From when the certificate is good.
    pub not_before: Millis,
    /// Until when the certificate is good.
    pub not_after: Millis,
}

impl Pair {
    /// Reads both files. What is wrong is told of both at once.
    pub fn read(files: &TlsFiles) -> Result<Self, Vec<PairError>> {
        let chain = read_chain(&files.certificate).map_err(PairError::Certificate);
        let key = read_key(&files.key).map_err(PairError::Key);
        let (chain, key) = match (chain, key) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => return Err(chain.err().into_iter().chain(key.err()).collect()),
        };
        let dates = chain.first().and_then(|certificate| validity(certificate));
        let Some((not_before, not_after)) = dates else {
            return Err(vec![PairError::Certificate("cannot be read: it has no dates".to_owned())]);
        };
        let key =
            CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| vec![unfit(&error)])?;
        Ok(Self { key: Arc::new(key), not_before, not_after })
    }

    /// Whether it is the same certificate.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = fs::read(path).map_err(|error| unreadable(path, &error))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("is not PEM: {}: {error}", path.display()))?;
    if chain.is_empty() { Err(format!("is not in the file: {}", path.display())) } else { Ok(chain) }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = Zeroizing::new(fs::read(path).map_err(|error| unreadable(path, &error))?);
    // What the parser says could quote the key.
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| format!("is not in the file, or is encrypted: {}", path.display()))
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("cannot be read: {}: {error}", path.display())
}

fn unfit(error: &Error) -> PairError {
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            PairError::Key("belongs to another certificate".to_owned())
        }
        Error::InvalidCertificate(error) => PairError::Certificate(format!("cannot be used: {error}")),
        _ => PairError::Key("is of a kind that cannot be used".to_owned()),
    }
}

/// The certificate that is shown to clients, and where it came from.
#[derive(Debug)]
pub struct Shown {
    files: TlsFiles,
    pair: RwLock<Pair>,
}

/// When files were last written and how long they are: what makes a look at them worth while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp([Option<(SystemTime, u64)>; 2]);

impl Shown {
    /// What the files hold.
    pub fn open(files: TlsFiles) -> Result<Self, Vec<PairError>> {
        let pair = RwLock::new(Pair::read(&files)?);
        Ok(Self { files, pair })
    }

    /// Until when it is good.
    #[must_use]
    pub fn not_after(&self) -> Millis {
        self.pair().not_after
    }

    /// Where it comes from.
    pub(super) fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// What is shown now.
    pub(super) fn pair(&self) -> Pair {
        self.pair.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows another one from the next handshake on. Connections that are open go on.
    pub(super) fn replace(&self, pair: Pair) {
        *self.pair.write().unwrap_or_else(PoisonError::into_inner) = pair;
    }

    /// What the files look like from outside.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp([&self.files.certificate, &self.files.key].map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        }))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair().key)
    }
}

/// TLS 1.2 and 1.3, HTTP/1.1, the certificate that is shown at the moment.
pub fn server_config(shown: Arc<Shown>) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(shown);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Whoever comes back needs no new handshake, and nothing is kept for them here. The keys change by themselves.
    config.ticketer = Ticketer::new()?;
    Ok(Arc::new(config))
}
