//! The client of an OAuth request, authenticated when it is confidential (RFC 6749, section 2.3).

use std::fmt;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatehouse_actors::data::client_registration::AuthMethod;
use gatehouse_actors::data::client_secrets::ClientSecretById;
use gatehouse_actors::data::services::{Service, ServiceByClientId};
use subtle::ConstantTimeEq;

use super::client_assertion;
use super::input::Params;
use super::throttle;
use crate::crypto::thumbprint::thumbprint;
use crate::crypto::token::{Presented, TokenKind, parse, sha256};
use crate::error::{Code, Error};
use crate::state::App;

/// What a client presented. Its secret is neither logged nor shown.
struct Credentials {
    client_id: String,
    /// The method and the secret.
    secret: Option<(AuthMethod, String)>,
}

fn refused(message: &'static str) -> Error {
    Error::new(Code::InvalidClient, message)
}

/// What a client proved itself with. A token that it gets for itself dies with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// The secret in this row.
    Secret(i64),
    /// The registered key of this thumbprint.
    Key(String),
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(id) => write!(f, "secret:{id}"),
            Self::Key(thumbprint) => write!(f, "key:{thumbprint}"),
        }
    }
}

impl Credential {
    /// Reads what [`fmt::Display`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("secret", id) => id.parse().ok().map(Self::Secret),
            ("key", thumbprint) => Some(Self::Key(thumbprint.to_owned())),
            _ => None,
        }
    }
}

/// Whether a service registers the key of this thumbprint.
#[must_use]
pub fn has_key(service: &Service, named: &str) -> bool {
    let keys = service.registration.jwks.as_ref().and_then(|set| set.get("keys")?.as_array());
    keys.is_some_and(|keys| keys.iter().any(|key| thumbprint(key).as_deref() == Some(named)))
}

/// A client, and how it proved who it is; not at all when it is public.
pub struct Authenticated {
    /// The client.
    pub service: Arc<Service>,
    /// What it proved itself with.
    pub credential: Option<Credential>,
}

/// Identifies the client: a public one by its name, a confidential one by its credential as well.
pub async fn identify(app: &App, request: &HttpRequest, params: &Params) -> Result<Arc<Service>, Error> {
    authenticate(app, request, params).await.map(|client| client.service)
}

/// The same, and says what the client proved itself with.
pub async fn authenticate(app: &App, request: &HttpRequest, params: &Params) -> Result<Authenticated, Error> {
    if let Some(assertion) = client_assertion::presented(params)? {
        // RFC 6749, section 2.3: no more than one authentication method in a request.
        if request.headers().contains_key(AUTHORIZATION) || params.get("client_secret").is_some() {
            return Err(Error::bad_request("Authenticate the client in one way only."));
        }
        let service = known(app, assertion.client_id.clone()).await?;
        if service.auth_method != AuthMethod::PrivateKeyJwt {
            return Err(refused("This client did not register private_key_jwt."));
        }
        let key = client_assertion::check(app, &service, &assertion).await?;
        return Ok(Authenticated { service, credential: Some(Credential::Key(key)) });
    }
    let Credentials { client_id, secret } = presented(request, params)?;
    let service = known(app, client_id).await?;
    let chosen = service.registration.token_endpoint_auth_method;
    let credential = match (service.auth_method, secret) {
        (AuthMethod::None, None) => None,
        (AuthMethod::None, Some(_)) => {
            return Err(refused("This client is public and has no secret: send client_id only."));
        }
        (AuthMethod::PrivateKeyJwt, _) => {
            return Err(refused("This client is confidential: authenticate with a client_assertion."));
        }
        (_, None) => {
            return Err(refused("This client is confidential: authenticate with its client_secret."));
        }
        // RFC 7591, section 2: a method that was registered is the only one.
        (_, Some((used, _))) if chosen.is_some_and(|chosen| chosen != used) => {
            return Err(refused("This client registered another way to send its client_secret."));
        }
        (_, Some((_, secret))) => {
            Some(Credential::Secret(check_secret(app, request, (&service, &secret)).await?))
        }
    };
    Ok(Authenticated { service, credential })
}

async fn known(app: &App, client_id: String) -> Result<Arc<Service>, Error> {
    let service = app.store.recall(ServiceByClientId { client_id }).await?;
    service.ok_or_else(|| refused("The client_id is not known."))
}

