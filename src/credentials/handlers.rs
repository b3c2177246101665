//! Handlers of bring-your-own credentials.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::oauth_credentials::{
    DeleteOauthCredential, OauthCredential, OauthCredentialOf, OauthCredentialsOf, OrganizationNotActive,
    SaveOauthCredential, SavedOauthCredential, UnknownOauthCredential,
};

use super::rules::{self, NewCredential};
use super::view;
use crate::config::provider::ProviderKind;
use crate::config::secret::Secret;
use crate::error::{Code, Error};
use crate::http::caller::Call;
use crate::http::connection::{SecretPlace, guarded_client, own_provider, own_settings, seal_secret};
use crate::http::fields::Fields;
use crate::http::input::Query;
use crate::http::management::{Active, AnyMember, AtLeastAdmin, OrganizationCaller, audit_context};
use crate::http::throttle;
use crate::state::App;
use crate::upstream::UpstreamError;

type Answer = Result<HttpResponse, Error>;

/// `GET /api/organizations/{org}/oauth-credentials`
pub async fn list(app: Data<App>, call: Call<OrganizationCaller<AnyMember>>) -> Answer {
    let organization = &call.caller.organization;
    let all = app.store.read(OauthCredentialsOf { org_id: organization.id }).await?;
    let live = all.iter().filter(|one| one.is_live());
    let bodies: Vec<_> = live.map(|one| view::credential(&app, one, organization)).collect();
    Ok(HttpResponse::Ok().json(bodies))
}

/// `GET /api/organizations/{org}/oauth-credentials/{provider}`
pub async fn show(
    app: Data<App>,
    path: Path<(String, String)>,
    call: Call<OrganizationCaller<AnyMember>>,
) -> Answer {
    let organization = &call.caller.organization;
    let kind = rules::provider(&path.1)?;
    let question = OauthCredentialOf { org_id: organization.id, provider: kind.as_str().to_owned() };
    let found = app.store.read(question).await?.filter(OauthCredential::is_live);
    let found = found.ok_or_else(unknown)?;
    Ok(HttpResponse::Ok().json(view::credential(&app, &found, organization)))
}

/// `POST /api/organizations/{org}/oauth-credentials/{provider}`. Saves, or replaces what was there.
pub async fn save(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: Call<OrganizationCaller<AtLeastAdmin, Active>, Fields>,
) -> Answer {
    throttle::call_outside(&app, call.caller.subject.user_id)?;
    let organization = &call.caller.organization;
    let kind = rules::provider(&path.1)?;
    let new = rules::new_credential(kind, call.input)?;
    verify(&app, &request, kind, &new).await?;
    let audit = audit_context(&app, &request, Some(&call.caller.subject));
    let version_id = app.random.uuid(audit.now);
    let place = SecretPlace {
        org_id: organization.id,
        provider: kind,
        version_id: &version_id,
        client_id: &new.client_id,
        issuer: new.issuer.as_deref(),
    };
    let client_secret_sealed = seal_secret(&app, &place, &new.client_secret)?;
    let save = SaveOauthCredential {
        org_id: organization.id,
        provider: kind.as_str().to_owned(),
        public_id: app.random.uuid(audit.now),
        client_secret_sealed,
        version_id,
        client_id: new.client_id,
        issuer: new.issuer,
        audit,
    };
    let saved =
        app.store.write(save).await.map_err(|error| {
            Error::from_op(error, |OrganizationNotActive(status)| Error::not_active(&status))
        })?;
    let SavedOauthCredential { credential, replaced } = saved;
    let mut answer = if replaced { HttpResponse::Ok() } else { HttpResponse::Created() };
    Ok(answer.json(view::credential(&app, &credential, organization)))
}

/// Before anything is stored: the issuer must be who it says, and everything it names must be on the internet.
async fn verify(
    app: &App,
    request: &HttpRequest,
    kind: ProviderKind,
    new: &NewCredential,
) -> Result<(), Error> {
    let client = (new.client_id.as_str(), Secret::new(new.client_secret.expose().clone()));
    let settings = own_settings(app, kind, new.issuer.as_deref(), client)
        .ok_or_else(|| Error::internal("a provider without endpoints"))?;
    let provider = own_provider(settings);
    if !provider.is_tenant_chosen() {
        return Ok(());
    }
    provider.verify(guarded_client(request)?, &*app.clock).await.map_err(|error| issuer_refused(&error))
}

fn issuer_refused(error: &UpstreamError) -> Error {
    let message = match error {
        UpstreamError::Forbidden => "issuer, or an endpoint that it names, is not a public https address. \
             Addresses of private networks and of this machine cannot be used."
            .to_owned(),
        UpstreamError::BadAnswer(what) => {
            format!("issuer has a discovery document that cannot be used: {what}.")
        }
        other => format!("issuer did not answer at /.well-known/openid-configuration as it should: {other}."),
    };
    Error { internal: Some(error.to_string()), ..Error::invalid("issuer", message) }
}

/// `DELETE /api/organizations/{org}/oauth-credentials/{provider}`
pub async fn delete(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: Call<OrganizationCaller<AtLeastAdmin, Active>, Query>,
) -> Answer {
    let kind = rules::provider(&path.1)?;
    let audit = audit_context(&app, &request, Some(&call.caller.subject));
    let delete = DeleteOauthCredential {
        org_id: call.caller.organization.id,
        provider: kind.as_str().to_owned(),
        version_id: app.random.uuid(audit.now),
        restore_default: rules::restore_default(&call.input.0)?,
        audit,
    };
    let deleted = app.store.write(delete).await;
    deleted.map_err(|error| Error::from_op(error, |UnknownOauthCredential| unknown()))?;
    Ok(HttpResponse::NoContent().finish())
}

fn unknown() -> Error {
    Error::new(Code::NotFound, "The organization has no credentials for this provider.")
}
