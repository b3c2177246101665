//! Answering an invitation in the browser.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::PLATFORM_ORG_ID;
use gatehouse_actors::data::invitation_answers::{AcceptInvitation, ClaimedInvitation, DeclineInvitation};
use gatehouse_actors::data::invitations::Invitation;
use subtle::ConstantTimeEq;

use crate::error::{Code, Error};
use crate::http::caller::{Anonymous, Call};
use crate::http::input::{Form, Query};
use crate::http::invitation::{self, Claim};
use crate::http::management::audit_context;
use crate::http::origin::check_origin;
use crate::http::redirect::with_params;
use crate::pages::{
    ConfirmInvitation, InvitationOutcome, InvitationPage, InvitationWrongAccount, ProviderChoice, respond,
};
use crate::state::{App, rfc3339};

type Answer = Result<HttpResponse, Error>;

/// `GET /invitations/accept`: shows, and changes nothing, because mail scanners open links too.
pub async fn show(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Query>) -> Answer {
    let token = call.input.0.required("token")?;
    let invitation = invitation::pending(invitation::find(&app, &request, token).await?)?;
    let choice = |kind: &crate::config::provider::ProviderKind| ProviderChoice {
        href: with_params(&format!("/auth/admin/{kind}"), &[("invitation", token)]),
        kind: kind.as_str(),
        label: kind.display_name().to_owned(),
    };
    let page = InvitationPage {
        inviter: inviter(&invitation),
        role: invitation.role.as_str(),
        expires: day(&rfc3339(invitation.expires_at)),
        organization_name: invitation.org_name,
        email: invitation.email,
        providers: app.providers_of(PLATFORM_ORG_ID).keys().map(choice).collect(),
    };
    Ok(respond(&page, StatusCode::OK))
}

fn inviter(invitation: &Invitation) -> String {
    invitation.inviter_email.clone().unwrap_or_else(|| "an administrator".to_owned())
}

/// `2026-01-08T10:20:30Z` as `2026-01-08 10:20 UTC`.
fn day(moment: &str) -> String {
    let minute: String = moment.chars().take(16).collect();
    format!("{} UTC", minute.replace('T', " "))
}

/// `GET /invitations/confirm`
pub async fn confirm(app: Data<App>, request: HttpRequest, _call: Call<Anonymous>) -> Answer {
    let claim = invitation::claimed(&app, &request)?;
    let (invitation, account) = claimed(&app, &claim).await?;
    if account.as_ref() != Some(&invitation.email) {
        return Ok(wrong_account(invitation, account));
    }
    let page = ConfirmInvitation {
        inviter: inviter(&invitation),
        role: invitation.role.as_str(),
        organization_name: invitation.org_name,
        account: invitation.email,
        csrf: claim.csrf,
    };
    Ok(respond(&page, StatusCode::OK))
}

/// The invitation that the browser signed in for, if it can still be answered, and the account's address.
async fn claimed(app: &App, claim: &Claim) -> Result<(Invitation, Option<String>), Error> {
    let question = ClaimedInvitation { token: claim.token(), user_id: claim.user_id, now: app.clock.now() };
    let gone = || Error::new(Code::NotFound, "There is no such invitation.");
    let (invitation, account) = app.store.read(question).await?.ok_or_else(gone)?;
    Ok((invitation::pending(invitation)?, account))
}

fn wrong_account(invitation: Invitation, account: Option<String>) -> HttpResponse {
    let page =
        InvitationWrongAccount { organization_name: invitation.org_name, email: invitation.email, account };
    respond(&page, StatusCode::FORBIDDEN)
}

/// `POST /invitations/confirm`
pub async fn decide(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Form>) -> Answer {
    check_origin(&app, &request)?;
    let claim = invitation::claimed(&app, &request)?;
    let params = call.input.0;
    let csrf = params.get("csrf").unwrap_or_default();
    if !bool::from(csrf.as_bytes().ct_eq(claim.csrf.as_bytes())) {
        return Err(Error::new(Code::Forbidden, "This form does not belong to your sign-in. Start again."));
    }
    let accepted = match params.get("decision") {
        Some("accept") => true,
        Some("decline") => false,
        _ => return Err(Error::invalid("decision", "The decision must be accept or decline.")),
    };
    let invitation = answer(&app, &request, &claim, accepted).await?;
    let (organization_name, role) = (invitation.org_name, invitation.role.as_str());
    let mut response = respond(&InvitationOutcome { accepted, organization_name, role }, StatusCode::OK);
    response.add_cookie(&app.cookies.remove(invitation::COOKIE)).map_err(Error::internal)?;
    Ok(response)
}

async fn answer(app: &App, request: &HttpRequest, claim: &Claim, accept: bool) -> Result<Invitation, Error> {
    let audit = audit_context(app, request, None);
    let (token, user_id, now) = (claim.token(), claim.user_id, audit.now);
    let answered = if accept {
        let membership_public_id = app.random.uuid(now);
        let accept = AcceptInvitation { token, user_id, membership_public_id, now, audit };
        app.store.write(accept).await.map(|accepted| accepted.invitation)
    } else {
        app.store.write(DeclineInvitation { token, user_id, now, audit }).await
    };
    answered.map_err(|error| Error::from_op(error, invitation::refused))
}
