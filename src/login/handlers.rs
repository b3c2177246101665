//! Handlers of sign-in in the browser.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::PLATFORM_SERVICE_ID;
use gatehouse_actors::data::services::{Service, ServiceByClientId, ServiceById, ServiceBySlugs};

use super::arrival::{Callback, arrive};
use super::departure::{error_redirect, leave};
use super::request;
use super::state::{Destination, Purpose};
use crate::config::provider::ProviderKind;
use crate::crypto::token::{display_user_code, normalize_user_code};
use crate::error::{Code, Error};
use crate::http::activation;
use crate::http::caller::{Anonymous, Call};
use crate::http::connection;
use crate::http::input::{Body, Params, Query};
use crate::http::invitation;
use crate::http::redirect::see_other;
use crate::pages::{ChooseProvider, ProviderChoice, respond};
use crate::state::App;

type Answer = Result<HttpResponse, Error>;

/// `GET /auth/{provider}`
pub async fn start(
    app: Data<App>,
    request: HttpRequest,
    provider: Path<String>,
    call: Call<Anonymous, Query>,
) -> Answer {
    let params = call.input.0;
    let question = ServiceBySlugs {
        org_slug: params.required("org")?.to_owned(),
        service_slug: params.required("service")?.to_owned(),
    };
    let service = app.store.read(question).await?.filter(|service| !service.is_platform);
    let service = service.ok_or_else(|| Error::new(Code::NotFound, "There is no such service."))?;
    depart(&app, &request, &provider, &service, &params).await
}

/// `GET /auth/admin/{provider}`
pub async fn start_admin(
    app: Data<App>,
    request: HttpRequest,
    provider: Path<String>,
    call: Call<Anonymous, Query>,
) -> Answer {
    let service = platform_service(&app).await?;
    depart(&app, &request, &provider, &service, &call.input.0).await
}

/// `GET /oauth/authorize`
pub async fn authorize(app: Data<App>, call: Call<Anonymous, Query>) -> Answer {
    choose(&app, &call.input.0).await
}

/// `POST /oauth/authorize` (OpenID Connect Core, section 3.1.2.1: both methods are equal)
pub async fn authorize_by_form(app: Data<App>, call: Call<Anonymous, Body>) -> Answer {
    choose(&app, &call.input.0).await
}

/// `GET /auth/{provider}/callback`
pub async fn callback(
    app: Data<App>,
    request: HttpRequest,
    provider: Path<String>,
    call: Call<Anonymous, Query>,
) -> Answer {
    let callback = Callback { is_platform: false, provider: &provider, own: None };
    arrive(&app, &request, &callback, &call.input.0).await
}

/// `GET /auth/{provider}/callback/{org}`
pub async fn callback_own(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: Call<Anonymous, Query>,
) -> Answer {
    let (provider, org_slug) = path.into_inner();
    let callback = Callback { is_platform: false, provider: &provider, own: Some(&org_slug) };
    arrive(&app, &request, &callback, &call.input.0).await
}

/// `GET /auth/admin/{provider}/callback`
pub async fn callback_admin(
    app: Data<App>,
    request: HttpRequest,
    provider: Path<String>,
    call: Call<Anonymous, Query>,
) -> Answer {
    let callback = Callback { is_platform: true, provider: &provider, own: None };
    arrive(&app, &request, &callback, &call.input.0).await
}

/// The built-in client of the platform realm. Its only redirect URI is configuration.
async fn platform_service(app: &App) -> Result<Service, Error> {
    let missing = || Error::internal("the built-in platform service is missing");
    let mut service = app.store.read(ServiceById { id: PLATFORM_SERVICE_ID }).await?.ok_or_else(missing)?;
    service.redirect_uris = app.platform_redirect_uris();
    Ok(service)
}

