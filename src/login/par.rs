//! Pushed authorization requests (RFC 9126): the client sends the parameters itself, authenticated, and the browser
//! carries nothing but a reference.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::pushed_requests::{PUSHED_LIFETIME, PushRequest};
use serde_json::json;

use super::pushed::REQUEST_URI_PREFIX;
use super::{authorize, request};
use crate::crypto::token::{TokenKind, TokenSecret, compose, sha256};
use crate::error::Error;
use crate::http::caller::{Anonymous, Call};
use crate::http::input::{Form, Params};
use crate::http::{client, dpop, throttle};
use crate::state::App;

/// What one pushed request may hold, in bytes.
const LONGEST_REQUEST: usize = 16 * 1024;
/// What authenticates the client is no part of the request.
const CREDENTIALS: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

/// `POST /oauth/par`
pub async fn push(
    app: Data<App>,
    request: HttpRequest,
    call: Call<Anonymous, Form>,
) -> Result<HttpResponse, Error> {
    let params = call.input.0;
    let service = throttle::counted(&app, &request, client::identify(&app, &request, &params)).await?;
    if !service.is_confidential {
        throttle::sign_in(&app, &request)?;
    }
    let redirect_uris =
        if service.is_platform { app.platform_redirect_uris() } else { service.redirect_uris.clone() };
    if !service.is_active() {
        return Err(Error::not_active(&service.org_status));
    }
    // RFC 9126, section 2.1.
    if params.get("request_uri").is_some() {
        return Err(Error::bad_request("A pushed request takes no request_uri."));
    }
    if params.get("request").is_some() {
        return Err(Error::bad_request("Request objects are not supported.").oauth("request_not_supported"));
    }
    let key = dpop::proved_key(&app, &request, None)?;
    let params = with_key(&params, key)?;
    let destination = request::destination(&redirect_uris, &params)?;
    request::response_type(&params)?;
    authorize::check(&app, &service, &params, &destination)?;
    let parameters = json!(params.pairs()).to_string();
    if parameters.len() > LONGEST_REQUEST {
        return Err(Error::bad_request("The request is too long."));
    }
    let secret: TokenSecret = app.random.bytes();
    let push = PushRequest {
        secret_hash: sha256(&secret),
        service_id: service.id,
        parameters,
        now: app.clock.now(),
    };
    let id = app
        .store
        .write(push)
        .await
        .map_err(|error| Error::from_op(error, |()| Error::internal("refused")))?;
    let reference = compose(TokenKind::PushedRequest, id, &secret);
    // RFC 9126, section 2.2.
    Ok(HttpResponse::Created().json(json!({
        "request_uri": format!("{REQUEST_URI_PREFIX}{reference}"),
        "expires_in": PUSHED_LIFETIME / 1000,
    })))
}

/// The parameters to keep. The key of a proof is that of `dpop_jkt` (RFC 9449, section 10.1).
fn with_key(params: &Params, key: Option<String>) -> Result<Params, Error> {
    let named = params.get("dpop_jkt");
    if key.is_some() && named.is_some() && key.as_deref() != named {
        return Err(
            Error::bad_request("The dpop_jkt is not the key of the DPoP proof.").oauth("invalid_dpop_proof")
        );
    }
    let kept =
        params.pairs().iter().filter(|(name, _)| !CREDENTIALS.contains(&name.as_str()) && name != "dpop_jkt");
    let jkt = key.or_else(|| named.map(ToOwned::to_owned)).map(|jkt| ("dpop_jkt".to_owned(), jkt));
    Params::from_pairs(kept.cloned().chain(jkt))
}
