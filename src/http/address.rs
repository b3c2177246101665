//! Where a request comes from. Forwarded headers count only when a trusted proxy sent them.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::USER_AGENT;
use gatehouse_actors::data::login_events::SeenFrom;
use ipnet::IpNet;

use crate::state::App;

/// The address of the client, as far as it can be trusted. `X-Forwarded-For` is read from the right: each trusted
/// proxy vouches for the entry before its own; the first untrusted one is the client.
#[must_use]
pub fn client_address(request: &HttpRequest, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let mut client = peer;
    let headers: Vec<_> = request.headers().get_all("x-forwarded-for").collect();
    let entries =
        headers.iter().rev().filter_map(|value| value.to_str().ok()).flat_map(|text| text.rsplit(','));
    for entry in entries {
        let Ok(address) = entry.trim().parse::<IpAddr>() else { break };
        client = address.to_canonical();
        if !is_trusted(&client) {
            break;
        }
    }
    Some(client)
}

/// What is kept of a user agent, in characters.
const USER_AGENT_LENGTH: usize = 200;

/// What the client calls itself, cut to a bounded length. Says nothing that can be relied on.
#[must_use]
pub fn user_agent(request: &HttpRequest) -> String {
    let text = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.chars().take(USER_AGENT_LENGTH).collect()
}

/// From where a sign-in comes, for its event.
#[must_use]
pub fn seen_from(app: &App, request: &HttpRequest) -> SeenFrom {
    SeenFrom {
        ip_address: client_address(request, &app.config.trusted_proxies)
            .map(|address| address.to_string())
            .unwrap_or_default(),
        user_agent: user_agent(request),
    }
}

/// The address as a key for limits: an IPv6 client owns its whole /64.
#[must_use]
pub fn limit_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut request = TestRequest::default().peer_addr(format!("{peer}:1").parse().unwrap());
        for value in forwarded {
            request = request.append_header(("x-forwarded-for", *value));
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client_address(&request.to_http_request(), &trusted).unwrap().to_string()
    }

    #[test]
    fn forwarded_headers_of_strangers_do_not_count() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"], &[]), "203.0.113.9");
        assert_eq!(client("203.0.113.9", &["198.51.100.1"], &["10.0.0.0/8"]), "203.0.113.9");
    }

    #[test]
    fn the_first_untrusted_from_the_right_is_the_client() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.2"], &trusted), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["1.1.1.1", "198.51.100.7"], &trusted), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["nonsense"], &trusted), "10.0.0.1");
        assert_eq!(client("[::ffff:10.0.0.1]", &["198.51.100.7"], &trusted), "198.51.100.7");
    }

    #[test]
    fn ipv6_is_limited_by_its_network() {
        let key = |text: &str| limit_key(text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2:3::4"), key("2001:db8:1:2:ffff::"));
        assert_ne!(key("2001:db8:1:2::"), key("2001:db8:1:3::"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
    }
}
