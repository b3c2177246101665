//! The invitation API.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::invitation_answers::{AcceptInvitation, DeclineInvitation};
use gatehouse_actors::data::invitations::{
    CancelInvitation, CancelRefusal, CreateInvitation, Invitation, InvitationsForEmail, InviteRefusal,
    OrganizationInvitations,
};
use gatehouse_actors::data::memberships::Role;

use super::view::{Accepted, Created, InvitationBody};
use crate::crypto::token::{TokenKind, TokenSecret, compose, sha256};
use crate::error::{Code, Error};
use crate::http::caller::Call;
use crate::http::email;
use crate::http::fields::Fields;
use crate::http::input::Query;
use crate::http::invitation::{Attempt, accept_path};
use crate::http::management::{
    Active, Administrator, AtLeastAdmin, InAnyState, OrganizationCaller, audit_context,
};
use crate::http::page::Page;
use crate::http::throttle;
use crate::mail::letter;
use crate::state::App;

type Answer = Result<HttpResponse, Error>;

/// `POST /api/organizations/{org}/invitations`
pub async fn create(
    app: Data<App>,
    request: HttpRequest,
    call: Call<OrganizationCaller<AtLeastAdmin, Active>, Fields>,
) -> Answer {
    let Call { caller, input } = call;
    let (email, role) = invitee(input)?;
    pay(&app, caller.organization.id, &email)?;
    let audit = audit_context(&app, &request, Some(&caller.subject));
    let secret: TokenSecret = app.random.bytes();
    let create = CreateInvitation {
        org_id: caller.organization.id,
        inviter_id: caller.subject.user_id,
        public_id: app.random.uuid(audit.now),
        email,
        role,
        token_hash: sha256(&secret),
        now: audit.now,
        audit,
    };
    let invitation = app.store.write(create).await.map_err(|error| Error::from_op(error, not_created))?;
    let token = compose(TokenKind::Invitation, invitation.id, &secret);
    // From BASE_URL, whatever the request's own headers say this host is called.
    let accept_url = format!("{}{}", app.base_url, accept_path(&token));
    let mail_queued = mail(&app, &invitation, &accept_url);
    let inviter = (&*caller.subject).into();
    let body = Created { invitation: invitation.into(), inviter, token, accept_url, mail_queued };
    Ok(HttpResponse::Created().json(body))
}

/// Invitations are mails to people who did not ask for them.
fn pay(app: &App, org_id: i64, email: &str) -> Result<(), Error> {
    let (limits, now) = (&app.limits, app.clock.now());
    limits.invitations.spend(org_id, now).map_err(throttle::refusal(
        app,
        "invitations",
        "The organization sent many invitations of late. Wait, then try again.",
    ))?;
    limits.invitation_mails.spend(limits.hash(email), now).map_err(throttle::refusal(
        app,
        "invitation_mails",
        "This address was invited often of late. Wait, then try again.",
    ))
}

/// The address under either of its names, and the role.
fn invitee(mut fields: Fields) -> Result<(String, Role), Error> {
    let (email, invitee_email) = (fields.text("email", 254), fields.text("invitee_email", 254));
    let name = if fields.has("invitee_email") && !fields.has("email") { "invitee_email" } else { "email" };
    let address = match (email, invitee_email) {
        (Some(one), Some(other)) if one != other => {
            fields.reject("invitee_email", "differs from email: send one of the two");
            None
        }
        (one, other) => one.or(other).as_deref().and_then(email::normalize),
    };
    if address.is_none() {
        fields.reject(name, "must be an e-mail address");
    }
    let role = Role::parse(&fields.required_text("role", 20)).filter(|role| *role != Role::Owner);
    if role.is_none() {
        fields.reject("role", "must be admin or member");
    }
    fields.finish()?;
    // Both are there: what is not was rejected above.
    address.zip(role).ok_or_else(|| Error::internal("a checked field is missing"))
}

/// After COMMIT, and never a reason to fail: the link is in the answer too.
fn mail(app: &App, invitation: &Invitation, accept_url: &str) -> bool {
    let Some(from) = app.mailer.sender() else { return false };
    match letter::invitation(from, invitation, accept_url, app.clock.now()) {
        Ok(letter) => app.mailer.post(letter),
        Err(error) => {
            log::error!(about = invitation.public_id.as_str(), error:% = error; "mail not written");
            false
        }
    }
}

