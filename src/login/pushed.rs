//! Where the parameters of an authorization request come from.

use std::borrow::Cow;

use gatehouse_actors::data::pushed_requests::{NoSuchRequest, TakeUpPushedRequest};
use gatehouse_actors::data::services::Service;

use crate::crypto::token::{Presented, TokenKind, parse, sha256};
use crate::error::Error;
use crate::http::input::Params;
use crate::state::App;

/// Every `request_uri` that this server makes begins like this (RFC 9126, section 2.2).
pub(super) const REQUEST_URI_PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// The parameters that count: those that were sent, or those that the client pushed beforehand (RFC 9126, section 4).
/// Request objects and other URIs are refused by the names that their standards give (OpenID Connect Core, section
/// 3.1.2.6), and nothing is ever fetched.
pub(super) async fn effective<'p>(
    app: &App,
    service: &Service,
    sent: &'p Params,
) -> Result<Cow<'p, Params>, Error> {
    if sent.get("request").is_some() {
        return Err(Error::bad_request("Request objects are not supported.").oauth("request_not_supported"));
    }
    let Some(request_uri) = sent.get("request_uri") else {
        require_none(service)?;
        return Ok(Cow::Borrowed(sent));
    };
    let Some(reference) = request_uri.strip_prefix(REQUEST_URI_PREFIX) else {
        return Err(Error::bad_request("Only request_uri values of /oauth/par are supported.")
            .oauth("request_uri_not_supported"));
    };
    take_up(app, service, sent, reference).await.map(Cow::Owned)
}

/// Where nothing that was pushed can be used: refuses references, and services that have every request pushed.
pub(super) fn refuse_references(service: &Service, sent: &Params) -> Result<(), Error> {
    if sent.get("request").is_some() {
        return Err(Error::bad_request("Request objects are not supported.").oauth("request_not_supported"));
    }
    if sent.get("request_uri").is_some() {
        return Err(
            Error::bad_request("Request URIs are not supported here.").oauth("request_uri_not_supported")
        );
    }
    require_none(service)
}

/// RFC 9126, section 6: a service may have every request pushed.
fn require_none(service: &Service) -> Result<(), Error> {
    if service.registration.require_pushed_authorization_requests {
        return Err(Error::bad_request(
            "This service pushes its requests to /oauth/par: send its request_uri.",
        ));
    }
    Ok(())
}

async fn take_up(app: &App, service: &Service, sent: &Params, reference: &str) -> Result<Params, Error> {
    let unknown = || {
        Error::bad_request("The request_uri expired or was used. Start again in the app.")
            .oauth("invalid_request_uri")
    };
    let Presented { id, secret } = parse(TokenKind::PushedRequest, reference).ok_or_else(unknown)?;
    let hint = sent.get("idp_hint");
    let take_up = TakeUpPushedRequest {
        id,
        secret_hash: sha256(&secret),
        service_id: service.id,
        chosen: hint.is_some(),
        now: app.clock.now(),
    };
    let parameters = app.store.write(take_up).await;
    let parameters = parameters.map_err(|error| Error::from_op(error, |NoSuchRequest| unknown()))?;
    let pairs: Vec<(String, String)> = serde_json::from_str(&parameters).map_err(Error::internal)?;
    // Our own page of providers adds the choice; nothing else beside the reference counts.
    let kept = pairs.into_iter().filter(|(name, _)| hint.is_none() || name != "idp_hint");
    Params::from_pairs(kept.chain(hint.map(|hint| ("idp_hint".to_owned(), hint.to_owned()))))
}
