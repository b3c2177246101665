//! The certificate of the listening socket: two files or none.

use std::sync::Arc;

use url::Url;

use super::Mode;
use super::keys::{self, Key};
use super::problems::Wrong;
use super::reader::Reader;
use super::source::Source;
use crate::edge::certificate::{PairError, Shown, TlsFiles};

/// None: connections are plain, and a proxy ends TLS.
pub(super) fn read(
    reader: &mut Reader<'_>,
    source: &dyn Source,
    (mode, base_url): (Mode, Option<&Url>),
) -> Option<Arc<Shown>> {
    let (certificate, key) = match (reader.text(keys::TLS_CERT_FILE), reader.text(keys::TLS_KEY_FILE)) {
        (None, None) => return None,
        (Some(_), None) => return lonely(reader, keys::TLS_CERT_FILE, keys::TLS_KEY_FILE),
        (None, Some(_)) => return lonely(reader, keys::TLS_KEY_FILE, keys::TLS_CERT_FILE),
        (Some(certificate), Some(key)) => (certificate, key),
    };
    if mode == Mode::Dev {
        // The provider of dev mode is asked by the service itself, over plain HTTP on loopback.
        let wrong = Wrong::new("is for production, dev mode is plain HTTP", "unset it, or leave out --dev");
        reader.wrong(keys::TLS_CERT_FILE, wrong);
        return None;
    }
    let files = TlsFiles { certificate: source.folder().join(certificate), key: source.folder().join(key) };
    let shown = Shown::open(files);
    for error in shown.as_ref().err().into_iter().flatten() {
        let (key, what, fix) = match error {
            PairError::Certificate(what) => {
                let fix = "name a PEM file with the certificate and those between it and the root";
                (keys::TLS_CERT_FILE, what, fix)
            }
            PairError::Key(what) => {
                (keys::TLS_KEY_FILE, what, "name a PEM file with the private key of the certificate")
            }
        };
        reader.wrong(key, Wrong::new(what.clone(), fix));
    }
    // Whoever ends TLS is reached by https.
    if base_url.is_some_and(|url| url.scheme() != "https") {
        let what = "is not https, while TLS_CERT_FILE is set";
        reader.wrong(keys::BASE_URL, Wrong::new(what, "set the address that the certificate is for"));
    }
    shown.ok().map(Arc::new)
}

fn lonely(reader: &mut Reader<'_>, set: Key, missing: Key) -> Option<Arc<Shown>> {
    let what = format!("is missing, while {} is set", set.name);
    reader.wrong(missing, Wrong::new(what, "set both, or neither"));
    None
}
