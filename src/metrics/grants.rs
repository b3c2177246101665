//! Tokens asked for, by grant and outcome.

use prometheus::{Error, IntCounter, IntCounterVec, Opts};

use crate::error::{Code, Error as Refusal};

/// How somebody asks for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// With a code from a sign-in.
    AuthorizationCode,
    /// With a refresh token.
    RefreshToken,
    /// With a device code, again and again until somebody has decided.
    DeviceCode,
    /// As the client itself.
    ClientCredentials,
}

const GRANTS: [&str; 4] = ["authorization_code", "refresh_token", "device_code", "client_credentials"];
const OUTCOMES: [&str; 4] = ["granted", "pending", "refused", "failed"];

/// Counts grants.
pub struct Grants {
    counters: IntCounterVec,
    /// Found by label once and kept.
    cells: [[IntCounter; OUTCOMES.len()]; GRANTS.len()],
}

impl Grants {
    pub(super) fn new() -> Result<Self, Error> {
        let help =
            "Tokens asked for; pending is a device code that nobody has decided, failed is an error of ours.";
        let counters =
            IntCounterVec::new(Opts::new("gatehouse_token_grants_total", help), &["grant", "outcome"])?;
        let cells = GRANTS.map(|grant| OUTCOMES.map(|outcome| counters.with_label_values(&[grant, outcome])));
        Ok(Self { counters, cells })
    }

    pub(super) fn collector(&self) -> IntCounterVec {
        self.counters.clone()
    }

    /// Counts what became of a request for tokens, and hands it on.
    pub fn count<T>(&self, grant: Grant, outcome: Result<T, Refusal>) -> Result<T, Refusal> {
        let column = match &outcome {
            Ok(_) => 0,
            Err(error) if matches!(error.code, Code::DeviceCodePending | Code::SlowDown) => 1,
            Err(error) if error.code.row().1.is_server_error() => 3,
            Err(_) => 2,
        };
        if let Some(counter) = self.cells.get(grant as usize).and_then(|row| row.get(column)) {
            counter.inc();
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_counts_in_its_own_place() {
        let grants = Grants::new().unwrap();
        let all =
            [Grant::AuthorizationCode, Grant::RefreshToken, Grant::DeviceCode, Grant::ClientCredentials];
        for grant in all {
            grants.count(grant, Ok(())).unwrap();
            for code in [Code::DeviceCodePending, Code::InvalidGrant, Code::ServiceUnavailable] {
                grants.count::<()>(grant, Err(Refusal::new(code, ""))).unwrap_err();
            }
        }
        for grant in GRANTS {
            for outcome in OUTCOMES {
                assert_eq!(
                    grants.counters.with_label_values(&[grant, outcome]).get(),
                    1,
                    "{grant} {outcome}"
                );
            }
        }
    }
}
