//! Provider tokens for an app that calls GitHub, Google or Microsoft for its user.
//!
//! ```text
//! GET /api/provider-token/{provider} -> read -> vault::fresh::token -> receipt (write) -> the access token
//! ```
//! The refresh token never leaves. A token is handed out after its receipt is committed, and not at all when the grant
//! changed meanwhile: what was revoked between the two reads is not handed out.

pub mod api;

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::provider_grants::{GrantChanged, GrantOfSession, RecordTokenRead};
use gatehouse_actors::data::services::ServiceByClientId;
use gatehouse_actors::data::sessions::Subject;
use serde_json::json;

use crate::error::{Code, Error, More};
use crate::http::caller::{Call, ServiceUser};
use crate::http::connection::guarded_client;
use crate::http::linking;
use crate::http::management::audit_context;
use crate::state::{App, rfc3339};
use crate::upstream::{HttpClient, UpstreamError};
use crate::vault::fresh::{self, Clients, NoToken};

type Answer = Result<HttpResponse, Error>;

/// `GET /api/provider-token/{provider}`
pub async fn read(
    app: Data<App>,
    request: HttpRequest,
    provider: Path<String>,
    call: Call<ServiceUser>,
) -> Answer {
    let subject = call.caller.subject;
    check_service(&app, &subject, &provider).await?;
    let question = GrantOfSession { session_id: subject.session_id, provider: provider.clone() };
    let Some(grant) = app.store.read(question).await? else {
        return Err(reauthorize(&app, &subject, &provider));
    };
    let (token, grant) = match fresh::token(&app, clients(&request)?, grant).await {
        Ok(found) => found,
        Err(NoToken::Reauthorize) => return Err(reauthorize(&app, &subject, &provider)),
        Err(NoToken::Provider(error)) => return Err(provider_failed(&error)),
        Err(NoToken::Failed(error)) => return Err(error),
    };
    let answer = json!({
        "access_token": token.expose(),
        "expires_at": grant.access_expires_at.map(rfc3339),
        "scopes": grant.scopes,
        "provider": grant.provider,
    });
    let audit = audit_context(&app, &request, Some(&subject));
    let receipt = RecordTokenRead { grant, client_id: subject.client_id.clone(), audit };
    app.store.write(receipt).await.map_err(|error| {
        Error::from_op(error, |GrantChanged| {
            Error::new(Code::ServiceUnavailable, "The grant changed at this moment. Ask again.")
                .retry_after(1)
        })
    })?;
    Ok(HttpResponse::Ok().json(answer))
}

/// Tokens are kept for services of organizations that name scopes for the provider, and for nobody else.
async fn check_service(app: &App, subject: &Subject, provider: &str) -> Result<(), Error> {
    let question = ServiceByClientId { client_id: subject.client_id.clone() };
    let service = app.store.read(question).await?;
    if service.is_some_and(|service| !service.provider_scopes(provider).is_empty()) {
        return Ok(());
    }
    let message =
        "The service asks for nothing at this provider. Name scopes for it in the service's settings.";
    Err(Error::new(Code::NotFound, message))
}

fn clients(request: &HttpRequest) -> Result<Clients, Error> {
    let http = request.app_data::<HttpClient>().ok_or_else(|| Error::internal("no http client"))?;
    Ok(Clients { http: http.clone(), guarded: guarded_client(request)?.clone() })
}

/// Sends the user through the provider once more. The address works by itself: the app only has to open it.
fn reauthorize(app: &App, subject: &Subject, provider: &str) -> Error {
    match linking::begin(app, &subject.session_public_id, provider) {
        Ok((address, _)) => Error {
            more: Some(Box::new(More { member: Some(("reauthorize_url", address)), ..More::default() })),
            ..Error::new(
                Code::ReauthorizationRequired,
                "The user has to grant access at the provider. Send the browser to reauthorize_url.",
            )
        },
        Err(error) => error,
    }
}

fn provider_failed(error: &UpstreamError) -> Error {
    let message = "The provider did not answer as it should. Try again in a moment.";
    Error { internal: Some(error.to_string()), ..Error::new(Code::OAuthError, message) }
}
