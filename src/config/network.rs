//! Addresses: URLs, origins, hosts and networks, each checked for what it will be used for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use url::{Host, Url};

use super::problems::Wrong;

/// The text of a URL without its trailing slash: the form in which issuers and bases of other URLs are written.
#[must_use]
pub fn without_trailing_slash(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// True when only this machine can reach the URL's host: `localhost`, `127.0.0.0/8` or `::1`.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// True when what is sent to the URL can be read by nobody on the way: `https`, or `http` to this machine itself.
#[must_use]
pub fn is_confidential(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

/// The same as [`safe_url`], kept as it is written: redirect URIs are compared character for character.
pub(super) fn safe_text(text: &str) -> Result<String, Wrong> {
    safe_url(text).map(|_| text.to_owned())
}

/// A URL that a secret or a code may travel to: `https`, or `http` to this machine itself.
pub(super) fn safe_url(text: &str) -> Result<Url, Wrong> {
    let example = "set a full address such as https://login.example.com";
    // The URL parser drops tabs and line breaks silently, so that what is used differs from what was written.
    if text.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
        return Err(Wrong::new("holds spaces or control characters", example));
    }
    let url = Url::parse(text).map_err(|error| Wrong::new(format!("is not a URL: {error}"), example))?;
    if !is_confidential(&url) {
        return Err(Wrong::new("is not encrypted", "use https (http is for loopback hosts only)"));
    }
    if url.host_str().is_some_and(|host| host.contains('*')) {
        return Err(Wrong::new("holds a wildcard", "name each host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Wrong::new("holds a user name or password", "remove the part before the @"));
    }
    if url.fragment().is_some() {
        return Err(Wrong::new("has a fragment", "remove the # and what follows"));
    }
    Ok(url)
}

/// The base of other URLs, such as an API or an issuer: no query.
pub(super) fn base_of_urls(text: &str) -> Result<Url, Wrong> {
    let url = safe_url(text)?;
    if url.query().is_some() {
        return Err(Wrong::new("has a query", "remove the ? and what follows"));
    }
    Ok(url)
}

/// The address of a whole site: no path either. Serves `BASE_URL`.
pub(super) fn site(text: &str) -> Result<Url, Wrong> {
    let url = base_of_urls(text)?;
    if url.path() != "/" {
        return Err(Wrong::new(
            "has a path",
            "set scheme, host and port only: the service owns the whole site",
        ));
    }
    Ok(url)
}

/// An issuer is compared letter by letter, so it stays as it was written.
pub(super) fn issuer(text: &str) -> Result<String, Wrong> {
    base_of_urls(text).map(|_| text.to_owned())
}

/// A web origin (RFC 6454) in the form in which browsers send it.
pub(super) fn origin(text: &str) -> Result<String, Wrong> {
    if text == "*" || text == "null" {
        return Err(Wrong::new(
            "would let every site call the API",
            "list the origins of your own applications",
        ));
    }
    site(text).map(|url| url.origin().ascii_serialization())
}

pub(super) fn host(text: &str) -> Result<IpAddr, Wrong> {
    if text == "localhost" {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    text.trim_start_matches('[').trim_end_matches(']').parse().map_err(|_| {
        Wrong::new("is not an IP address", "set the address to listen on, such as 0.0.0.0, 127.0.0.1 or ::1")
    })
}

/// An address with a port.
pub(super) fn socket(text: &str) -> Result<SocketAddr, Wrong> {
    let text =
        text.strip_prefix("localhost").map_or_else(|| text.to_owned(), |rest| format!("127.0.0.1{rest}"));
    text.parse().map_err(|_| {
        Wrong::new("is not an IP address with a port", "set both, such as 127.0.0.1:9464 or [::1]:9464")
    })
}

pub(super) fn port(text: &str) -> Result<u16, Wrong> {
    text.parse().map_err(|_| Wrong::new("is not a port", "set a number from 0 to 65535"))
}

/// One trusted proxy: an address, or a network in CIDR notation (RFC 4632).
pub(super) fn proxy(text: &str) -> Result<IpNet, Wrong> {
    let example = "set addresses or networks such as 10.0.0.5,10.1.0.0/16";
    let network = match text.parse::<IpNet>() {
        Ok(network) => network.trunc(),
        Err(_) => text
            .parse::<IpAddr>()
            .map(IpNet::from)
            .map_err(|_| Wrong::new("holds something that is neither an address nor a network", example))?,
    };
    if network.prefix_len() == 0 {
        return Err(Wrong::new("trusts the whole internet, so anybody could forge addresses", example));
    }
    Ok(network)
}

/// An e-mail address, lower-cased. Only its shape is checked: whether it is somebody's, the provider proves.
pub(super) fn email(text: &str) -> Result<String, Wrong> {
    let well_formed = text.split_once('@').is_some_and(|(name, domain)| {
        !name.is_empty() && domain.contains('.') && !domain.contains('@') && !domain.ends_with('.')
    });
    if !well_formed || text.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return Err(Wrong::new("is not an e-mail address", "set one address such as ada@example.com"));
    }
    Ok(text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_https_or_loopback_and_nothing_but_a_host() {
        for good in ["https://a.test", "https://a.test/", "HTTPS://A.test:443", "https://a.test:8443"] {
            assert!(site(good).is_ok(), "{good}");
        }
        for good in ["http://127.0.0.1:3000", "http://localhost", "http://app.localhost", "http://[::1]:1"] {
            assert!(site(good).is_ok(), "{good}");
        }
        for bad in [
            "http://a.test",
            "http://127.0.0.1.a.test",
            "http://localhost.a.test",
            "https://a.test/x",
            "https://a.test?x",
            "https://a.test#x",
            "https://u:p@a.test",
            "https://a .test",
            "ftp://a.test",
            "a.test",
            "",
        ] {
            assert!(site(bad).is_err(), "{bad}");
        }
        assert_eq!(without_trailing_slash(&site("HTTPS://A.test:443/").unwrap()), "https://a.test");
    }

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        assert_eq!(origin("https://App.test:443/").unwrap(), "https://app.test");
        assert_eq!(origin("http://localhost:5173").unwrap(), "http://localhost:5173");
        for bad in ["*", "null", "https://a.test/x", "http://a.test", "https://*.a.test/"] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn proxies_are_addresses_or_networks_but_never_everybody() {
        assert_eq!(proxy("10.0.0.5").unwrap().to_string(), "10.0.0.5/32");
        assert_eq!(proxy("10.1.2.3/16").unwrap().to_string(), "10.1.0.0/16");
        assert_eq!(proxy("::1").unwrap().to_string(), "::1/128");
        for bad in ["0.0.0.0/0", "::/0", "10.0.0.0/33", "proxy.test", "*"] {
            assert!(proxy(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_issuer_keeps_its_spelling() {
        assert_eq!(issuer("https://Idp.test/tenant/").unwrap(), "https://Idp.test/tenant/");
        assert!(issuer("https://idp.test?x=1").is_err());
    }

    #[test]
    fn e_mail_addresses() {
        assert_eq!(email("Ada@Example.COM").unwrap(), "ada@example.com");
        for bad in ["ada", "@a.test", "a@b", "a@b.test.", "a@b@c.test", "a b@c.test"] {
            assert!(email(bad).is_err(), "{bad}");
        }
    }
}
