//! The operator's commands, while the service runs: `gatehouse billing …` on the same machine holds the same settings,
//! so it signs its request with a key derived from `JWT_SECRET`. Who holds that can do everything anyway.

use std::fmt::Write as _;

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use gatehouse_actors::clock::Millis;
use ring::hmac;

use super::caller::{Caller, app_of};
use crate::error::{Code, Error};

/// How far the clocks of the command and of the service may differ. They run on one machine.
const TOLERANCE: Millis = 60_000;
const SCHEME: &str = "Gatehouse-Operator ";

/// Somebody with the service's own settings.
pub struct Operator;

impl Caller for Operator {
    const NAME: &'static str = "Operator";

    async fn identify(request: &HttpRequest) -> Result<Self, Error> {
        let app = app_of(request)?;
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        let credential = header.and_then(|header| header.strip_prefix(SCHEME));
        let known = credential.is_some_and(|credential| {
            is_genuine(&app.keys.operator, credential, request.method().as_str(), target, app.clock.now())
        });
        if known {
            return Ok(Self);
        }
        Err(Error::new(Code::Unauthorized, "This address is for the operator's own commands."))
    }
}

/// The `Authorization` header for a request of the operator's.
#[must_use]
pub fn authorization(key: &hmac::Key, method: &str, target: &str, now: Millis) -> String {
    let tag = hmac::sign(key, signed(method, target, now).as_bytes());
    tag.as_ref().iter().fold(format!("{SCHEME}{now}:"), |mut header, byte| {
        let _ = write!(header, "{byte:02x}"); // writing to a String cannot fail
        header
    })
}

fn signed(method: &str, target: &str, now: Millis) -> String {
    format!("{now} {method} {target}")
}

fn is_genuine(key: &hmac::Key, credential: &str, method: &str, target: &str, now: Millis) -> bool {
    let Some((moment, _)) = credential.split_once(':') else { return false };
    let Ok(moment) = moment.parse::<Millis>() else { return false };
    let expected = authorization(key, method, target, moment);
    let given = format!("{SCHEME}{credential}");
    let same = bool::from(subtle::ConstantTimeEq::ct_eq(expected.as_bytes(), given.as_bytes()));
    same && (now - moment).abs() <= TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_for_one_request_and_one_minute() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"k");
        let header = authorization(&key, "POST", "/x?y", 5_000);
        let credential = header.strip_prefix(SCHEME).unwrap();
        assert!(is_genuine(&key, credential, "POST", "/x?y", 65_000));
        assert!(!is_genuine(&key, credential, "POST", "/x?y", 65_001));
        assert!(!is_genuine(&key, credential, "POST", "/x?z", 5_000));
        assert!(!is_genuine(&key, credential, "GET", "/x?y", 5_000));
        assert!(!is_genuine(&hmac::Key::new(hmac::HMAC_SHA256, b"l"), credential, "POST", "/x?y", 5_000));
        assert!(!is_genuine(&key, "", "POST", "/x?y", 5_000));
    }
}
