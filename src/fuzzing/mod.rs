//! What `make fuzz` tries: every parser of bytes that a stranger, a tenant or a provider chooses, each with what must hold
//! of it whatever the bytes are. Compiled for the fuzzer (`--cfg fuzzing`) and for the tests, which replay the corpus.
//!
//! Parsers that only their own folder can see have their target there, in a file of the same name.

#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a property that does not hold must fail"
)]

mod keys;
#[cfg(test)]
mod replay;
mod requests;
mod sealed;
mod tokens;
mod words;

use crate::{billing, config, events, http, login, services, upstream, webhooks};

/// One fuzz target. Its name is also the name of its corpus.
#[derive(Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($name:literal => $run:path,)+) => {
        /// Every target there is.
        pub const TARGETS: &[Target] = &[$(Target { name: $name, run: $run }),+];
    };
}

targets! {
    "access_token" => tokens::access_token,
    "address_policy" => upstream::fuzzing::address_policy,
    "authorization_request" => login::fuzzing::authorization_request,
    "backup" => sealed::backup,
    "basic_credentials" => http::fuzzing::basic_credentials,
    "checkout" => billing::fuzzing::checkout,
    "client_assertion" => http::fuzzing::client_assertion,
    "client_keys" => keys::client_keys,
    "cookie" => sealed::cookie,
    "cursor" => events::fuzzing::cursor,
    "days" => requests::days,
    "dialect" => requests::dialect,
    "discovery" => upstream::fuzzing::discovery,
    "dpop" => http::fuzzing::dpop,
    "forwarded_for" => requests::forwarded_for,
    "id_token" => upstream::fuzzing::id_token,
    "money" => words::money,
    "opaque_token" => tokens::opaque_token,
    "parameters" => http::fuzzing::parameters,
    "profile" => upstream::fuzzing::profile,
    "provider_keys" => upstream::fuzzing::provider_keys,
    "redirect_uri" => requests::redirect_uri,
    "service" => services::fuzzing::service,
    "settings" => config::fuzzing::settings,
    "stripe_event" => words::stripe_event,
    "stripe_signature" => billing::fuzzing::stripe_signature,
    "token_answer" => upstream::fuzzing::token_answer,
    "webhook" => webhooks::fuzzing::webhook,
    "words" => words::words,
}

/// The target of that name.
#[must_use]
pub fn named(name: &str) -> Option<Target> {
    TARGETS.iter().find(|target| target.name == name).copied()
}

/// The input as text, if it is some.
pub(crate) fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// The first `N - 1` lines, and all the rest as the last: several texts in one file that people can read.
pub(crate) fn lines<const N: usize>(data: &[u8]) -> Option<[&str; N]> {
    let mut parts = text(data)?.splitn(N, '\n');
    let lines = [(); N].map(|()| parts.next());
    lines.iter().all(Option::is_some).then(|| lines.map(Option::unwrap_or_default))
}

/// `original` with some of its bytes changed as the rest of the input says: pairs of a place and what to add there.
pub(crate) fn changed(original: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for change in changes.as_chunks::<3>().0 {
        let place = usize::from(u16::from_be_bytes([change[0], change[1]])) % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(place) {
            *byte = byte.wrapping_add(change[2]);
        }
    }
    bytes
}
