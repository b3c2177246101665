//! A service that acts for itself (RFC 6749, section 4.4): a token without a user, a session or a refresh token.

use serde::Serialize;

use super::view::ACCESS_LIFETIME;
use crate::crypto::jwt::{Audience, ClientClaims, Confirmation, TokenType};
use crate::error::Error;
use crate::http::audience;
use crate::http::client::Authenticated;
use crate::http::input::Params;
use crate::http::scope;
use crate::state::App;

/// RFC 6749, section 4.4.3: no refresh token.
#[derive(Serialize)]
pub(super) struct ClientAnswer {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    scope: String,
}

/// RFC 6749, section 4.4.2. Nothing is written: the token stands and falls with the client and its credential.
pub(super) fn grant(
    app: &App,
    params: &Params,
    client: &Authenticated,
    dpop_jkt: Option<String>,
) -> Result<ClientAnswer, Error> {
    let Authenticated { service, credential } = client;
    let unauthorized = |message: &'static str| Error::bad_request(message).oauth("unauthorized_client");
    let Some(credential) = credential else {
        return Err(unauthorized("Only a client that authenticates may act for itself."));
    };
    if service.service_type != "api" || service.is_platform {
        return Err(unauthorized("Only a service of the type api may act for itself."));
    }
    if !service.is_active() {
        return Err(Error::not_active(&service.org_status));
    }
    let scope = scope::of_service(params.get("scope"), service)?;
    let resources = audience::requested(params, service)?;
    let now = app.clock.now().div_euclid(1000);
    let claims = ClientClaims {
        iss: app.base_url.clone(),
        // RFC 9068, section 2.2.
        sub: service.client_id.clone(),
        aud: Audience::of(&resources, service.client_id.clone()),
        exp: now + ACCESS_LIFETIME,
        iat: now,
        jti: app.random.uuid(now * 1000),
        client_id: service.client_id.clone(),
        scope: scope.clone(),
        token_use: "access".to_owned(),
        org: service.org_slug.clone(),
        service: service.slug.clone(),
        client_credential: credential.to_string(),
        cnf: dpop_jkt.map(|jkt| Confirmation { jkt }),
    };
    Ok(ClientAnswer {
        access_token: app.signing_keys.sign(TokenType::Access, &claims).map_err(Error::internal)?,
        token_type: if claims.cnf.is_some() { "DPoP" } else { "Bearer" },
        expires_in: ACCESS_LIFETIME,
        scope,
    })
}
