//! What a request says beside its parameters: addresses, dialects, days, where to go back to.

use std::net::IpAddr;

use actix_web::http::header::HeaderValue;
use actix_web::test::TestRequest;
use ipnet::IpNet;
use url::Url;

use super::{lines, text};
use crate::http::address::{client_address, limit_key};
use crate::http::days::{day, range, written};
use crate::http::dialect::Dialect;
use crate::http::input::Params;
use crate::http::redirect::{is_acceptable, registered, with_params};

/// The peer, the trusted networks separated by commas, and one `X-Forwarded-For` in each other line.
pub(super) fn forwarded_for(data: &[u8]) {
    let Some([peer, trusted, headers]) = lines::<3>(data) else { return };
    let Ok(peer) = peer.parse::<IpAddr>() else { return };
    let trusted: Vec<IpNet> = trusted.split(',').filter_map(|net| net.parse().ok()).collect();
    let mut request = TestRequest::default().peer_addr((peer, 1).into());
    for header in headers.split('\n') {
        let Ok(value) = HeaderValue::from_str(header) else { return };
        request = request.append_header(("x-forwarded-for", value));
    }
    let client = client_address(&request.to_http_request(), &trusted).unwrap();
    let peer = peer.to_canonical();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    if client != peer {
        assert!(is_trusted(&peer), "a stranger was believed");
        let entries = headers.split(['\n', ',']).filter_map(|entry| entry.trim().parse::<IpAddr>().ok());
        assert!(entries.into_iter().any(|entry| entry.to_canonical() == client), "nobody said so");
    }
    let key = limit_key(client);
    assert_eq!(limit_key(key), key);
}

/// A path and an `Accept`.
pub(super) fn dialect(data: &[u8]) {
    let Some([path, accept]) = lines::<2>(data) else { return };
    let dialect = Dialect::of(path, accept);
    if path.starts_with("/api/") {
        assert_eq!(dialect, Dialect::Api);
    }
    if path.starts_with("/oauth/token") {
        assert_eq!(dialect, Dialect::OAuth);
    }
}

/// A query with `start_date` and `end_date`.
pub(super) fn days(data: &[u8]) {
    let Some(params) = text(data).and_then(|query| Params::from_query(query).ok()) else { return };
    if let Ok(Some(first)) = day(&params, "start_date") {
        assert_eq!(params.get("start_date"), Some(written(first).as_str()), "one way to write a day");
    }
    if let Ok(days) = range(&params, 1_800_000_000_000) {
        assert!((0..366).contains(&(days.last - days.first)));
    }
}

/// A URI to register, one that is presented, and a state.
pub(super) fn redirect_uri(data: &[u8]) {
    let Some([uri, given, state]) = lines::<3>(data) else { return };
    if !is_acceptable(uri) {
        return;
    }
    let list = [uri.to_owned()];
    assert_eq!(registered(&list, uri).map(String::as_str), Some(uri));
    let before = Url::parse(uri).unwrap();
    if registered(&list, given).is_some() && given != uri {
        let other = Url::parse(given).unwrap();
        assert_eq!((before.scheme(), before.host()), ("http", other.host()), "only loopback may differ");
        assert!(matches!(before.host_str(), Some("127.0.0.1" | "[::1]")));
        assert_eq!((before.scheme(), before.path()), (other.scheme(), other.path()));
        assert_eq!(before.query(), other.query());
        assert!(is_acceptable(given), "what matches is not acceptable itself");
    }
    let answer = with_params(uri, &[("code", "c"), ("state", state), ("iss", "https://id.test")]);
    assert!(HeaderValue::from_str(&answer).is_ok());
    let after = Url::parse(&answer).unwrap();
    assert_eq!(
        (before.scheme(), before.host(), before.port(), before.path()),
        (after.scheme(), after.host(), after.port(), after.path())
    );
    assert_eq!(after.fragment(), None);
    let values = |name: &str| {
        let named = after.query_pairs().filter(|(key, _)| key == name);
        named.map(|(_, value)| value.into_owned()).collect::<Vec<_>>()
    };
    assert_eq!((values("code"), values("state")), (vec!["c".to_owned()], vec![state.to_owned()]));
}
