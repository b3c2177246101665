//! Handlers of userinfo, introspection and revocation.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::access_tokens::RevokeAccessToken;
use gatehouse_actors::data::presented_refresh::{OtherClient, PresentedRefreshToken, RevokeRefreshToken};
use gatehouse_actors::data::services::Service;
use serde_json::{Value, json};

use super::view;
use crate::crypto::token::{TokenKind, parse, sha256};
use crate::error::{Code, Error};
use crate::http::access_token::{Refused, Void, genuine, judge, judge_client};
use crate::http::caller::{Anonymous, Bearer, Call};
use crate::http::input::{Body, Params};
use crate::http::{claims, client, scope, throttle};
use crate::state::App;

type Answer = Result<HttpResponse, Error>;

/// `GET /oauth/userinfo`, `POST /oauth/userinfo` (OpenID Connect Core, section 5.3)
pub async fn userinfo(call: Call<Bearer>) -> Answer {
    let judged = call.caller.judged;
    // OpenID Connect Core, section 5.3: the token of an OpenID request, nothing else.
    if !scope::has(&judged.claims.scope, "openid") {
        let message = "The access token was not granted the scope openid.";
        return Err(Error::new(Code::Forbidden, message).oauth("insufficient_scope"));
    }
    let mut body = claims::of_person(&judged.subject, &judged.claims.scope);
    body.insert("sub".to_owned(), Value::from(judged.claims.sub.as_str()));
    Ok(HttpResponse::Ok().json(body))
}

/// `POST /oauth/introspect` (RFC 7662)
pub async fn introspect(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Body>) -> Answer {
    let params = in_the_body(&request, call.input)?;
    let client = calling_client(&app, &request, &params).await?;
    if !client.is_confidential {
        // RFC 7662, section 2.1: whoever may ask must prove who it is, or tokens could be tried out.
        let message = "Introspection is for confidential clients: give this service a client_secret.";
        return Err(Error::new(Code::InvalidClient, message));
    }
    let token = params.required("token")?;
    match refresh_token(token) {
        Some(presented) => refresh_token_says(&app, &client, presented).await,
        None => access_token_says(&app, &client, token).await,
    }
}

/// Tokens of other organizations are as good as none.
async fn access_token_says(app: &App, client: &Service, token: &str) -> Answer {
    match judge(app, token).await {
        Ok(judged) if judged.subject.org_id == client.org_id => {
            Ok(HttpResponse::Ok().json(view::access_token(&judged, app.clock.now())))
        }
        // No token of a person: perhaps that of a service.
        Err(Refused::Void(Void::NotGenuine)) => client_token_says(app, client, token).await,
        Ok(_) | Err(Refused::Void(_)) => Ok(inactive()),
        // What could not be found out is not "inactive" (RFC 7009, section 2.2.1, for the like).
        Err(Refused::Unknown(error)) => Err(error),
    }
}

async fn client_token_says(app: &App, client: &Service, token: &str) -> Answer {
    match judge_client(app, token).await {
        Ok((claims, service)) if service.org_id == client.org_id => {
            Ok(HttpResponse::Ok().json(view::client_token(&claims)))
        }
        Ok(_) | Err(Refused::Void(_)) => Ok(inactive()),
        Err(Refused::Unknown(error)) => Err(error),
    }
}

/// A refresh token is between its client and this server: other services learn nothing about it.
async fn refresh_token_says(app: &App, client: &Service, presented: PresentedRefreshToken) -> Answer {
    let standing = app.store.read(presented).await?;
    let now = app.clock.now();
    let active = standing.filter(|standing| {
        let (subject, usable) = (&standing.subject, !standing.is_used && now < standing.expires_at);
        subject.client_id == client.client_id && usable && subject.is_org_active() && subject.is_live(now)
    });
    Ok(active.map_or_else(inactive, |standing| HttpResponse::Ok().json(view::refresh_token(app, &standing))))
}

/// RFC 7662, section 2.2: nothing more is said.
fn inactive() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "active": false }))
}

/// `POST /oauth/revoke` (RFC 7009). 200 says that the token opens nothing any more, so it comes after COMMIT or not at
/// all: a revocation that was not stored is answered with 503.
pub async fn revoke(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Body>) -> Answer {
    let params = in_the_body(&request, call.input)?;
    let client = calling_client(&app, &request, &params).await?;
    let token = params.required("token")?;
    match refresh_token(token) {
        Some(presented) => revoke_refresh_token(&app, &client, presented).await?,
        None => revoke_access_token(&app, &client, token).await?,
    }
    Ok(HttpResponse::Ok().finish())
}

async fn revoke_refresh_token(
    app: &App,
    client: &Service,
    token: PresentedRefreshToken,
) -> Result<(), Error> {
    let revoke = RevokeRefreshToken { token, client_id: client.client_id.clone(), now: app.clock.now() };
    let revoked = app.store.write(revoke).await;
    revoked.map_err(|error| Error::from_op(error, |OtherClient| other_client()))
}

async fn revoke_access_token(app: &App, client: &Service, token: &str) -> Result<(), Error> {
    // RFC 7009, section 2.2: a token that opens nothing needs no revocation.
    let of_person =
        genuine(app, token).map(|claims| (claims.client_id.clone(), claims.jti.clone(), claims.exp));
    let of_client = || app.signing_keys.verify_client_token(&app.base_url, token);
    let named =
        of_person.ok().or_else(|| of_client().ok().map(|claims| (claims.client_id, claims.jti, claims.exp)));
    let Some((client_id, jti, exp)) = named else { return Ok(()) };
    if client_id != client.client_id {
        return Err(other_client());
    }
    let revoke = RevokeAccessToken { jti, expires_at: exp * 1000, now: app.clock.now() };
    let revoked = app.store.write(revoke).await;
    revoked.map_err(|error| Error::from_op(error, |()| Error::internal("refused")))
}

/// The client, as long as neither its address nor itself asks too often.
async fn calling_client(app: &App, request: &HttpRequest, params: &Params) -> Result<Arc<Service>, Error> {
    let client = throttle::counted(app, request, client::identify(app, request, params)).await?;
    let spent = app.limits.introspections.spend(client.id, app.clock.now());
    spent.map_err(throttle::refusal(
        app,
        "introspections",
        "This client asks too often. Wait, then try again.",
    ))?;
    Ok(client)
}

/// RFC 7009, section 2.1: the request is refused, and the token stays as it is.
fn other_client() -> Error {
    Error::invalid_grant("The token was issued to another client.")
}

/// What kind a token is shows in its form, so a `token_type_hint` is not needed (RFC 7009, section 2.1).
fn refresh_token(token: &str) -> Option<PresentedRefreshToken> {
    let presented = parse(TokenKind::RefreshToken, token)?;
    Some(PresentedRefreshToken { id: presented.id, secret_hash: sha256(&presented.secret) })
}

/// Tokens in an address would end up in logs.
fn in_the_body(request: &HttpRequest, Body(params): Body) -> Result<Params, Error> {
    if request.query_string().is_empty() {
        return Ok(params);
    }
    Err(Error::bad_request("Send the parameters in the body, not in the address."))
}
