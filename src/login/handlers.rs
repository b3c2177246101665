//! Handlers of sign-in in the browser.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::PLATFORM_SERVICE_ID;
use gatehouse_actors::data::services::{Service, ServiceById, ServiceBySlugs};

use super::arrival::{Callback, arrive};
use super::departure::{Departure, leave};
use super::state::Purpose;
use super::{answer, authorize, pushed, request};
use crate::crypto::token::{display_user_code, normalize_user_code};
use crate::error::{Code, Error};
use crate::http::caller::{Anonymous, Call};
use crate::http::connection::{self, Connection};
use crate::http::input::{Form, Params, Query};
use crate::http::redirect::see_other;
use crate::http::{activation, invitation, prefetch, throttle};
use crate::state::App;
use crate::upstream::Effort;

type Answer = Result<HttpResponse, Error>;

/// `GET /auth/{provider}`
pub async fn start(
    app: Data<App>,
    request: HttpRequest,
    provider: Path<String>,
    call: Call<Anonymous, Query>,
) -> Answer {
    prefetch::refuse(&request)?;
    throttle::sign_in(&app, &request)?;
    let params = call.input.0;
    let question = ServiceBySlugs {
        org_slug: params.required("org")?.to_owned(),
        service_slug: params.required("service")?.to_owned(),
    };
    let service = app.store.recall(question).await?.filter(|service| !service.is_platform);
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
    prefetch::refuse(&request)?;
    throttle::sign_in(&app, &request)?;
    let service = platform_service(&app).await?;
    depart(&app, &request, &provider, &service, &call.input.0).await
}

/// `GET /oauth/authorize`
pub async fn authorize(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Query>) -> Answer {
    prefetch::refuse(&request)?;
    throttle::sign_in(&app, &request)?;
    authorize::authorize(&app, &request, &call.input.0).await
}

/// `POST /oauth/authorize` (OpenID Connect Core, section 3.1.2.1: both methods are equal)
pub async fn authorize_by_form(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Form>) -> Answer {
    let params = call.input.0;
    // A form of another site comes without our cookies (SameSite=Lax), so a browser that is signed in would look as if
    // it were not. It asks once more by GET, and then brings them.
    if request.headers().get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Ok(see_other(&format!("/oauth/authorize?{}", params.query_without(&[]))));
    }
    throttle::sign_in(&app, &request)?;
    authorize::authorize(&app, &request, &params).await
}

/// `GET /auth/{provider}/callback`
pub async fn callback(
    app: Data<App>,
    request: HttpRequest,
    provider: Path<String>,
    call: Call<Anonymous, Query>,
) -> Answer {
    prefetch::refuse(&request)?;
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
    prefetch::refuse(&request)?;
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
    prefetch::refuse(&request)?;
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

/// A departure that nothing is said about.
fn plain(connection: Connection, service: &Service, purpose: Purpose) -> Departure<'_> {
    Departure { connection, service, purpose, login_hint: None, effort: Effort::Any }
}

/// For a device, an invitation or an app: leaves for the provider.
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
        return leave(app, request, plain(connection, service, purpose)).await;
    }
    if let Some(token) = params.get("invitation").filter(|_| service.is_platform) {
        invitation::pending(invitation::find(app, request, token).await?)?;
        let purpose = Purpose::Invitation { token: token.to_owned() };
        return leave(app, request, plain(connection, service, purpose)).await;
    }
    let destination = request::destination(&service.redirect_uris, params)?;
    let checked = pushed::refuse_references(service, params)
        .and_then(|()| authorize::check(app, service, params, &destination));
    let outcome = match checked {
        // This address always leads to a provider, and a provider always asks.
        Ok(asked) if asked.silent => {
            Err(Error::bad_request("Signing in here needs the person.").oauth("interaction_required"))
        }
        Ok(asked) => {
            let effort = asked.effort();
            let departure = Departure {
                connection,
                service,
                purpose: Purpose::Web(Box::new(asked.web)),
                login_hint: asked.login_hint.as_deref(),
                effort,
            };
            leave(app, request, departure).await
        }
        Err(error) => Err(error),
    };
    Ok(outcome.unwrap_or_else(|error| answer::error(app, &destination, &error)))
}