/// For a device or for an app: leaves for the provider.
async fn depart(
    app: &App,
    request: &HttpRequest,
    provider: &str,
    service: &Service,
    params: &Params,
) -> Answer {
    if !service.is_active() {
        return Err(Error::not_active(&service.org_status));
    }
    let connection = connection::find(app, service.org_id, provider).await?;
    if let Some(typed) = params.get("user_code") {
        let code = activation::find(app, request, typed).await?;
        if code.service_id != service.id {
            return Err(Error::invalid_grant("This code belongs to another service."));
        }
        let user_code = normalize_user_code(typed).map(|code| display_user_code(&code)).unwrap_or_default();
        let purpose = Purpose::Device { device_code_id: code.id, user_code };
        return leave(app, request, connection, service, purpose).await;
    }
    if let Some(token) = params.get("invitation").filter(|_| service.is_platform) {
        invitation::pending(invitation::find(app, request, token).await?)?;
        let purpose = Purpose::Invitation { token: token.to_owned() };
        return leave(app, request, connection, service, purpose).await;
    }
    let destination = request::destination(&service.redirect_uris, params)?;
    match request::web(params, &destination, !service.is_confidential) {
        Ok(web) => leave(app, request, connection, service, Purpose::Web(web)).await,
        Err(error) => Ok(error_redirect(app, &destination, &error)),
    }
}

/// The standard endpoint: on to the one provider there is, or the one hinted at, or a page to choose.
async fn choose(app: &App, params: &Params) -> Answer {
    let client_id = params.required("client_id")?.to_owned();
    let unknown = || Error::bad_request("The client_id is not known.");
    let mut service = app.store.read(ServiceByClientId { client_id }).await?.ok_or_else(unknown)?;
    if service.is_platform {
        service.redirect_uris = app.platform_redirect_uris();
    }
    let destination = request::destination(&service.redirect_uris, params)?;
    if !service.is_active() {
        return Err(Error::not_active(&service.org_status));
    }
    let checked = request::response_type(params)
        .and_then(|()| request::web(params, &destination, !service.is_confidential).map(|_| ()));
    if let Err(error) = checked {
        return Ok(error_redirect(app, &destination, &error));
    }
    let kinds = connection::kinds(app, service.org_id).await?;
    Ok(offer(app, &service, params, (&destination, &kinds)))
}

fn offer(
    app: &App,
    service: &Service,
    params: &Params,
    (destination, kinds): (&Destination, &[ProviderKind]),
) -> HttpResponse {
    // No sign-in happens without the person here, so nothing can be done silently (OpenID Connect Core, 3.1.2.6).
    if params.get("prompt").is_some_and(|prompt| prompt.split(' ').any(|word| word == "none")) {
        let error = Error::bad_request("Signing in needs the person.").oauth("login_required");
        return error_redirect(app, destination, &error);
    }
    // Not the parameters that mean something at the next address but nothing at this one: with a user code, an app's
    // sign-in would become that of a device.
    let carried = params.query_without(&[
        "client_id",
        "response_type",
        "response_mode",
        "idp_hint",
        "org",
        "service",
        "user_code",
    ]);
    let names = [("org", service.org_slug.as_str()), ("service", service.slug.as_str())];
    let names = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(names).finish();
    let realm = if service.is_platform { "admin/" } else { "" };
    let mut providers: Vec<ProviderChoice> = kinds
        .iter()
        .map(|kind| ProviderChoice {
            href: format!("/auth/{realm}{kind}?{names}&{carried}"),
            kind: kind.as_str(),
            label: kind.display_name().to_owned(),
        })
        .collect();
    let hinted =
        params.get("idp_hint").and_then(|hint| providers.iter().position(|choice| choice.kind == hint));
    match (hinted, providers.len()) {
        (Some(position), _) => see_other(&providers.swap_remove(position).href),
        (None, 1) => see_other(&providers.remove(0).href),
        _ => {
            let (service_name, organization_name) = (service.name.clone(), service.org_name.clone());
            let page = ChooseProvider { service_name, organization_name, providers };
            respond(&page, actix_web::http::StatusCode::OK)
        }
    }
}
