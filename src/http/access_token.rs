//! The one place that judges an access token. Whoever is shown one asks here, so that what voids a token voids it
//! everywhere at once: the caller types, userinfo, introspection, revocation.
//!
//! ```text
//! text -> genuine: signature, header, issuer, times (pure, our clock)
//!      -> judge:   one read: session, user, service, organization, revoked or not
//! ```

use gatehouse_actors::data::access_tokens::{AccessTokenStanding, TokenStanding};
use gatehouse_actors::data::sessions::Subject;

use crate::crypto::jwt::AccessClaims;
use crate::error::{Code, Error};
use crate::state::App;

/// Clocks of our own machines may differ by this many seconds.
const FUTURE_LEEWAY: i64 = 60;

/// A token that opens doors at this moment.
pub struct Judged {
    /// What the token says.
    pub claims: AccessClaims,
    /// The session behind it and everything about it, as it is now.
    pub subject: Subject,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Void {
    /// Not made here, not an access token, or not valid yet.
    NotGenuine,
    /// Its time is over.
    Expired,
    /// Its session ended, it was revoked, or its user or service is gone.
    Ended,
    /// Its organization is not active; its status.
    NotActive(String),
}

/// No judgement in the holder's favour.
#[derive(Debug)]
pub enum Refused {
    /// The token is void.
    Void(Void),
    /// It could not be found out. Never to be taken for void, and never for valid.
    Unknown(Error),
}

impl From<Void> for Error {
    fn from(void: Void) -> Self {
        match void {
            Void::NotGenuine => invalid_token(Code::JwtError, "The access token is not valid."),
            Void::Expired => invalid_token(Code::TokenExpired, "The access token expired. Refresh it."),
            Void::Ended => invalid_token(Code::Unauthorized, "The session ended. Sign in again."),
            Void::NotActive(status) => Self::not_active(&status),
        }
    }
}

/// RFC 6750, section 3.1: says that there was a token, wherever in the request.
fn invalid_token(code: Code, message: &'static str) -> Error {
    Error::new(code, message).oauth("invalid_token")
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Void(void) => void.into(),
            Refused::Unknown(error) => error,
        }
    }
}

/// Whether the token was made here and its time is now. Says nothing of its session.
pub fn genuine(app: &App, token: &str) -> Result<AccessClaims, Void> {
    let claims = app.signing_keys.verify_access_token(&app.base_url, token).map_err(|_| Void::NotGenuine)?;
    let now = app.clock.now().div_euclid(1000);
    if claims.exp <= now {
        return Err(Void::Expired);
    }
    if claims.iat.max(claims.nbf.unwrap_or(claims.iat)) > now + FUTURE_LEEWAY {
        return Err(Void::NotGenuine);
    }
    Ok(claims)
}

/// Whether the token opens doors at this moment.
pub async fn judge(app: &App, token: &str) -> Result<Judged, Refused> {
    let claims = genuine(app, token).map_err(Refused::Void)?;
    let question = AccessTokenStanding { session_public_id: claims.sid.clone(), jti: claims.jti.clone() };
    let standing = app.store.read(question).await.map_err(|error| Refused::Unknown(error.into()))?;
    let standing = standing.ok_or(Refused::Void(Void::Ended))?;
    stands(app, &claims, &standing).map_err(Refused::Void)?;
    app.last_used.used(&app.store, standing.subject.session_id, app.clock.now());
    Ok(Judged { claims, subject: standing.subject })
}

fn stands(app: &App, claims: &AccessClaims, standing: &TokenStanding) -> Result<(), Void> {
    let subject = &standing.subject;
    // A token of ours says the same as its session. One that does not was forged with a stolen key, or by a mistake.
    let same = subject.user_public_id == claims.sub
        && subject.client_id == claims.client_id
        && app.audience(subject) == claims.aud;
    if !same {
        return Err(Void::Ended);
    }
    // Before the session is looked at: a suspension ends it, and what the client should hear is the suspension.
    if !subject.is_org_active() {
        return Err(Void::NotActive(subject.org_status.clone()));
    }
    if standing.is_revoked || !subject.is_live(app.clock.now()) {
        return Err(Void::Ended);
    }
    Ok(())
}
