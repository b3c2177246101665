//! The grants of the token endpoint. Each: parse, one write, and what it means to the client.

use actix_web::HttpRequest;
use gatehouse_actors::data::authorization_codes::{CodeRedemption, CodeRefusal, RedeemAuthorizationCode};
use gatehouse_actors::data::device_codes::DeviceCodeStatus;
use gatehouse_actors::data::device_redemption::{
    DeviceRedemption, PollDeviceCode, PolledDeviceCode, RedeemDeviceCode, RedeemRefusal,
};
use gatehouse_actors::data::login_events::NoteRefusedCode;
use gatehouse_actors::data::refresh_tokens::{RefreshRefusal, RotateRefreshToken, Rotation};
use gatehouse_actors::data::services::Service;
use gatehouse_actors::data::sessions::NewSession;
use gatehouse_actors::data::token_binding::TokenBinding;
use gatehouse_actors::error::OpError;

use super::view::Granted;
use crate::crypto::token::{
    Presented, TokenKind, TokenSecret, code_challenge, is_code_verifier, parse, sha256, successor,
};
use crate::error::{Code, Error};
use crate::http::input::Params;
use crate::http::management::audit_context;
use crate::http::{audience, dpop, scope, throttle};
use crate::state::App;

/// RFC 6749, section 4.1.3.
pub(super) async fn authorization_code(
    app: &App,
    params: &Params,
    client: &Service,
    dpop_jkt: Option<String>,
) -> Result<Granted, Error> {
    let invalid = || Error::invalid_grant("The code is not valid (any more).");
    let code = params.required("code")?;
    // Every code is bound to a redirect URI (RFC 6749, section 4.1.3), so what is missing here is wrong.
    let redirect_uri = params.get("redirect_uri").unwrap_or_default().to_owned();
    let Presented { id, secret } = parse(TokenKind::AuthorizationCode, code).ok_or_else(invalid)?;
    // RFC 7636, section 4.6. Only an authenticated client may do without.
    let verifier = params.get("code_verifier");
    if !verifier.map_or(client.is_confidential, is_code_verifier) {
        return Err(Error::invalid_grant("The code_verifier does not match."));
    }
    let resources = audience::requested(params, client)?;
    let refresh_secret: TokenSecret = app.random.bytes();
    let redeem = RedeemAuthorizationCode {
        id,
        secret_hash: sha256(&secret),
        client_id: client.client_id.clone(),
        redirect_uri,
        code_challenge: verifier.map(code_challenge),
        client_authenticated: client.is_confidential,
        asked: TokenBinding { dpop_jkt: dpop_jkt.clone(), resources: resources.clone() },
        session: new_session(app, &refresh_secret, TokenBinding::default()),
        now: app.clock.now(),
    };
    let redemption = match app.store.write(redeem).await {
        Ok(redemption) => redemption,
        Err(OpError::Store(error)) => return Err(error.into()),
        Err(OpError::Refused(refusal)) => {
            note_refused(app, (id, sha256(&secret)), refusal).await;
            return Err(match refusal {
                CodeRefusal::CodeVerifier => Error::invalid_grant("The code_verifier does not match."),
                CodeRefusal::RedirectUri => Error::invalid_grant("The redirect_uri does not match."),
                CodeRefusal::OtherKey => wrong_key(),
                CodeRefusal::OtherResource => audience::invalid_target(),
                CodeRefusal::Unknown
                | CodeRefusal::OtherClient
                | CodeRefusal::Expired
                | CodeRefusal::OrganizationNotActive
                | CodeRefusal::SignedOut => invalid(),
            });
        }
    };
    match redemption {
        // Signed out between the sign-in and now: the session was over when it began, and nobody is to be told who came.
        CodeRedemption::Granted { grant, .. } if grant.subject.ended_at.is_some() => Err(invalid()),
        CodeRedemption::Granted { grant, nonce } => {
            let resources = audience::within(&grant.binding, resources)?;
            Ok(Granted { grant: *grant, refresh_secret, scope: None, nonce, resources, dpop_jkt })
        }
        CodeRedemption::Replayed => {
            log::warn!(client_id = client.client_id.as_str(); "authorization code replayed, session ended");
            Err(invalid())
        }
    }
}

