//! The standard authorization endpoint.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::browser_sessions::{BrowserSession, BrowserToken};
use gatehouse_actors::data::services::{Service, ServiceByClientId};
use gatehouse_actors::data::sign_in::{Authorized, ContinueBrowserSession, ContinueRefusal};
use gatehouse_actors::data::token_binding::TokenBinding;

use super::consent::{self, Realm};
use super::departure::{Departure, leave};
use super::request::{self, Asked, Asker};
use super::rules::{Step, next_step};
use super::state::{Destination, Purpose};
use super::{answer, pushed};
use crate::config::provider::ProviderKind;
use crate::crypto::token::{TokenSecret, is_code_challenge, sha256};
use crate::error::Error;
use crate::http::address::seen_from;
use crate::http::input::Params;
use crate::http::redirect::with_params;
use crate::http::{audience, scope};
use crate::http::{browser_session, connection};
use crate::pages::{ChooseProvider, ProviderChoice, respond};
use crate::state::App;
use crate::upstream::Effort;

type Answer = Result<HttpResponse, Error>;

/// A request that came from a browser: everything that the steps below share.
struct Visit<'a> {
    app: &'a App,
    request: &'a HttpRequest,
    service: &'a Service,
    /// As they stood in the request.
    sent: &'a Params,
}

/// From the parameters to an answer. Errors before the redirect URI is known to be the app's stay here, all others go
/// there (RFC 6749, section 4.1.2.1).
pub(super) async fn authorize(app: &App, request: &HttpRequest, sent: &Params) -> Answer {
    let service = client(app, sent).await?;
    let visit = Visit { app, request, service: &service, sent };
    let params = match pushed::effective(app, &service, sent).await {
        Ok(params) => params,
        Err(error) => {
            let destination =
                request::destination(&service.redirect_uris, sent).map_err(|_| error.clone())?;
            return Ok(answer::error(app, &destination, &error));
        }
    };
    let destination = request::destination(&service.redirect_uris, &params)?;
    if !service.is_active() {
        return Err(Error::not_active(&service.org_status));
    }
    let checked = request::response_type(&params).and_then(|()| check(app, &service, &params, &destination));
    let outcome = match checked {
        Ok(asked) => go_on(&visit, &asked).await,
        Err(error) => Err(error),
    };
    Ok(outcome.unwrap_or_else(|error| answer::error(app, &destination, &error)))
}

/// The service behind the `client_id`.
async fn client(app: &App, params: &Params) -> Result<Service, Error> {
    let client_id = params.required("client_id")?.to_owned();
    let unknown = || Error::bad_request("The client_id is not known.");
    let service = app.store.recall(ServiceByClientId { client_id }).await?.ok_or_else(unknown)?;
    let mut service = Arc::unwrap_or_clone(service);
    if service.is_platform {
        service.redirect_uris = app.platform_redirect_uris();
    }
    Ok(service)
}

/// The rules of a request, with what they must know of who asks.
pub(super) fn check(
    app: &App,
    service: &Service,
    params: &Params,
    destination: &Destination,
) -> Result<Asked, Error> {
    let hinted_user = match params.get("id_token_hint") {
        None => None,
        Some(hint) => {
            let claims = app.signing_keys.verify_id_token(&app.base_url, hint);
            Some(
                claims
                    .map_err(|_| Error::bad_request("The id_token_hint is no id_token of this server."))?
                    .sub,
            )
        }
    };
    let asker = Asker {
        is_public: !service.is_confidential,
        hinted_user,
        scope: scope::for_service(params.get("scope"), service)?,
        binding: binding(params, service)?,
    };
    request::asked(params, destination, asker)
}

/// A key that the code is to be bound to (RFC 9449, section 10), and what the tokens are to be for (RFC 8707).
fn binding(params: &Params, service: &Service) -> Result<TokenBinding, Error> {
    let dpop_jkt = params.get("dpop_jkt");
    // A SHA-256 in base64url, like a challenge.
    if dpop_jkt.is_some_and(|jkt| !is_code_challenge(jkt)) {
        return Err(Error::bad_request("The dpop_jkt is not the SHA-256 thumbprint of a key."));
    }
    Ok(TokenBinding {
        dpop_jkt: dpop_jkt.map(ToOwned::to_owned),
        resources: audience::requested(params, service)?,
    })
}

