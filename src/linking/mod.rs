//! The decision to link one more account at a provider. The way here is told in [`crate::http::linking`].
//!
//! ```text
//! GET  /auth/link/confirm -> confirm: who are you? then: both accounts, yes or no
//! POST /auth/link/confirm -> decide
//! ```

pub mod api;

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::identities::{IdentitiesOf, LinkIdentity, LinkRefusal};
use gatehouse_actors::data::sessions::Subject;
use gatehouse_actors::data::users::Profile;
use subtle::ConstantTimeEq;

use crate::config::provider::ProviderKind;
use crate::error::{Code, Error};
use crate::http::caller::{Anonymous, Call};
use crate::http::connection;
use crate::http::input::Form;
use crate::http::linking::{self, PendingLink, account_of};
use crate::http::management::audit_context;
use crate::http::origin::check_origin;
use crate::pages::{ConfirmLink, LinkOutcome, ProveLink, ProviderChoice, respond};
use crate::state::App;

type Answer = Result<HttpResponse, Error>;

/// `GET /auth/link/confirm`
pub async fn confirm(app: Data<App>, request: HttpRequest, _call: Call<Anonymous>) -> Answer {
    let pending = linking::pending(&app, &request)?;
    let subject = linking::session(&app, &pending.session).await?;
    let (new_account, new_provider) = (pending.account(), display_name(&pending.provider));
    let (account, organization) = (account_of(&subject), subject.org_slug.clone());
    if !pending.proved {
        let providers = choices(&app, &subject).await?;
        let page = ProveLink { new_account, new_provider, account, organization, providers };
        return Ok(respond(&page, StatusCode::OK));
    }
    let page = ConfirmLink { new_account, new_provider, account, organization, csrf: pending.csrf };
    Ok(respond(&page, StatusCode::OK))
}

/// Links to the providers that sign the user in already.
async fn choices(app: &App, subject: &Subject) -> Result<Vec<ProviderChoice>, Error> {
    let identities = app.store.read(IdentitiesOf { user_id: subject.user_id }).await?;
    let own: BTreeSet<String> = identities.into_iter().map(|identity| identity.provider).collect();
    let kinds = connection::kinds(app, subject.org_id).await?;
    let choice = |kind: ProviderKind| ProviderChoice {
        href: format!("/auth/link/prove/{kind}"),
        kind: kind.as_str(),
        label: kind.display_name().to_owned(),
    };
    Ok(kinds.into_iter().filter(|kind| own.contains(kind.as_str())).map(choice).collect())
}

/// `POST /auth/link/confirm`
pub async fn decide(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Form>) -> Answer {
    check_origin(&app, &request)?;
    let pending = linking::pending(&app, &request)?;
    let params = call.input.0;
    let csrf = params.get("csrf").unwrap_or_default();
    if !pending.proved || !bool::from(csrf.as_bytes().ct_eq(pending.csrf.as_bytes())) {
        return Err(Error::new(Code::Forbidden, "This form does not belong to your sign-in. Start again."));
    }
    let linked = match params.get("decision") {
        Some("link") => true,
        Some("cancel") => false,
        _ => return Err(Error::invalid("decision", "The decision must be link or cancel.")),
    };
    let subject = linking::session(&app, &pending.session).await?;
    let provider = display_name(&pending.provider);
    if linked {
        link(&app, &request, &subject, pending).await?;
    }
    let page = LinkOutcome { linked, provider, account: account_of(&subject) };
    let mut response = respond(&page, StatusCode::OK);
    response.add_cookie(&linking::forget(&app)).map_err(Error::internal)?;
    Ok(response)
}

async fn link(app: &App, request: &HttpRequest, subject: &Subject, new: PendingLink) -> Result<(), Error> {
    let link = LinkIdentity {
        org_id: subject.org_id,
        user_id: subject.user_id,
        session_public_id: new.session,
        profile: Profile {
            provider: new.provider,
            issuer: new.issuer,
            subject: new.subject,
            email: new.email,
            email_verified: new.email_verified,
            name: new.name,
            avatar_url: None,
        },
        credential_version: new.credential_version,
        audit: audit_context(app, request, Some(subject)),
    };
    app.store.write(link).await.map_err(|error| Error::from_op(error, refused))
}

fn refused(reason: LinkRefusal) -> Error {
    let (code, message) = match reason {
        LinkRefusal::SessionEnded => {
            (Code::BadRequest, "The session ended meanwhile. Sign in to the app again.")
        }
        LinkRefusal::CredentialChanged => {
            (Code::BadRequest, "The organization changed its sign-in settings meanwhile. Start again.")
        }
        LinkRefusal::BelongsToAnother => {
            (Code::Conflict, "This account belongs to another user here meanwhile.")
        }
        LinkRefusal::OneThereAlready => {
            (Code::Conflict, "Another account of this provider is linked already. Unlink it first.")
        }
    };
    Error::new(code, message)
}

fn display_name(provider: &str) -> String {
    provider
        .parse::<ProviderKind>()
        .map_or_else(|_| provider.to_owned(), |kind| kind.display_name().to_owned())
}
