//! Handlers of device authorization.

use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::device_codes::{
    ClaimedDeviceCode, DEVICE_CODE_LIFETIME, DecideDeviceCode, DeviceCode, DeviceCodeRefusal, NewDeviceCode,
};
use gatehouse_actors::data::services::Service;
use gatehouse_actors::device_code_batcher::IssueDeviceCode;
use subtle::ConstantTimeEq;

use super::view::{DeviceAuthorization, Verified, place, provider_choices};
use crate::config::provider::ProviderKind;
use crate::crypto::token::{TokenKind, compose, display_user_code, normalize_user_code};
use crate::error::{Code, Error};
use crate::http::activation::{self, Activation};
use crate::http::address::{client_address, user_agent};
use crate::http::caller::{Anonymous, Call};
use crate::http::client;
use crate::http::connection;
use crate::http::input::{Body, Form, Params, Query};
use crate::http::origin::check_origin;
use crate::http::redirect::with_params;
use crate::http::{scope, throttle};
use crate::pages::{ChooseDeviceProvider, ConfirmDevice, DeviceOutcome, EnterCode, respond};
use crate::state::App;
use crate::throttle::pacing::INTERVAL;
use crate::throttle::rate::BudgetSpent;

type Answer = Result<HttpResponse, Error>;

/// `POST /auth/device/code`, `POST /oauth/device_authorization`
pub async fn issue(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Body>) -> Answer {
    let params = call.input.0;
    if !request.headers().contains_key(AUTHORIZATION) {
        params.required("client_id")?;
    }
    let (payer, now) = (throttle::payer(&app, &request), app.clock.now());
    throttle::failures_left(&app, &request)?;
    app.limits.device_codes.spend(payer, now).map_err(too_many(&app, "device_codes"))?;
    // RFC 8628, section 3.1: confidential clients authenticate here as at the token endpoint.
    let service = client::identify(&app, &request, &params).await;
    let service = service.inspect_err(|error| throttle::failed(&app, &request, error))?;
    app.limits
        .device_codes_of_client
        .spend(service.id, now)
        .map_err(too_many(&app, "device_codes_of_client"))?;
    check_names(&params, &service)?;
    // What a third-party service may know is asked on the consent page, which a device does not have.
    if service.registration.is_third_party {
        return Err(Error::bad_request(
            "A third-party service signs in on the web, where consent is asked for.",
        )
        .oauth("unauthorized_client"));
    }
    if !service.is_active() {
        return Err(Error::not_active(&service.org_status));
    }
    let code = NewDeviceCode {
        org_id: service.org_id,
        service_id: service.id,
        scope: scope::for_service(params.get("scope"), &service)?,
        requested_from: client_address(&request, &app.config.trusted_proxies)
            .map(|address| address.to_string())
            .unwrap_or_default(),
        user_agent: user_agent(&request),
        now,
    };
    let issued = app.store.issue_device_code(IssueDeviceCode { code }).await?;
    app.guesses.issued(now);
    let user_code = display_user_code(&issued.user_code);
    let verification_uri = activation_uri(&app, &service);
    Ok(HttpResponse::Ok().json(DeviceAuthorization {
        device_code: compose(TokenKind::DeviceCode, issued.id, &issued.secret),
        verification_uri_complete: with_params(&verification_uri, &[("user_code", &user_code)]),
        verification_uri,
        user_code,
        expires_in: DEVICE_CODE_LIFETIME / 1000,
        interval: INTERVAL,
    }))
}

fn too_many<'a>(app: &'a App, limit: &'static str) -> impl FnOnce(BudgetSpent) -> Error + use<'a> {
    throttle::refusal(app, limit, "Too many device codes were asked for. Wait, then try again.")
}

/// A client that names its organization and service must name its own.
fn check_names(params: &Params, service: &Service) -> Result<(), Error> {
    let same = |name: &str, own: &str| params.get(name).is_none_or(|given| given == own);
    if same("org", &service.org_slug) && same("service", &service.slug) {
        return Ok(());
    }
    Err(Error::new(Code::InvalidClient, "The client_id does not belong to this organization and service."))
}

fn activation_uri(app: &App, service: &Service) -> String {
    let own = if service.is_platform {
        app.config.platform_device_activation_uri.clone()
    } else {
        service.device_activation_uri.clone()
    };
    own.unwrap_or_else(|| format!("{}/activate", app.base_url))
}

