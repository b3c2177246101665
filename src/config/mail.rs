//! The mail server.

use std::net::IpAddr;

use lettre::message::Mailbox;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::keys;
use super::problems::Wrong;
use super::reader::Reader;
use super::secret::Secret;

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the first byte (RFC 8314, section 3.3).
    Tls,
    /// STARTTLS, required: a server that does not offer it gets nothing (RFC 3207).
    StartTls,
    /// In clear, to this machine itself.
    Loopback,
}

/// Where mail goes, and from whom it is.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: MailSecurity,
    /// User and password, if the server asks for them.
    pub credentials: Option<(Secret<String>, Secret<String>)>,
    /// The sender.
    pub from: Mailbox,
}

/// The two settings together.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<MailSettings> {
    let from = reader.parsed(keys::MAIL_FROM, |text| {
        text.parse::<Mailbox>().map_err(|_| {
            Wrong::new(
                "is no sender",
                "set an address, or a name and an address: Sign-in <no-reply@example.com>",
            )
        })
    });
    let text = reader.secret(keys::SMTP_URL)?;
    if !reader.is_set(keys::MAIL_FROM) {
        reader.wrong(keys::MAIL_FROM, Wrong::new("is missing", "set the sender of mail beside SMTP_URL"));
    }
    let server = reader.accept(keys::SMTP_URL, server(text.expose()));
    let (host, port, security, credentials) = server?;
    Some(MailSettings { host, port, security, credentials, from: from? })
}

pub(super) type Server = (String, u16, MailSecurity, Option<(Secret<String>, Secret<String>)>);

pub(super) fn server(text: &str) -> Result<Server, Wrong> {
    let example = "set an address such as smtps://user:password@mail.example.com";
    let url = Url::parse(text).map_err(|_| Wrong::new("is not a URL", example))?;
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| Wrong::new("names no host", example))?.to_owned();
    let (security, port) = match url.scheme() {
        "smtps" => (MailSecurity::Tls, 465),
        "smtp" if is_loopback(&url, &host) => (MailSecurity::Loopback, 25),
        "smtp" => (MailSecurity::StartTls, 587),
        _ => return Err(Wrong::new("is neither smtp nor smtps", example)),
    };
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(Wrong::new("has a path, a query or a fragment", example));
    }
    let decoded = |part: &str| {
        let text = percent_decode_str(part).decode_utf8();
        text.map(|text| Secret::new(text.into_owned())).map_err(|_| Wrong::new("is not UTF-8", example))
    };
    let credentials = match (url.username(), url.password()) {
        ("", None) => None,
        (user, Some(password)) if !user.is_empty() => Some((decoded(user)?, decoded(password)?)),
        _ => return Err(Wrong::new("has a user without a password, or the reverse", example)),
    };
    Ok((host, url.port().unwrap_or(port), security, credentials))
}

fn is_loopback(url: &Url, host: &str) -> bool {
    match url.host() {
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // The URL standard leaves hosts of schemes that it does not know as text.
        _ => host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_decides_about_tls_and_only_loopback_goes_without() {
        for (text, host, port, security) in [
            ("smtps://u:p@mail.test", "mail.test", 465, MailSecurity::Tls),
            ("smtp://u:p@mail.test", "mail.test", 587, MailSecurity::StartTls),
            ("smtp://mail.test:2525/", "mail.test", 2525, MailSecurity::StartTls),
            ("smtp://127.0.0.1:2525", "127.0.0.1", 2525, MailSecurity::Loopback),
            ("smtp://[::1]", "[::1]", 25, MailSecurity::Loopback),
            ("smtp://127.0.0.1.evil.test", "127.0.0.1.evil.test", 587, MailSecurity::StartTls),
        ] {
            let read = server(text).unwrap();
            assert_eq!((read.0.as_str(), read.1, read.2), (host, port, security), "{text}");
        }
    }

    #[test]
    fn credentials_are_decoded() {
        let (user, password) = server("smtps://me%40x.test:a+b%2Fc@mail.test").unwrap().3.unwrap();
        assert_eq!((user.expose().as_str(), password.expose().as_str()), ("me@x.test", "a+b/c"));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "mail.test",
            "https://mail.test",
            "smtp://",
            "smtps://u@m.test",
            "smtps://m.test/x",
            "smtp://m?tls=none",
        ] {
            assert!(server(text).is_err(), "{text}");
        }
    }
}