/// Notes for the organization's analytics that a sign-in led to nothing. What the client is told does not depend on it.
async fn note_refused(app: &App, (code_id, secret_hash): (i64, [u8; 32]), refusal: CodeRefusal) {
    let reason = match refusal {
        // Anybody may send text that is no code: nothing is known of whom it would be about.
        CodeRefusal::Unknown => return,
        CodeRefusal::OtherClient => "other_client",
        CodeRefusal::Expired => "code_expired",
        CodeRefusal::RedirectUri => "redirect_uri",
        CodeRefusal::CodeVerifier => "code_verifier",
        CodeRefusal::OtherKey => "dpop_key",
        CodeRefusal::OtherResource => "resource",
        CodeRefusal::OrganizationNotActive => "organization_not_active",
        CodeRefusal::SignedOut => "signed_out",
    };
    let now = app.clock.now();
    let note = NoteRefusedCode { public_id: app.random.uuid(now), code_id, secret_hash, reason, now };
    if let Err(error) = app.store.write(note).await {
        log::warn!(reason:% = error; "a failed sign-in was not noted");
    }
}

/// RFC 8628, section 3.4.
pub(super) async fn device_code(
    app: &App,
    params: &Params,
    client: &Service,
    dpop_jkt: Option<String>,
) -> Result<Granted, Error> {
    let unknown = || Error::invalid_grant("The device_code is not valid.");
    let Presented { id, secret } =
        parse(TokenKind::DeviceCode, params.required("device_code")?).ok_or_else(unknown)?;
    let secret_hash = sha256(&secret);
    let code = app.store.read(PollDeviceCode { id, secret_hash }).await?;
    let code = code.filter(|code| code.service_id == client.id).ok_or_else(unknown)?;
    let now = app.clock.now();
    // Before the state is looked at: of many polls at once only one may go on, the others are too fast.
    app.pacing.poll(id, code.expires_at, now).map_err(|slow_down| {
        Error::new(Code::SlowDown, format!("Poll every {} seconds from now on.", slow_down.interval))
    })?;
    if !client.is_active() {
        return Err(Error::not_active(&client.org_status));
    }
    if code.status == DeviceCodeStatus::Pending {
        return Err(pending(&code, now));
    }
    let resources = audience::requested(params, client)?;
    let binding = TokenBinding {
        dpop_jkt: dpop_jkt.clone().filter(|_| !client.is_confidential),
        resources: resources.clone(),
    };
    let refresh_secret: TokenSecret = app.random.bytes();
    let redeem = RedeemDeviceCode {
        id,
        secret_hash,
        client_id: client.client_id.clone(),
        session: new_session(app, &refresh_secret, binding),
        now,
    };
    match app.store.write(redeem).await {
        Ok(DeviceRedemption::Granted(grant)) if grant.subject.ended_at.is_some() => Err(unknown()),
        Ok(DeviceRedemption::Granted(grant)) => {
            Ok(Granted { grant: *grant, refresh_secret, scope: None, nonce: None, resources, dpop_jkt })
        }
        Ok(DeviceRedemption::Replayed) => {
            log::warn!(client_id = client.client_id.as_str(); "device code replayed, session ended");
            Err(unknown())
        }
        Err(OpError::Store(error)) => Err(error.into()),
        Err(OpError::Refused(refusal)) => Err(match refusal {
            RedeemRefusal::Unknown => unknown(),
            RedeemRefusal::Pending => pending(&code, now),
            RedeemRefusal::Denied => Error::new(Code::AccessDenied, "The request was denied."),
            RedeemRefusal::Expired => expired(),
        }),
    }
}