fn not_created(reason: InviteRefusal) -> Error {
    match reason {
        InviteRefusal::NotAllowed => {
            Error::new(Code::Forbidden, "This needs the role admin in the organization.")
        }
        InviteRefusal::OrganizationNotActive(status) => Error::not_active(&status),
        InviteRefusal::AlreadyMember => {
            Error::new(Code::Conflict, "A member of the organization has this address already.")
        }
        InviteRefusal::AlreadyInvited => Error::new(
            Code::Conflict,
            "An invitation for this address is pending. Cancel it to send a new one.",
        ),
    }
}

/// `GET /api/organizations/{org}/invitations`
pub async fn list(app: Data<App>, call: Call<OrganizationCaller<AtLeastAdmin, InAnyState>, Query>) -> Answer {
    let (organization, params) = (call.caller.organization, call.input.0);
    let page = Page::parse(&params)?;
    let status = params.get("status").map(ToOwned::to_owned);
    let known = ["pending", "accepted", "declined", "cancelled", "expired"];
    if status.as_deref().is_some_and(|status| !known.contains(&status)) {
        return Err(Error::invalid("status", format!("status must be one of {}.", known.join(", "))));
    }
    let now = app.clock.now();
    let (limit, offset) = (page.limit, page.offset);
    let question = OrganizationInvitations { org_id: organization.id, status, now, limit, offset };
    Ok(HttpResponse::Ok().json(bodies(app.store.read(question).await?)))
}

fn bodies(invitations: Vec<Invitation>) -> Vec<InvitationBody> {
    invitations.into_iter().map(InvitationBody::from).collect()
}

/// `POST`, `DELETE /api/organizations/{org}/invitations/{invitation}`
pub async fn cancel(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: Call<OrganizationCaller<AtLeastAdmin, InAnyState>, Fields>,
) -> Answer {
    let caller = call.caller;
    let audit = audit_context(&app, &request, Some(&caller.subject));
    let cancel = CancelInvitation {
        org_id: caller.organization.id,
        public_id: path.into_inner().1,
        user_id: caller.subject.user_id,
        now: audit.now,
        audit,
    };
    app.store.write(cancel).await.map_err(|error| Error::from_op(error, not_cancelled))?;
    Ok(HttpResponse::NoContent().finish())
}

fn not_cancelled(reason: CancelRefusal) -> Error {
    match reason {
        CancelRefusal::NotFound => Error::new(Code::NotFound, "There is no such invitation."),
        CancelRefusal::NotAllowed => {
            Error::new(Code::Forbidden, "This needs the role admin in the organization.")
        }
        CancelRefusal::Decided(status) => {
            Error::new(Code::Conflict, format!("This invitation was {status} before."))
        }
    }
}

/// `GET /api/invitations`
pub async fn mine(app: Data<App>, call: Call<Administrator, Query>) -> Answer {
    let Page { limit, offset, .. } = Page::parse(&call.input.0)?;
    // Only a proved address is ever the subject's; without one nobody can have been meant.
    let Some(email) = call.caller.subject.email.clone() else {
        return Ok(HttpResponse::Ok().json(Vec::<InvitationBody>::new()));
    };
    let question = InvitationsForEmail { email, now: app.clock.now(), limit, offset };
    Ok(HttpResponse::Ok().json(bodies(app.store.read(question).await?)))
}

/// `POST /api/invitations/accept`
pub async fn accept(app: Data<App>, request: HttpRequest, call: Call<Administrator, Fields>) -> Answer {
    let Call { caller, input } = call;
    let token = token(input)?;
    let attempt = Attempt::begin(&app, &request, &token)?;
    let audit = audit_context(&app, &request, Some(&caller.subject));
    let now = audit.now;
    let accept = AcceptInvitation {
        token: attempt.token,
        user_id: caller.subject.user_id,
        membership_public_id: app.random.uuid(now),
        now,
        audit,
    };
    let accepted = app.store.write(accept).await.map_err(|error| attempt.refused(error))?;
    Ok(HttpResponse::Ok().json(Accepted::new(accepted, now)))
}

/// `POST /api/invitations/decline`
pub async fn decline(app: Data<App>, request: HttpRequest, call: Call<Administrator, Fields>) -> Answer {
    let Call { caller, input } = call;
    let token = token(input)?;
    let attempt = Attempt::begin(&app, &request, &token)?;
    let audit = audit_context(&app, &request, Some(&caller.subject));
    let (user_id, now) = (caller.subject.user_id, audit.now);
    let decline = DeclineInvitation { token: attempt.token, user_id, now, audit };
    app.store.write(decline).await.map_err(|error| attempt.refused(error))?;
    Ok(HttpResponse::NoContent().finish())
}

fn token(mut fields: Fields) -> Result<String, Error> {
    let token = fields.required_text("token", 200);
    fields.finish()?;
    Ok(token)
}