/// `POST /auth/device/verify`
pub async fn verify(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Body>) -> Answer {
    let code = activation::find(&app, &request, call.input.0.required("user_code")?).await?;
    let providers = connection::kinds(&app, code.org_id).await?;
    Ok(HttpResponse::Ok().json(Verified {
        available_providers: providers.into_iter().map(ProviderKind::as_str).collect(),
        expires_in: (code.expires_at - app.clock.now()) / 1000,
        org_slug: code.org_slug,
        service_slug: code.service_slug,
        service_name: code.service_name,
        client_id: code.client_id,
    }))
}

/// `GET /activate`
pub async fn activate(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Query>) -> Answer {
    let Some(typed) = call.input.0.get("user_code") else {
        let page = EnterCode { prefilled: String::new(), error: None };
        return Ok(respond(&page, StatusCode::OK));
    };
    let code = match activation::find(&app, &request, typed).await {
        Ok(code) => code,
        Err(error) if matches!(error.code, Code::InvalidGrant | Code::DeviceCodeExpired) => {
            let prefilled = typed.chars().take(20).collect();
            let page = EnterCode { prefilled, error: Some(error.message.into_owned()) };
            return Ok(respond(&page, StatusCode::BAD_REQUEST));
        }
        Err(error) => return Err(error),
    };
    let user_code = normalize_user_code(typed).map(|code| display_user_code(&code)).unwrap_or_default();
    let page = ChooseDeviceProvider {
        providers: provider_choices(&connection::kinds(&app, code.org_id).await?, &code, &user_code),
        place: place(&code, app.clock.now()),
        service_name: code.service_name,
        organization_name: code.org_name,
        user_code,
        can_change_code: true,
    };
    Ok(respond(&page, StatusCode::OK))
}

/// `GET /activate/confirm`
pub async fn confirm(app: Data<App>, request: HttpRequest, _call: Call<Anonymous>) -> Answer {
    let activation = claim_of_browser(&app, &request)?;
    let question = ClaimedDeviceCode { id: activation.device_code_id, user_id: activation.user_id };
    let (code, account) = app.store.read(question).await?.ok_or_else(stale)?;
    let provider = code.provider.as_deref().unwrap_or_default().parse::<ProviderKind>();
    let page = ConfirmDevice {
        place: place(&code, app.clock.now()),
        service_name: code.service_name,
        organization_name: code.org_name,
        user_code: activation.user_code,
        account,
        account_provider: provider.map(|kind| kind.display_name().to_owned()).unwrap_or_default(),
        csrf: activation.csrf,
    };
    Ok(respond(&page, StatusCode::OK))
}

/// `POST /activate/confirm`
pub async fn decide(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Form>) -> Answer {
    check_origin(&app, &request)?;
    let activation = claim_of_browser(&app, &request)?;
    let params = call.input.0;
    let csrf = params.get("csrf").unwrap_or_default();
    if !bool::from(csrf.as_bytes().ct_eq(activation.csrf.as_bytes())) {
        return Err(Error::new(Code::Forbidden, "This form does not belong to your sign-in. Start again."));
    }
    let approve = match params.get("decision") {
        Some("approve") => true,
        Some("deny") => false,
        _ => return Err(Error::invalid("decision", "The decision must be approve or deny.")),
    };
    let (id, user_id) = (activation.device_code_id, activation.user_id);
    let now = app.clock.now();
    let decide = DecideDeviceCode { id, user_id, approve, event_public_id: app.random.uuid(now), now };
    let code: DeviceCode = app.store.write(decide).await.map_err(|error| Error::from_op(error, refused))?;
    log::info!(approved = approve, client_id = code.client_id.as_str(); "device decided");
    let page = DeviceOutcome { approved: approve, service_name: code.service_name };
    let mut response = respond(&page, StatusCode::OK);
    response.add_cookie(&app.cookies.remove(activation::COOKIE)).map_err(Error::internal)?;
    Ok(response)
}

fn claim_of_browser(app: &App, request: &HttpRequest) -> Result<Activation, Error> {
    let activation: Option<Activation> = app.cookies.open(&app.keys.cookies, request, activation::COOKIE);
    activation.filter(|activation| app.clock.now() < activation.expires_at).ok_or_else(stale)
}

fn stale() -> Error {
    Error::bad_request("This sign-in has expired or was made in another browser. Enter the code again.")
}

fn refused(reason: DeviceCodeRefusal) -> Error {
    match reason {
        DeviceCodeRefusal::Expired => stale(),
        DeviceCodeRefusal::Decided => Error::new(Code::Conflict, "This code was decided already."),
        DeviceCodeRefusal::ClaimedByOther => {
            Error::new(Code::Forbidden, "Somebody else signed in with this code. Start again on your device.")
        }
        DeviceCodeRefusal::OrganizationNotActive => Error::not_active("not open"),
    }
}
