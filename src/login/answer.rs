//! The authorization response: a code or an error, to the app that asked (RFC 6749, sections 4.1.2 and 4.1.2.1).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use super::state::{Destination, ResponseMode};
use crate::crypto::token::{TokenKind, TokenSecret, compose};
use crate::error::Error;
use crate::http::redirect::{see_other, with_params};
use crate::pages::{FormPost, Policy, respond_with};
use crate::state::App;

/// Hands the app its code.
pub(super) fn code(app: &App, destination: &Destination, id: i64, secret: &TokenSecret) -> HttpResponse {
    let code = compose(TokenKind::AuthorizationCode, id, secret);
    send(app, destination, vec![("code", &code)])
}

/// Tells the app what went wrong.
pub(super) fn error(app: &App, destination: &Destination, error: &Error) -> HttpResponse {
    if error.for_load {
        app.overload.refused();
    } else if let Some(detail) = &error.internal {
        log::warn!(code = error.oauth_code(), detail = detail.as_str(); "told an app that its sign-in failed");
    }
    send(app, destination, vec![("error", error.oauth_code()), ("error_description", &*error.message)])
}

fn send<'a>(app: &'a App, destination: &'a Destination, mut params: Vec<(&'a str, &'a str)>) -> HttpResponse {
    if let Some(state) = &destination.state {
        params.push(("state", state));
    }
    // RFC 9207: whoever answers says who it is.
    params.push(("iss", &app.base_url));
    match destination.mode {
        ResponseMode::Query => see_other(&with_params(&destination.redirect_uri, &params)),
        ResponseMode::FormPost => {
            let fields = params.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            let page = FormPost { action: destination.redirect_uri.clone(), fields: fields.collect() };
            respond_with(&page, StatusCode::OK, Policy::FormPost)
        }
    }
}
