//! The one place that judges an access token. Whoever is shown one asks here, so that what voids a token voids it
//! everywhere at once: the caller types, userinfo, introspection, revocation.
//!
//! ```text
//! text -> genuine: signature, header, issuer (remembered), times (our clock)
//!      -> judge:   one question: session, user, service, organization, revoked or not
//!      -> admit:   at a door of ours: the audience, and a proof when the token is bound to a key
//! ```

use std::sync::Arc;

use actix_web::HttpRequest;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::access_tokens::{AccessTokenStanding, JtiRevoked, TokenStanding};
use gatehouse_actors::data::client_registration::AuthMethod;
use gatehouse_actors::data::client_secrets::ClientSecretById;
use gatehouse_actors::data::services::{Service, ServiceByClientId};
use gatehouse_actors::data::sessions::Subject;
use gatehouse_actors::error::StoreError;

use super::client::{self, Credential};
use super::dpop::{self, PresentedToken};
use crate::crypto::jwt::{AccessClaims, ClientClaims};
use crate::error::{Code, Error};
use crate::state::App;

/// Clocks of our own machines may differ by this many seconds.
const FUTURE_LEEWAY: i64 = 60;

/// A token that opens doors at this moment.
pub struct Judged {
    /// What the token says.
    pub claims: Arc<AccessClaims>,
    /// The session behind it and everything about it, as it is now.
    pub subject: Arc<Subject>,
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
pub fn genuine(app: &App, token: &str) -> Result<Arc<AccessClaims>, Void> {
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
    let standing = app.store.recall(question).await.map_err(|error| Refused::Unknown(error.into()))?;
    let standing = standing.ok_or(Refused::Void(Void::Ended))?;
    stands(&claims, &standing, app.clock.now()).map_err(Refused::Void)?;
    app.last_used.used(&app.store, standing.subject.session_id, app.clock.now());
    Ok(Judged { claims, subject: Arc::clone(&standing.subject) })
}

/// The same for who wants a door of ours opened: the token must be for us, and beside it a proof when it is bound to a key.
pub async fn admit(
    app: &App,
    request: &HttpRequest,
    presented: &PresentedToken<'_>,
) -> Result<Judged, Error> {
    let judged = judge(app, presented.token).await?;
    // RFC 8707, section 2: what was asked for another resource is for that alone.
    if app.audience(&judged.subject) != judged.claims.aud {
        return Err(Void::Ended.into());
    }
    dpop::check_binding(app, request, presented, judged.claims.cnf.as_ref())?;
    Ok(judged)
}

/// Whether the token of a service that acts for itself stands at this moment: with the service, its organization and the
/// credential that it was issued under.
pub async fn judge_client(app: &App, token: &str) -> Result<(ClientClaims, Arc<Service>), Refused> {
    let void = |void| Refused::Void(void);
    let unknown = |error: StoreError| Refused::Unknown(error.into());
    let claims =
        app.signing_keys.verify_client_token(&app.base_url, token).map_err(|_| void(Void::NotGenuine))?;
    let now = app.clock.now();
    if claims.exp <= now.div_euclid(1000) {
        return Err(void(Void::Expired));
    }
    if claims.iat > now.div_euclid(1000) + FUTURE_LEEWAY {
        return Err(void(Void::NotGenuine));
    }
    let revoked = JtiRevoked { jti: claims.jti.clone() };
    if app.store.read(revoked).await.map_err(unknown)? {
        return Err(void(Void::Ended));
    }
    let question = ServiceByClientId { client_id: claims.client_id.clone() };
    let service = app.store.recall(question).await.map_err(unknown)?.ok_or(void(Void::Ended))?;
    if !service.is_active() {
        return Err(void(Void::NotActive(service.org_status.clone())));
    }
    let works = match Credential::parse(&claims.client_credential) {
        Some(Credential::Secret(id)) => {
            let question = ClientSecretById { id, service_id: service.id };
            let secret = app.store.recall(question).await.map_err(unknown)?;
            secret.is_some_and(|secret| secret.works(now)) && service.auth_method.uses_secret()
        }
        Some(Credential::Key(thumbprint)) => {
            service.auth_method == AuthMethod::PrivateKeyJwt && client::has_key(&service, &thumbprint)
        }
        None => false,
    };
    if works { Ok((claims, service)) } else { Err(void(Void::Ended)) }
}

fn stands(claims: &AccessClaims, standing: &TokenStanding, now: Millis) -> Result<(), Void> {
    let subject = &standing.subject;
    // A token of ours says the same as its session. One that does not was forged with a stolen key, or by a mistake.
    if subject.user_public_id != claims.sub || subject.client_id != claims.client_id {
        return Err(Void::Ended);
    }
    // Before the session is looked at: a suspension ends it, and what the client should hear is the suspension.
    if !subject.is_org_active() {
        return Err(Void::NotActive(subject.org_status.clone()));
    }
    if standing.is_revoked || !subject.is_live(now) {
        return Err(Void::Ended);
    }
    Ok(())
}