async fn go_on(visit: &Visit<'_>, asked: &Asked) -> Answer {
    let Visit { app, request, service, .. } = visit;
    let session = browser_session::of(app, request, service).await?;
    let token = browser_session::presented(app, request, &service.org_slug);
    let kinds = connection::kinds(app, service.org_id).await?;
    let hinted = kinds.iter().copied().find(|kind| asked.idp_hint.as_deref() == Some(kind.as_str()));
    let ways = Ways { kinds: &kinds, hinted };
    let now = app.clock.now();
    let step = next_step(asked, session.as_ref().map(Into::into), hinted.map(ProviderKind::as_str), now);
    match (step, session, token) {
        (Step::Refuse(error), ..) => Err(error),
        (Step::Continue, Some(session), Some(token)) => sign_on(visit, asked, &session, token).await,
        (Step::Continue, ..) => sign_in(visit, asked, ways, Effort::Any).await,
        (Step::SignIn(effort), ..) => sign_in(visit, asked, ways, effort).await,
    }
}

/// Single sign-on: a code for the session that the browser has.
async fn sign_on(visit: &Visit<'_>, asked: &Asked, session: &BrowserSession, token: BrowserToken) -> Answer {
    let Visit { app, request, service, .. } = visit;
    let web = &asked.web;
    let secret: TokenSecret = app.random.bytes();
    let go_on = ContinueBrowserSession {
        token,
        org_id: service.org_id,
        service_id: service.id,
        request: web.code_request(sha256(&secret), seen_from(app, request)),
        now: app.clock.now(),
    };
    match app.store.write(go_on).await {
        Ok(Authorized::Code(id)) => {
            app.meters.sign_ins.continued();
            Ok(answer::code(app, &web.destination, id, &secret))
        }
        Ok(Authorized::ConsentNeeded) if asked.silent => {
            Err(Error::bad_request("The person must be asked for consent.").oauth("consent_required"))
        }
        Ok(Authorized::ConsentNeeded) => {
            let realm = Realm { org_id: service.org_id, org_slug: &service.org_slug, service_id: service.id };
            consent::ask(app, request, realm, (session.user_id, web))
        }
        Err(error) => Err(Error::from_op(error, refused)),
    }
}

/// Why a session that was live a moment ago opens nothing: it was ended in between.
pub(super) fn refused(reason: ContinueRefusal) -> Error {
    match reason {
        ContinueRefusal::NotSignedIn | ContinueRefusal::OtherUser => {
            Error::bad_request("The sign-in of this browser has ended.").oauth("login_required")
        }
        ContinueRefusal::ServiceGone => {
            Error::bad_request("This service does not exist any more.").oauth("unauthorized_client")
        }
    }
}

/// The providers that the person can choose from, and the one of them that the app named.
#[derive(Clone, Copy)]
struct Ways<'a> {
    kinds: &'a [ProviderKind],
    hinted: Option<ProviderKind>,
}

/// On to the provider that was named, or to the only one there is; else a page to choose.
async fn sign_in(visit: &Visit<'_>, asked: &Asked, ways: Ways<'_>, effort: Effort) -> Answer {
    let Visit { app, request, service, .. } = visit;
    let kind = match (ways.hinted, ways.kinds) {
        (Some(kind), _) => kind.as_str(),
        (None, [kind]) => kind.as_str(),
        _ => return Ok(choose(visit, ways.kinds)),
    };
    let departure = Departure {
        connection: connection::find(app, service.org_id, kind).await?,
        service,
        purpose: Purpose::Web(Box::new(asked.web.clone())),
        login_hint: asked.login_hint.as_deref(),
        effort,
    };
    leave(app, request, departure).await
}

/// Each link leads back to this endpoint with the same parameters and the provider of the choice.
fn choose(visit: &Visit<'_>, kinds: &[ProviderKind]) -> HttpResponse {
    let Visit { service, sent, .. } = visit;
    let again = format!("/oauth/authorize?{}", sent.query_without(&["idp_hint"]));
    let choice = |kind: &ProviderKind| ProviderChoice {
        href: with_params(&again, &[("idp_hint", kind.as_str())]),
        kind: kind.as_str(),
        label: kind.display_name().to_owned(),
    };
    let page = ChooseProvider {
        service_name: service.name.clone(),
        organization_name: service.org_name.clone(),
        providers: kinds.iter().map(choice).collect(),
    };
    respond(&page, StatusCode::OK)
}
