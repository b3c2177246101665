//! What the person sees, and what a script reads.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::device::Pending;
use super::discovery::Server;
use super::token::Claims;
use crate::telemetry::Printable;

/// RFC 8628, section 3.3: the address and the code; section 3.3.1: the address that holds the code, as a second way.
pub(super) fn invitation(pending: &Pending) -> String {
    // Everything here was written by the server, which must not steer the terminal.
    let address = Printable(&pending.verification_uri);
    let code = Printable(&pending.user_code);
    let mut text = format!(
        "\nTo sign in, open this address in a browser:\n\n    {address}\n\nand type the code\n\n    {code}\n"
    );
    if let Some(complete) = &pending.verification_uri_complete {
        let complete = Printable(complete);
        let _ = write!(text, "\nOr open the address with the code filled in:\n\n    {complete}\n");
    }
    let life = duration(pending.expires_in);
    let _ = write!(text, "\nThe code is good for {life}. Waiting, stop with Ctrl-C ...\n\n");
    text
}

/// The outcome for a person: no token in it.
pub(super) fn text(tokens: &Map<String, Value>, claims: &Claims) -> String {
    let access = &claims.access;
    let mut text = String::from("signed in\n\n");
    let expires_in = tokens.get("expires_in").and_then(Value::as_u64);
    let expires_at = access.get("exp").and_then(Value::as_i64).and_then(moment);
    let expires = match (expires_at, expires_in) {
        (Some(at), Some(seconds)) => Some(format!("{at}, in {}", duration(seconds))),
        (at, _) => at,
    };
    let claim = |name: &str| access.get(name).map(plain).filter(|text| !text.is_empty());
    let rows = [
        ("name", claims.name.clone()),
        ("e-mail", claim("email")),
        ("organization", claim("org")),
        ("service", claim("service")),
        ("plan", claim("plan")),
        ("features", claim("features")),
        ("expires", expires),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            let _ = writeln!(text, "  {name:<12}  {}", Printable(&value));
        }
    }
    text.push_str("\nclaims of the access token\n\n");
    let width = access.keys().map(|name| name.chars().count()).max().unwrap_or_default();
    for (name, value) in access {
        let (name, value) = (Printable(name).to_string(), plain(value));
        let _ = writeln!(text, "  {name:<width$}  {}", Printable(&value));
    }
    text
}

/// The outcome for a script: everything that the server issued, and what was proven about it.
pub(super) fn json(server: &Server, tokens: &Map<String, Value>, claims: &Claims) -> String {
    let object = json!({"issuer": server.issuer, "token": tokens, "claims": claims.access});
    format!("{object}\n")
}

/// Text as it is, lists with commas, anything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn moment(seconds: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(&Rfc3339).ok()
}

fn duration(seconds: u64) -> String {
    let (count, unit) = if seconds < 120 { (seconds, "second") } else { (seconds / 60, "minute") };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> (Map<String, Value>, Claims) {
        let tokens =
            json!({"access_token": "SECRET.ACCESS", "refresh_token": "SECRET.REFRESH", "expires_in": 900});
        let access =
            json!({"email": "ada@example.com", "org": "acme\u{1b}[2J", "features": ["a", "b"], "exp": 0});
        let map = |value: Value| value.as_object().unwrap().clone();
        (map(tokens), Claims { access: map(access), name: Some("Ada".to_owned()) })
    }

    #[test]
    fn people_see_claims_but_no_token_and_nothing_that_steers_the_terminal() {
        let (tokens, claims) = outcome();
        let text = text(&tokens, &claims);
        for part in ["Ada", "ada@example.com", "a, b", "1970-01-01T00:00:00Z, in 15 minutes"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert!(!text.contains("SECRET") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn scripts_get_one_object_on_one_line() {
        let (tokens, claims) = outcome();
        let server = Server {
            issuer: "https://a.test".to_owned(),
            device_authorization_endpoint: "https://a.test/d".parse().unwrap(),
            token_endpoint: "https://a.test/t".parse().unwrap(),
            jwks_uri: "https://a.test/k".parse().unwrap(),
        };
        let text = json(&server, &tokens, &claims);
        assert_eq!(text.matches('\n').count(), 1);
        let object: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["token"]["refresh_token"], "SECRET.REFRESH");
        assert_eq!(object["claims"]["email"], "ada@example.com");
        assert_eq!(object["issuer"], "https://a.test");
    }

    #[test]
    fn durations() {
        assert_eq!(duration(1), "1 second");
        assert_eq!(duration(90), "90 seconds");
        assert_eq!(duration(900), "15 minutes");
    }
}