/// The client, where naming it is optional: none unless it sent a secret.
pub async fn identify_if_authenticated(
    app: &App,
    request: &HttpRequest,
    params: &Params,
) -> Result<Option<Arc<Service>>, Error> {
    let basic = request.headers().get(AUTHORIZATION).is_some_and(|header| {
        header.as_bytes().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "))
    });
    let asserted = params.get("client_assertion").is_some();
    if basic || asserted || params.get("client_secret").is_some() {
        return identify(app, request, params).await.map(Some);
    }
    Ok(None)
}

fn presented(request: &HttpRequest, params: &Params) -> Result<Credentials, Error> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let in_body = params.get("client_id");
    let Some(header) = headers.next() else {
        let client_id = in_body.ok_or_else(|| refused("The parameter client_id is missing."))?.to_owned();
        let secret = params.get("client_secret");
        let secret = secret.map(|secret| (AuthMethod::ClientSecretPost, secret.to_owned()));
        return Ok(Credentials { client_id, secret });
    };
    // RFC 6749, section 2.3: no more than one authentication method in a request.
    if headers.next().is_some() || params.get("client_secret").is_some() {
        return Err(Error::bad_request("Authenticate the client in one way only: header or body."));
    }
    let header = header.to_str().ok().and_then(basic);
    let (client_id, secret) = header
        .ok_or_else(|| refused("The Authorization header must be Basic, with client_id and secret."))?;
    if in_body.is_some_and(|in_body| in_body != client_id) {
        return Err(Error::bad_request("The client_id of the body is not the one of the header."));
    }
    Ok(Credentials { client_id, secret: Some((AuthMethod::ClientSecretBasic, secret)) })
}

/// RFC 7617, with both halves form-urlencoded inside (RFC 6749, section 2.3.1).
pub(super) fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = decoded.split_once(':')?;
    Some((form_decode(client_id), form_decode(secret)))
}

fn form_decode(text: &str) -> String {
    // As the name of a parameter of its own; what separates parameters must not do so here.
    let text = text.replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// The row of the secret, when it is one that works. Guessing is bounded (RFC 6749, section 2.3.1): for this client from
/// this address, so that nobody else is locked out.
async fn check_secret(
    app: &App,
    request: &HttpRequest,
    (service, text): (&Service, &str),
) -> Result<i64, Error> {
    let now = app.clock.now();
    let guesser = (service.id, throttle::payer(app, request));
    app.limits.client_secrets.allow(guesser, now).map_err(throttle::refusal(
        app,
        "client_secrets",
        "Too many wrong secrets of this client came from your address. Wait, then try again.",
    ))?;
    if let Some(Presented { id, secret }) = parse(TokenKind::ClientSecret, text) {
        let known = app.store.recall(ClientSecretById { id, service_id: service.id }).await?;
        let known = known.filter(|known| known.works(now));
        if known.is_some_and(|known| bool::from(sha256(&secret).ct_eq(&known.hash))) {
            return Ok(id);
        }
    }
    app.limits.client_secrets.missed(guesser, now);
    Err(refused("The client_secret is not valid (any more)."))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(inside: &str) -> String {
        format!("Basic {}", STANDARD.encode(inside))
    }

    #[test]
    fn both_halves_are_form_decoded() {
        let read = |inside: &str| basic(&header(inside));
        let pair = |id: &str, secret: &str| Some((id.to_owned(), secret.to_owned()));
        assert_eq!(read("app:secret"), pair("app", "secret"));
        assert_eq!(read("a%3Ab:c%26d"), pair("a:b", "c&d"));
        assert_eq!(read("a+b:c:d"), pair("a b", "c:d"));
        assert_eq!(read("a&b:c=d"), pair("a&b", "c=d"));
        assert_eq!(read("app:"), pair("app", ""));
        assert_eq!(read("app"), None);
        assert_eq!(basic("Bearer abc"), None);
        assert_eq!(basic("Basic ***"), None);
        assert_eq!(basic("Basic"), None);
        assert_eq!(basic(&header("a:b").replace("Basic", "bAsIc")), pair("a", "b"));
    }

    proptest! {
        #[test]
        fn what_a_client_encodes_comes_back(id in ".{1,20}", secret in ".{0,40}") {
            let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let read = basic(&header(&format!("{}:{}", encode(&id), encode(&secret))));
            prop_assert_eq!(read, Some((id, secret)));
        }

        #[test]
        fn arbitrary_headers_are_no_panic(text in ".{0,60}") {
            let _ = basic(&text);
            let _ = basic(&format!("Basic {text}"));
        }
    }
}
