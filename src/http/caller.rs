//! Who calls. A handler's signature names the caller it accepts, and its input is read only after the caller was let
//! in, so that 401 always comes before 400.

use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use gatehouse_actors::data::sessions::Subject;

use super::access_token::{Judged, Void, admit, genuine};
use super::dpop::{self, PresentedToken};
use super::input::{Form, Input, Params, is_form};
use crate::crypto::jwt::AccessClaims;
use crate::error::{Code, Error};
use crate::state::App;

/// Somebody that a handler accepts.
pub trait Caller: Sized {
    /// Its name in the route table.
    const NAME: &'static str;

    /// Identifies the caller, or refuses.
    fn identify(request: &HttpRequest) -> impl Future<Output = Result<Self, Error>>;

    /// The same for a caller who may have to be read from the body.
    #[must_use]
    fn admit(request: &HttpRequest, _: &mut Payload) -> impl Future<Output = Result<Self, Error>> {
        Self::identify(request)
    }
}

/// Anybody, signed in or not.
pub struct Anonymous;

impl Caller for Anonymous {
    const NAME: &'static str = "Anonymous";

    async fn identify(_: &HttpRequest) -> Result<Self, Error> {
        Ok(Self)
    }
}

/// The holder of a genuine access token that has not expired, whether or not its session lives.
pub struct TokenHolder {
    /// What the token says.
    pub claims: Arc<AccessClaims>,
}

impl Caller for TokenHolder {
    const NAME: &'static str = "TokenHolder";

    async fn identify(request: &HttpRequest) -> Result<Self, Error> {
        let app = app_of(request)?;
        let presented = presented_token(request)?;
        let claims = genuine(app, presented.token)?;
        // RFC 8707, section 2: a resource that was handed a token must not act as its user here.
        if claims.client_id != claims.aud && format!("{}/api", app.base_url) != claims.aud {
            return Err(Void::NotGenuine.into());
        }
        dpop::check_binding(app, request, &presented, claims.cnf.as_ref())?;
        Ok(Self { claims })
    }
}

/// Any signed-in user: a genuine token, a live session, an active organization.
pub struct SignedIn {
    /// The session and everything about it, as it is now.
    pub subject: Arc<Subject>,
}

impl Caller for SignedIn {
    const NAME: &'static str = "SignedIn";

    async fn identify(request: &HttpRequest) -> Result<Self, Error> {
        let Judged { subject, .. } = admit(app_of(request)?, request, &presented_token(request)?).await?;
        Ok(Self { subject })
    }
}

/// Whoever presents an access token that opens doors, in the header or in a form (RFC 6750, section 2): the caller of a
/// protected resource that a standard describes.
pub struct Bearer {
    /// The token and the session behind it.
    pub judged: Judged,
}

impl Caller for Bearer {
    const NAME: &'static str = "Bearer";

    async fn identify(request: &HttpRequest) -> Result<Self, Error> {
        Ok(Self { judged: admit(app_of(request)?, request, &presented_token(request)?).await? })
    }

    async fn admit(request: &HttpRequest, payload: &mut Payload) -> Result<Self, Error> {
        // RFC 6750, section 2.3: a token in an address ends up in logs and histories.
        if Params::from_query(request.query_string())?.get("access_token").is_some() {
            return Err(Error::bad_request("Send the access token in the header, not in the address."));
        }
        if request.method() != Method::POST || !is_form(request) {
            return Self::identify(request).await;
        }
        let Form(form) = Form::parse(request, payload).await?;
        match form.get("access_token") {
            None => Self::identify(request).await,
            // RFC 6750, section 2: not more than one method in a request.
            Some(_) if request.headers().contains_key(AUTHORIZATION) => {
                Err(Error::bad_request("Send the access token once: in the header or in the form."))
            }
            Some(token) => {
                let presented = PresentedToken { token, with_proof: false };
                Ok(Self { judged: admit(app_of(request)?, request, &presented).await? })
            }
        }
    }
}

/// Somebody signed in to a service of an organization. A platform token is for no service.
pub struct ServiceUser {
    /// The session.
    pub subject: Arc<Subject>,
}

impl Caller for ServiceUser {
    const NAME: &'static str = "ServiceUser";

    async fn identify(request: &HttpRequest) -> Result<Self, Error> {
        let SignedIn { subject } = SignedIn::identify(request).await?;
        if subject.is_platform {
            let message = "This token is for the platform. Only one that was made for a service works here.";
            return Err(Error::new(Code::Forbidden, message));
        }
        Ok(Self { subject })
    }
}

/// What every handler shares.
pub(super) fn app_of(request: &HttpRequest) -> Result<&App, Error> {
    let app = request.app_data::<Data<App>>().ok_or_else(|| Error::internal("no application state"))?;
    Ok(app)
}

/// RFC 6750, section 2.1, and RFC 9449, section 7.1: exactly one Authorization header, scheme in any case, then at least
/// one blank.
fn presented_token(request: &HttpRequest) -> Result<PresentedToken<'_>, Error> {
    let missing = || Error::new(Code::Unauthorized, "An access token is needed: Authorization: Bearer …");
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let header = headers.next().ok_or_else(missing)?;
    if headers.next().is_some() {
        return Err(Error::bad_request("There is more than one Authorization header."));
    }
    let (scheme, token) = header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    let token = token.trim_start_matches(' ');
    let with_proof = scheme.eq_ignore_ascii_case("dpop");
    if token.is_empty() || !(with_proof || scheme.eq_ignore_ascii_case("bearer")) {
        return Err(missing());
    }
    Ok(PresentedToken { token, with_proof })
}

/// A request as a handler takes it: first the caller, then the input.
pub struct Call<C, I = ()> {
    /// Who calls.
    pub caller: C,
    /// What was sent.
    pub input: I,
}

impl<C: Caller + 'static, I: Input + 'static> FromRequest for Call<C, I> {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let caller = C::admit(&request, &mut payload).await?;
            let input = I::parse(&request, &mut payload).await?;
            Ok(Self { caller, input })
        })
    }
}

/// The arguments of a handler. The last one is its [`Call`]: a handler that does not say who may call it has no place
/// in the route table.
pub trait Arguments {
    /// The name of the caller that the handler accepts.
    const CALLER: &'static str;
}

macro_rules! arguments {
    ($($before:ident)*) => {
        impl<$($before,)* C: Caller, I> Arguments for ($($before,)* Call<C, I>,) {
            const CALLER: &'static str = C::NAME;
        }
    };
}

arguments!();
arguments!(A);
arguments!(A B);
arguments!(A B D);
