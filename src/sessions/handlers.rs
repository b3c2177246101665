//! Handlers of tokens.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::sessions::EndSession;

use super::view::token_answer;
use super::{client_credentials, grants};
use crate::error::{Code, Error};
use crate::http::caller::{Anonymous, Call, TokenHolder};
use crate::http::client::Authenticated;
use crate::http::input::{Body, Params};
use crate::http::{client, dpop, throttle};
use crate::metrics::grants::Grant;
use crate::state::App;

type Answer = Result<HttpResponse, Error>;

/// RFC 8628, section 3.4.
const DEVICE_CODE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// `POST /auth/token`, `POST /oauth/token`
pub async fn token(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Body>) -> Answer {
    if !request.query_string().is_empty() {
        // RFC 6749, section 3.2: parameters of the token endpoint travel in the body.
        return Err(Error::bad_request("Send the parameters in the body, not in the address."));
    }
    let params = call.input.0;
    let grant_type = params.required("grant_type")?;
    throttle::failures_left(&app, &request).map_err(|error| match grant_type {
        // RFC 8628, section 3.5, knows a word for it.
        DEVICE_CODE_GRANT => error.oauth("slow_down"),
        _ => error,
    })?;
    let client = client::authenticate(&app, &request, &params).await;
    let client = client.inspect_err(|error| throttle::failed(&app, &request, error))?;
    let granted = grant(&app, &request, (grant_type, &params), &client).await;
    granted.inspect_err(|error| {
        // A client that proved who it is may act for thousands: its failures are its own.
        if client.credential.is_none() {
            throttle::failed(&app, &request, error);
        }
    })
}

async fn grant(
    app: &App,
    request: &HttpRequest,
    (grant_type, params): (&str, &Params),
    client: &Authenticated,
) -> Answer {
    let service = &client.service;
    let key = dpop::proved_key(app, request, None)?;
    if service.registration.dpop_bound_access_tokens && key.is_none() {
        return Err(dpop::needed());
    }
    let count = |grant, outcome| app.meters.grants.count(grant, outcome);
    let granted = match grant_type {
        "authorization_code" => {
            let granted = grants::authorization_code(app, params, service, key).await;
            count(Grant::AuthorizationCode, granted)?
        }
        "refresh_token" => {
            let granted = grants::refresh(app, request, params, Some(service), key).await;
            count(Grant::RefreshToken, granted)?
        }
        DEVICE_CODE_GRANT => {
            let granted = grants::device_code(app, params, service, key).await;
            count(Grant::DeviceCode, granted)?
        }
        "client_credentials" => {
            let granted = client_credentials::grant(app, params, client, key);
            let granted = app.meters.grants.count(Grant::ClientCredentials, granted)?;
            return Ok(HttpResponse::Ok().json(granted));
        }
        _ => return Err(Error::new(Code::UnsupportedGrantType, "This grant_type is not supported.")),
    };
    Ok(HttpResponse::Ok().json(token_answer(app, &granted)?))
}

/// `POST /api/auth/refresh`
pub async fn refresh(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Body>) -> Answer {
    let params = call.input.0;
    let identified = client::identify_if_authenticated(&app, &request, &params);
    let client = throttle::counted(&app, &request, identified).await?;
    let key = dpop::proved_key(&app, &request, None)?;
    if key.is_none() && client.as_ref().is_some_and(|client| client.registration.dpop_bound_access_tokens) {
        return Err(dpop::needed());
    }
    let granted = grants::refresh(&app, &request, &params, client.as_deref(), key).await;
    let granted = app.meters.grants.count(Grant::RefreshToken, granted);
    let granted = granted.inspect_err(|error| {
        if client.is_none() {
            throttle::failed(&app, &request, error);
        }
    })?;
    Ok(HttpResponse::Ok().json(token_answer(&app, &granted)?))
}

/// `POST /api/auth/logout`
pub async fn logout(app: Data<App>, call: Call<TokenHolder>) -> Answer {
    let end =
        EndSession { public_id: call.caller.claims.sid.clone(), reason: "logout", now: app.clock.now() };
    app.store.write(end).await.map_err(|error| Error::from_op(error, |()| Error::internal("refused")))?;
    Ok(HttpResponse::NoContent().finish())
}
