//! Redirect URIs: which are registered, and how an answer is attached to one.

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;

/// The registered URI that `given` matches: character for character (RFC 9700, section 4.1.3), except that the port
/// of a registered loopback address may differ (RFC 8252, section 7.3).
#[must_use]
pub fn registered<'r>(registered: &'r [String], given: &str) -> Option<&'r String> {
    registered.iter().find(|uri| *uri == given).or_else(|| {
        let given = loopback_without_port(given)?;
        registered.iter().find(|uri| loopback_without_port(uri) == Some(given))
    })
}

/// Splits `http://127.0.0.1:8080/path` into its host and its path. Text only: nothing is decoded or normalized, so
/// nothing can be smuggled through a parser.
fn loopback_without_port(uri: &str) -> Option<(&'static str, &str)> {
    let (host, rest) = ["http://127.0.0.1", "http://[::1]"]
        .into_iter()
        .find_map(|host| uri.strip_prefix(host).map(|rest| (host, rest)))?;
    let path = match rest.strip_prefix(':') {
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (port, path) = rest.split_at_checked(digits)?;
            port.parse::<u16>().ok().filter(|port| *port > 0)?;
            path
        }
        None => rest,
    };
    path.starts_with('/').then_some((host, path))
}

/// Whether a URI can be registered at all: https, loopback http, or a private-use scheme with a dot
/// (RFC 8252, section 7.1); no fragment, no user information, nothing that already answers for us.
#[must_use]
pub fn is_acceptable(uri: &str) -> bool {
    let Ok(url) = url::Url::parse(uri) else { return false };
    let printable =
        uri.bytes().all(|byte| (0x21..0x7f).contains(&byte)) && !uri.contains(['*', '\\', '#', '"']);
    let clean = has_plain_authority(uri, &url) && url.fragment().is_none();
    let reserved = ["code", "state", "iss", "error", "response"];
    let unpolluted = url.query_pairs().all(|(name, _)| !reserved.contains(&&*name));
    let scheme = match url.scheme() {
        "https" => url.host_str().is_some_and(|host| !host.is_empty()),
        "http" => matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost")),
        private_use => private_use.contains('.'),
    };
    printable && clean && unpolluted && scheme && uri.len() <= 1024
}

/// Whether host and port are written out and stand alone (RFC 3986, section 3.2). Of text, since parsers of browsers put
/// up with `https:host` and drop an empty user name.
fn has_plain_authority(uri: &str, url: &url::Url) -> bool {
    let rest = uri.get(url.scheme().len() + 1..).unwrap_or_default();
    match rest.strip_prefix("//") {
        Some(rest) => !rest.split(['/', '?']).next().unwrap_or_default().contains('@'),
        None => !matches!(url.scheme(), "https" | "http"),
    }
}

/// `uri` with `params` added to its query (RFC 6749, section 4.1.2). The registered part stays as it was written.
#[must_use]
pub fn with_params(uri: &str, params: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}{query}")
}

/// 303: whatever the method was, the browser goes on with GET (RFC 9700, section 4.12).
#[must_use]
pub fn see_other(location: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, location)).finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uris(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_but_the_same_characters_matches() {
        let known = uris(&["https://app.a.test/cb"]);
        assert!(registered(&known, "https://app.a.test/cb").is_some());
        for given in [
            "https://app.a.test/cb.evil.test",
            "https://app.a.test/cbevil",
            "https://app.a.test/cb/../x",
            "https://app.a.test.evil.test/cb",
            "https://app.a.test/cb/..%2f..%2fevil",
            "https://app.a.test/cb;x=1",
            "https://app.a.test@evil.test/cb",
            "https://app.a.test\\@evil.test/cb",
            "https:/\\evil.test",
            "//evil.test",
            "/\tevil.test",
            "https://appXa.test/cb",
            "https://app.a.test/cb/",
            "https://app.a.test:443/cb",
            "https://app.a.test/cb?x=1",
            "https://app.a.test/cb#",
            "HTTPS://app.a.test/cb",
            "https://app.a.test/c\u{ff42}",
            "",
        ] {
            assert!(registered(&known, given).is_none(), "{given}");
        }
    }

    #[test]
    fn loopback_takes_any_port_and_nothing_else() {
        let known = uris(&["http://127.0.0.1/cb", "http://[::1]:1/cb"]);
        for given in
            ["http://127.0.0.1/cb", "http://127.0.0.1:49152/cb", "http://[::1]:8080/cb", "http://[::1]/cb"]
        {
            assert!(registered(&known, given).is_some(), "{given}");
        }
        for given in [
            "http://localhost:1/cb",
            "http://127.0.0.1:1/cb/",
            "http://127.0.0.1:1/other",
            "http://127.0.0.1:1/cb?x=1",
            "http://127.0.0.1:80@evil.test/cb",
            "http://127.0.0.1@evil.test/cb",
            "http://127.0.0.1.evil.test/cb",
            "http://127.0.0.1:99999/cb",
            "http://127.0.0.1:/cb",
            "http://127.0.0.2/cb",
            "https://127.0.0.1/cb",
        ] {
            assert!(registered(&known, given).is_none(), "{given}");
        }
    }

    #[test]
    fn what_can_be_registered() {
        for uri in
            ["https://a.test/cb", "http://127.0.0.1/cb", "http://localhost:3000/cb", "com.example.app:/cb"]
        {
            assert!(is_acceptable(uri), "{uri}");
        }
        for uri in [
            "http://a.test/cb",
            "https://a.test/*",
            "https://a.test/cb#x",
            "https://u@a.test/cb",
            "https://@a.test/cb",
            "https:a.test/cb",
            "com.example.app://@",
            "https://a.test/cb?code=x",
            "javascript:alert(1)",
            "data:text/html,x",
            "myapp:/cb",
            "/cb",
            "https://a.test/\u{e9}",
        ] {
            assert!(!is_acceptable(uri), "{uri}");
        }
    }

    proptest! {
        #[test]
        fn params_come_back_as_they_were(state in ".{0,60}") {
            for base in ["https://a.test/cb", "https://a.test/cb?t=1"] {
                let location = with_params(base, &[("code", "c"), ("state", &state)]);
                prop_assert!(location.starts_with(base));
                let url = url::Url::parse(&location).unwrap();
                let read = url.query_pairs().find(|(name, _)| name == "state").map(|(_, value)| value.into_owned());
                prop_assert_eq!(read, Some(state.clone()));
                prop_assert_eq!(location.matches('?').count(), 1);
            }
        }

        #[test]
        fn only_loopback_may_differ(given in "(http|https)://[a-z0-9.:@/\\[\\]]{0,40}") {
            let known = uris(&["https://app.a.test/cb", "http://127.0.0.1/cb"]);
            if registered(&known, &given).is_some() {
                let url = url::Url::parse(&given).unwrap();
                prop_assert!(given == known[0] || (url.host_str() == Some("127.0.0.1") && url.path() == "/cb"));
            }
        }
    }
}
