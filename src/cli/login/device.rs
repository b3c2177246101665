//! Asks for a device code and waits until the person has approved it (RFC 8628, sections 3.1 to 3.5).

use std::time::Duration;

use actix_web::rt::time::{sleep, timeout};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::discovery::Server;
use crate::cli::http::{Answer, Http, HttpError};

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Longest wait between two polls while the server cannot be reached.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// No code is waited for longer than this, whatever the server says.
const LONGEST_LIFE_SECONDS: u64 = 24 * 60 * 60;

/// What the server answers to a device authorization request (RFC 8628, section 3.2). Times are in seconds.
#[derive(Deserialize)]
pub(super) struct Pending {
    device_code: String,
    pub(super) user_code: String,
    pub(super) verification_uri: String,
    pub(super) verification_uri_complete: Option<String>,
    pub(super) expires_in: u64,
    #[serde(default = "five")]
    interval: u64,
}

/// RFC 8628, section 3.2: without an interval, 5 seconds.
fn five() -> u64 {
    5
}

#[derive(Debug, thiserror::Error)]
pub(super) enum DeviceError {
    #[error("cannot ask for a code: {0}")]
    Unreachable(#[from] HttpError),
    #[error("the server refused: {0}")]
    Refused(String),
    #[error("the server's answer is not what RFC 8628 says (status {0})")]
    Unexpected(u16),
    #[error("the sign-in was denied")]
    Denied,
    #[error("the code expired before anybody approved it: try again")]
    Expired,
}

/// What one poll came to.
#[derive(Debug, PartialEq)]
enum Poll {
    Tokens(Map<String, Value>),
    Pending,
    SlowDown,
    /// The server or the way to it is in trouble: the code is still good.
    Trouble,
}

/// The pause between polls.
struct Pace {
    interval: Duration,
    failures: u32,
}

impl Pace {
    fn pause(&self) -> Duration {
        let doubled = self.interval.saturating_mul(2_u32.saturating_pow(self.failures));
        doubled.min(LONGEST_PAUSE.max(self.interval))
    }

    fn note(&mut self, poll: &Poll) {
        match poll {
            // RFC 8628, section 3.5: 5 seconds more, for this and all later polls.
            Poll::SlowDown => self.interval = self.interval.saturating_add(Duration::from_secs(5)),
            // The same section: exponential backoff when the connection times out.
            Poll::Trouble => self.failures = self.failures.saturating_add(1),
            _ => {}
        }
        if *poll != Poll::Trouble {
            self.failures = 0;
        }
    }
}

/// A device at an authorization server.
pub(super) struct Device<'a> {
    pub(super) http: &'a Http,
    pub(super) server: &'a Server,
    pub(super) client_id: &'a str,
}

impl Device<'_> {
    /// Section 3.1: asks for a pair of codes.
    pub(super) async fn ask(&self, scope: &str) -> Result<Pending, DeviceError> {
        let form = [("client_id", self.client_id), ("scope", scope)];
        let answer = self.http.post(&self.server.device_authorization_endpoint, &form).await?;
        let object = answer.object().ok_or(DeviceError::Unexpected(answer.status))?;
        if answer.status != 200 {
            return Err(DeviceError::Refused(reason(&object)));
        }
        Pending::deserialize(Value::Object(object)).map_err(|_| DeviceError::Unexpected(answer.status))
    }

    /// Sections 3.4 and 3.5: polls until there are tokens, a refusal, or no time left.
    pub(super) async fn wait(&self, pending: &Pending) -> Result<Map<String, Value>, DeviceError> {
        let life = Duration::from_secs(pending.expires_in.min(LONGEST_LIFE_SECONDS));
        let polling = async {
            let interval = Duration::from_secs(pending.interval.clamp(1, LONGEST_LIFE_SECONDS));
            let mut pace = Pace { interval, failures: 0 };
            loop {
                sleep(pace.pause()).await;
                let poll = self.poll(&pending.device_code).await?;
                pace.note(&poll);
                if let Poll::Tokens(tokens) = poll {
                    return Ok(tokens);
                }
            }
        };
        timeout(life, polling).await.map_err(|_| DeviceError::Expired)?
    }

    async fn poll(&self, device_code: &str) -> Result<Poll, DeviceError> {
        let form = [("grant_type", GRANT_TYPE), ("device_code", device_code), ("client_id", self.client_id)];
        match self.http.post(&self.server.token_endpoint, &form).await {
            Ok(answer) => read(&answer),
            Err(_) => Ok(Poll::Trouble),
        }
    }
}