/// Nobody decided yet, or nobody ever will.
fn pending(code: &PolledDeviceCode, now: i64) -> Error {
    if code.is_expired(now) {
        return expired();
    }
    Error::new(Code::DeviceCodePending, "Nobody has decided yet. Keep polling.")
}

fn expired() -> Error {
    Error::new(Code::DeviceCodeExpired, "The device_code expired. Ask for a new one.")
}

/// RFC 6749, section 6, with rotation. `client` is none where the endpoint does not ask for one.
pub(super) async fn refresh(
    app: &App,
    request: &HttpRequest,
    params: &Params,
    client: Option<&Service>,
    dpop_jkt: Option<String>,
) -> Result<Granted, Error> {
    let invalid = || Error::invalid_grant("The refresh_token is not valid (any more). Sign in again.");
    if !client.is_some_and(|client| client.is_confidential) {
        let spent = app.limits.refreshes.spend(throttle::payer(app, request), app.clock.now());
        spent.map_err(throttle::refusal(
            app,
            "refreshes",
            "Too many refreshes came from your address. Wait, then try again.",
        ))?;
    }
    let token = params.required("refresh_token")?;
    let Presented { id, secret } = parse(TokenKind::RefreshToken, token).ok_or_else(invalid)?;
    let requested_scope = params.get("scope").map(scope::normalize);
    // Without a client its registration is not known; then the token is for what the sign-in was for.
    let resources = client.map_or_else(|| Ok(Vec::new()), |client| audience::requested(params, client))?;
    let refresh_secret = successor(&app.keys.refresh_tokens, &secret);
    let rotate = RotateRefreshToken {
        id,
        secret_hash: sha256(&secret),
        successor_hash: sha256(&refresh_secret),
        client_id: client.map(|client| client.client_id.clone()),
        asked: TokenBinding { dpop_jkt: dpop_jkt.clone(), resources: resources.clone() },
        requested_scope: requested_scope.clone(),
        now: app.clock.now(),
        audit: audit_context(app, request, None),
    };
    let rotation = app.store.write(rotate).await.map_err(|error| {
        Error::from_op(error, |refusal| match refusal {
            RefreshRefusal::OrganizationNotActive => {
                Error::new(Code::OrganizationNotActive, "The organization is not active.")
            }
            RefreshRefusal::ScopeTooWide => {
                Error::bad_request("The scope is wider than what was granted.").oauth("invalid_scope")
            }
            RefreshRefusal::ProofNeeded => dpop::needed(),
            RefreshRefusal::OtherKey => wrong_key(),
            RefreshRefusal::OtherResource => audience::invalid_target(),
            RefreshRefusal::ClientNotAuthenticated => Error::new(
                Code::InvalidClient,
                "This client is confidential: authenticate with its client_secret.",
            ),
            RefreshRefusal::Unknown | RefreshRefusal::OtherClient | RefreshRefusal::Over => invalid(),
        })
    })?;
    match rotation {
        Rotation::Granted(grant) => {
            app.last_used.used(&app.store, grant.subject.session_id, app.clock.now());
            let resources = audience::within(&grant.binding, resources)?;
            let (grant, nonce) = (*grant, None);
            Ok(Granted { grant, refresh_secret, scope: requested_scope, nonce, resources, dpop_jkt })
        }
        Rotation::Reused => {
            log::warn!("refresh token reused, session ended");
            Err(invalid())
        }
    }
}

fn new_session(app: &App, refresh_secret: &TokenSecret, binding: TokenBinding) -> NewSession {
    NewSession { public_id: app.random.uuid(app.clock.now()), refresh_hash: sha256(refresh_secret), binding }
}

/// RFC 9449, section 5: what is bound to a key is of no use to who cannot prove to hold it.
fn wrong_key() -> Error {
    Error::invalid_grant("This is bound to a key: send a DPoP proof made with it.")
}
