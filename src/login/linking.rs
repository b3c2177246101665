//! Sign-ins that link: one at the new provider, one that proves who is sitting there.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::data::identities::OwnerOfIdentity;
use gatehouse_actors::data::provider_grants::{GrantRefused, NewGrant, RenewGrant};
use gatehouse_actors::data::services::ServiceByClientId;
use gatehouse_actors::data::sessions::Subject;
use gatehouse_actors::data::users::{Arrival, Profile};

use super::departure::{Departure, leave};
use super::state::{LoginState, Purpose};
use crate::config::provider::ProviderKind;
use crate::error::{Code, Error};
use crate::http::caller::{Anonymous, Call};
use crate::http::connection;
use crate::http::input::Query;
use crate::http::linking::{self, CONFIRM_PATH, PendingLink, account_of};
use crate::http::redirect::see_other;
use crate::http::throttle;
use crate::pages::{LinkOutcome, respond};
use crate::state::App;
use crate::upstream::Effort;

type Answer = Result<HttpResponse, Error>;

/// `GET /auth/link/{provider}`
pub async fn start_link(
    app: Data<App>,
    request: HttpRequest,
    provider: Path<String>,
    call: Call<Anonymous, Query>,
) -> Answer {
    throttle::sign_in(&app, &request)?;
    let subject = linking::redeem(&app, call.input.0.required("ticket")?, &provider).await?;
    let purpose = Purpose::Link { session: subject.session_public_id.clone() };
    leave_as(&app, &request, &provider, (&subject, purpose)).await
}

/// `GET /auth/link/prove/{provider}`
pub async fn prove(
    app: Data<App>,
    request: HttpRequest,
    provider: Path<String>,
    _call: Call<Anonymous>,
) -> Answer {
    throttle::sign_in(&app, &request)?;
    let pending = linking::pending(&app, &request)?;
    let subject = linking::session(&app, &pending.session).await?;
    leave_as(&app, &request, &provider, (&subject, Purpose::LinkProof)).await
}

async fn leave_as(
    app: &App,
    request: &HttpRequest,
    provider: &str,
    (subject, purpose): (&Subject, Purpose),
) -> Answer {
    let connection = connection::find(app, subject.org_id, provider).await?;
    let question = ServiceByClientId { client_id: subject.client_id.clone() };
    let service = app.store.read(question).await?;
    let service =
        service.ok_or_else(|| Error::new(Code::NotFound, "This service does not exist any more."))?;
    let departure =
        Departure { connection, service: &service, purpose, login_hint: None, effort: Effort::Any };
    leave(app, request, departure).await
}

/// Back from the new provider. An account that signs nobody in waits for a proof and a decision.
pub(super) async fn arrived(app: &App, login: &LoginState, session: &str, arrival: Arrival) -> Answer {
    let subject = linking::session(app, session).await?;
    let profile = arrival.profile;
    match owner(app, login.org_id, (&profile.issuer, &profile.subject)).await? {
        Some(user_id) if user_id == subject.user_id => {
            renew(app, &subject, (profile, arrival.credential_version), arrival.grant).await?;
            Ok(outcome(login, &subject))
        }
        Some(_) => Err(Error::new(
            Code::Conflict,
            "This account belongs to another user here. Sign in with it, and unlink it there first.",
        )),
        None => {
            let pending = PendingLink {
                session: session.to_owned(),
                provider: profile.provider,
                credential_version: arrival.credential_version,
                issuer: profile.issuer,
                subject: profile.subject,
                email: profile.email,
                email_verified: profile.email_verified,
                name: profile.name,
                proved: false,
                csrf: URL_SAFE_NO_PAD.encode(app.random.bytes::<32>()),
                expires_at: app.clock.now() + linking::LIFETIME_SECONDS * 1000,
            };
            on_to_the_decision(app, &pending)
        }
    }
}

/// Back from a provider that the user signs in with already: is it really this user who sits there?
pub(super) async fn proved(app: &App, request: &HttpRequest, login: &LoginState, arrival: Arrival) -> Answer {
    let pending = linking::pending(app, request)?;
    let subject = linking::session(app, &pending.session).await?;
    let owner = owner(app, login.org_id, (&arrival.profile.issuer, &arrival.profile.subject)).await?;
    if owner != Some(subject.user_id) {
        return Err(Error::new(
            Code::Forbidden,
            "You signed in with an account that is not the one to link to. Nothing was linked.",
        ));
    }
    on_to_the_decision(app, &PendingLink { proved: true, ..pending })
}

/// The user's own account again: what it grants is kept for the service of the session.
async fn renew(
    app: &App,
    subject: &Subject,
    (profile, credential_version): (Profile, Option<String>),
    grant: Option<NewGrant>,
) -> Result<(), Error> {
    let Some(grant) = grant else { return Ok(()) };
    let renew = RenewGrant {
        session_public_id: subject.session_public_id.clone(),
        user_id: subject.user_id,
        profile,
        credential_version,
        grant,
        now: app.clock.now(),
    };
    app.store.write(renew).await.map_err(|error| {
        Error::from_op(error, |GrantRefused| {
            Error::bad_request("The session ended or the sign-in settings changed meanwhile. Start again.")
        })
    })
}

async fn owner(app: &App, org_id: i64, (issuer, subject): (&str, &str)) -> Result<Option<i64>, Error> {
    let question = OwnerOfIdentity { org_id, issuer: issuer.to_owned(), subject: subject.to_owned() };
    Ok(app.store.read(question).await?)
}

fn on_to_the_decision(app: &App, pending: &PendingLink) -> Answer {
    let mut response = see_other(CONFIRM_PATH);
    response.add_cookie(&linking::keep(app, pending)?).map_err(Error::internal)?;
    Ok(response)
}

fn outcome(login: &LoginState, subject: &Subject) -> HttpResponse {
    let page =
        LinkOutcome { linked: true, provider: display_name(&login.provider), account: account_of(subject) };
    respond(&page, actix_web::http::StatusCode::OK)
}

/// The person said no at the new provider.
pub(super) fn cancelled(login: &LoginState) -> HttpResponse {
    let page = LinkOutcome { linked: false, provider: display_name(&login.provider), account: String::new() };
    respond(&page, actix_web::http::StatusCode::OK)
}

fn display_name(provider: &str) -> String {
    provider
        .parse::<ProviderKind>()
        .map_or_else(|_| provider.to_owned(), |kind| kind.display_name().to_owned())
}