fn read(answer: &Answer) -> Result<Poll, DeviceError> {
    // A proxy that throttles, or a server that restarts, says nothing about the code.
    if answer.status == 429 || answer.status >= 500 {
        return Ok(Poll::Trouble);
    }
    let object = answer.object().ok_or(DeviceError::Unexpected(answer.status))?;
    if answer.status == 200 {
        return Ok(Poll::Tokens(object));
    }
    match object.get("error").and_then(Value::as_str) {
        Some("authorization_pending") => Ok(Poll::Pending),
        Some("slow_down") => Ok(Poll::SlowDown),
        Some("access_denied") => Err(DeviceError::Denied),
        Some("expired_token") => Err(DeviceError::Expired),
        _ => Err(DeviceError::Refused(reason(&object))),
    }
}

/// RFC 6749, section 5.2: a code for programs and perhaps a sentence for people.
fn reason(object: &Map<String, Value>) -> String {
    let text = |name| object.get(name).and_then(Value::as_str);
    match (text("error"), text("error_description")) {
        (Some(code), Some(sentence)) => format!("{sentence} ({code})"),
        (Some(code), None) => code.to_owned(),
        _ => "it gave no reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> Result<Poll, DeviceError> {
        read(&Answer::of(status, body))
    }

    #[test]
    fn every_answer_of_the_rfc_has_its_meaning() {
        assert_eq!(answered(400, r#"{"error":"authorization_pending"}"#).unwrap(), Poll::Pending);
        assert_eq!(answered(400, r#"{"error":"slow_down"}"#).unwrap(), Poll::SlowDown);
        assert!(matches!(answered(400, r#"{"error":"access_denied"}"#), Err(DeviceError::Denied)));
        assert!(matches!(answered(400, r#"{"error":"expired_token"}"#), Err(DeviceError::Expired)));
        assert!(matches!(answered(400, r#"{"error":"invalid_grant"}"#), Err(DeviceError::Refused(_))));
        assert!(matches!(answered(200, r#"{"access_token":"x"}"#), Ok(Poll::Tokens(_))));
        for trouble in [429, 500, 502, 503] {
            assert_eq!(answered(trouble, "<html>").unwrap(), Poll::Trouble);
        }
        assert!(matches!(answered(302, ""), Err(DeviceError::Unexpected(302))));
    }

    #[test]
    fn slow_down_stays_and_backoff_ends() {
        let mut pace = Pace { interval: Duration::from_secs(5), failures: 0 };
        let mut after = |poll| {
            pace.note(&poll);
            pace.pause().as_secs()
        };
        assert_eq!(after(Poll::Pending), 5);
        assert_eq!(after(Poll::SlowDown), 10);
        assert_eq!(after(Poll::Pending), 10);
        assert_eq!(after(Poll::Trouble), 20);
        assert_eq!(after(Poll::Trouble), 40);
        assert_eq!(after(Poll::Trouble), 60);
        assert_eq!(after(Poll::Trouble), 60);
        assert_eq!(after(Poll::Pending), 10);
    }

    #[test]
    fn the_interval_is_five_seconds_unless_said_otherwise() {
        let body =
            r#"{"device_code":"d","user_code":"u","verification_uri":"https://a.test","expires_in":900}"#;
        let pending: Pending = serde_json::from_str(body).unwrap();
        assert_eq!((pending.interval, pending.verification_uri_complete), (5, None));
    }
}
