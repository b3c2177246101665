//! What sign-in and invitations share: what a presented token names, and the browser's claim on it.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::cookie::Cookie;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::invitation_answers::AnswerRefusal;
use gatehouse_actors::data::invitations::{Invitation, InvitationByToken, InvitationToken};
use gatehouse_actors::error::OpError;
use serde::{Deserialize, Serialize};

use super::redirect::with_params;
use super::throttle;
use crate::crypto::token::{TokenKind, parse, sha256};
use crate::error::{Code, Error};
use crate::state::App;

/// The page that asks to accept or decline.
pub const CONFIRM_PATH: &str = "/invitations/confirm";
/// The cookie that says: this browser signed in for that invitation.
pub const COOKIE: &str = "gatehouse-invitation";
/// How long the person may think about it, in seconds.
const COOKIE_SECONDS: i64 = 15 * 60;

/// A browser's claim on an invitation, sealed into its cookie.
#[derive(Serialize, Deserialize)]
pub struct Claim {
    /// Row id of the invitation.
    pub invitation_id: i64,
    /// SHA-256 of the token's secret.
    pub secret_hash: [u8; 32],
    /// Row id of the user who signed in.
    pub user_id: i64,
    /// Must come back in the form.
    pub csrf: String,
    /// When the claim is void.
    pub expires_at: Millis,
}

impl Claim {
    /// What the operations want to be shown.
    #[must_use]
    pub fn token(&self) -> InvitationToken {
        InvitationToken { id: self.invitation_id, secret_hash: self.secret_hash }
    }
}

/// The path of an invitation's page.
#[must_use]
pub fn accept_path(token: &str) -> String {
    with_params("/invitations/accept", &[("token", token)])
}

/// Somebody who presents a token. Tokens that name nothing count against the budget of the client's address.
pub struct Attempt<'a> {
    app: &'a App,
    address: IpAddr,
    /// What was presented.
    pub token: InvitationToken,
}

impl<'a> Attempt<'a> {
    /// Reads the token, unless the address guessed too often.
    pub fn begin(app: &'a App, request: &HttpRequest, typed: &str) -> Result<Self, Error> {
        let address = throttle::payer(app, request);
        app.limits.invitation_tokens.allow(address, app.clock.now()).map_err(throttle::refusal(
            app,
            "invitation_tokens",
            "Too many wrong invitations were tried. Wait a little, then try again.",
        ))?;
        let mut attempt = Self { app, address, token: InvitationToken { id: 0, secret_hash: [0; 32] } };
        let presented = parse(TokenKind::Invitation, typed).ok_or_else(|| attempt.missed())?;
        attempt.token = InvitationToken { id: presented.id, secret_hash: sha256(&presented.secret) };
        Ok(attempt)
    }

    /// Counts the miss and says so: the same for a token that was never made and one with a wrong secret.
    #[must_use]
    pub fn missed(&self) -> Error {
        self.app.limits.invitation_tokens.missed(self.address, self.app.clock.now());
        Error::new(Code::NotFound, "There is no such invitation.")
    }

    /// Turns the failure of an answer into an error.
    pub fn refused(&self, error: OpError<AnswerRefusal>) -> Error {
        match error {
            OpError::Refused(AnswerRefusal::Unknown) => self.missed(),
            other => Error::from_op(other, refused),
        }
    }
}

/// The words for each refusal of an answer.
#[must_use]
pub fn refused(reason: AnswerRefusal) -> Error {
    match reason {
        AnswerRefusal::Unknown => Error::new(Code::NotFound, "There is no such invitation."),
        AnswerRefusal::WrongAccount => Error::new(
            Code::Forbidden,
            "This invitation is for another e-mail address. Sign in with the account that is invited.",
        ),
        AnswerRefusal::Expired => {
            Error::new(Code::InvitationExpired, "This invitation expired. Ask for a new one.")
        }
        AnswerRefusal::Decided(status) => {
            Error::new(Code::Conflict, format!("This invitation was {status} before."))
        }
        AnswerRefusal::OrganizationNotActive(status) => Error::not_active(&status),
        AnswerRefusal::InviterLostRights => Error::new(
            Code::Forbidden,
            "The person who invited you may not invite any more. Ask for a new invitation.",
        ),
        AnswerRefusal::AlreadyMember => {
            Error::new(Code::Conflict, "This account is a member of the organization already.")
        }
        AnswerRefusal::TeamFull(max) => Error::new(
            Code::TeamLimitExceeded,
            format!("The organization has all the {max} members that it may have."),
        ),
    }
}

/// Finds the invitation behind a token, whatever became of it.
pub async fn find(app: &App, request: &HttpRequest, typed: &str) -> Result<Invitation, Error> {
    let attempt = Attempt::begin(app, request, typed)?;
    let question = InvitationByToken { token: attempt.token, now: app.clock.now() };
    app.store.read(question).await?.ok_or_else(|| attempt.missed())
}

/// Lets an invitation pass that can still be answered.
pub fn pending(invitation: Invitation) -> Result<Invitation, Error> {
    match invitation.status.as_str() {
        "pending" if invitation.org_status != "active" => Err(Error::not_active(&invitation.org_status)),
        "pending" => Ok(invitation),
        "expired" => Err(refused(AnswerRefusal::Expired)),
        _ => Err(refused(AnswerRefusal::Decided(invitation.status))),
    }
}

/// The cookie with the claim of a browser that signed in as `user_id` for the invitation of `token`.
pub fn claim(app: &App, token: &str, user_id: i64) -> Result<Cookie<'static>, Error> {
    let presented =
        parse(TokenKind::Invitation, token).ok_or_else(|| Error::internal("no invitation token"))?;
    let claim = Claim {
        invitation_id: presented.id,
        secret_hash: sha256(&presented.secret),
        user_id,
        csrf: URL_SAFE_NO_PAD.encode(app.random.bytes::<32>()),
        expires_at: app.clock.now() + COOKIE_SECONDS * 1000,
    };
    app.cookies.seal(&app.keys.cookies, &app.random, (COOKIE, &claim), COOKIE_SECONDS)
}

/// The claim of the browser that asks.
pub fn claimed(app: &App, request: &HttpRequest) -> Result<Claim, Error> {
    let claim: Option<Claim> = app.cookies.open(&app.keys.cookies, request, COOKIE);
    claim.filter(|claim| app.clock.now() < claim.expires_at).ok_or_else(|| {
        Error::bad_request(
            "This sign-in has expired or was made in another browser. Open the link of the invitation again.",
        )
    })
}
