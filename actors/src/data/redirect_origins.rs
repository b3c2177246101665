//! The web origins of registered redirect URIs: pages of an app may call the endpoints that give it tokens (CORS).

use crate::engine::{ReadTx, WriteTx};
use crate::error::StoreError;
use crate::message::ReadOp;
use crate::{statements, values};

statements! {
    FORGET_ORIGINS = "DELETE FROM redirect_origins WHERE service_id = $1";
    REMEMBER_ORIGIN = "INSERT INTO redirect_origins (origin, service_id) VALUES ($1, $2) \
        ON CONFLICT (origin, service_id) DO NOTHING";
    KNOWN_ORIGIN = "SELECT 1 FROM redirect_origins WHERE origin = $1 LIMIT 1";
}

/// The longest origin that is looked at: a host name of 253 characters with scheme and port fits.
const LONGEST: usize = 270;

/// Keeps the origins of a service as its redirect URIs are.
pub(crate) fn remember(
    tx: &mut WriteTx<'_>,
    service_id: i64,
    redirect_uris: &[String],
) -> Result<(), StoreError> {
    forget(tx, service_id)?;
    for origin in redirect_uris.iter().filter_map(|uri| origin_of(uri)) {
        tx.execute(REMEMBER_ORIGIN, values![with_any_port(&origin), service_id])?;
    }
    Ok(())
}

/// Forgets the origins of a service that is deleted.
pub(crate) fn forget(tx: &mut WriteTx<'_>, service_id: i64) -> Result<(), StoreError> {
    tx.execute(FORGET_ORIGINS, values![service_id])?;
    Ok(())
}

/// Did a live service register a redirect URI of this origin?
#[derive(Debug, Clone)]
pub struct IsRedirectOrigin {
    /// As a browser sends it (RFC 6454, section 6.2).
    pub origin: String,
}

impl ReadOp for IsRedirectOrigin {
    type Output = bool;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<bool, StoreError> {
        // An origin of a browser is in its one form already; anything else is none.
        if origin_of(&self.origin).as_ref() != Some(&self.origin) {
            return Ok(false);
        }
        Ok(tx.optional(KNOWN_ORIGIN, values![with_any_port(&self.origin)], |_| Ok(()))?.is_some())
    }
}

/// The origin of a redirect URI as a browser would send it; none for a native app's.
#[must_use]
pub fn origin_of(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?.to_ascii_lowercase();
    let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    let sound = !authority.is_empty() && !authority.ends_with(':') && authority.bytes().all(plain);
    (sound && uri.len() <= 2048 && authority.len() <= LONGEST).then(|| format!("{scheme}://{authority}"))
}

/// A redirect to a loopback address may name any port (RFC 8252, section 7.3), so its origin has any port as well.
fn with_any_port(origin: &str) -> &str {
    ["http://127.0.0.1", "http://[::1]"]
        .into_iter()
        .find(|loopback| {
            origin.strip_prefix(loopback).is_some_and(|port| port.is_empty() || port.starts_with(':'))
        })
        .unwrap_or(origin)
}
