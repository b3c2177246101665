//! Rules of an authorization request (RFC 6749, section 4.1.1; RFC 7636, section 4.3).

use super::state::{Destination, WebRequest};
use crate::crypto::token::is_code_challenge;
use crate::error::Error;
use crate::http::input::Params;
use crate::http::{redirect, scope};

/// The longest `state` that fits into a cookie beside everything else, in bytes.
const MAX_STATE: usize = 2048;
const MAX_NONCE: usize = 512;

/// Where the answer may go. Until this succeeds an error is shown here and never redirected.
pub(super) fn destination(registered: &[String], params: &Params) -> Result<Destination, Error> {
    let redirect_uri = params.required("redirect_uri")?;
    let registered_uri = redirect::registered(registered, redirect_uri).ok_or_else(|| {
        Error::bad_request("The redirect_uri is not one that is registered for this service.")
    })?;
    let state = params.get("state");
    if state.is_some_and(|state| state.len() > MAX_STATE) {
        return Err(Error::invalid("state", "The state is longer than 2048 bytes."));
    }
    Ok(Destination {
        redirect_uri: redirect_uri.to_owned(),
        registered_uri: registered_uri.clone(),
        state: state.map(ToOwned::to_owned),
    })
}

/// The rest of the request. Its errors go to the destination. A public client cannot do without PKCE.
pub(super) fn web(params: &Params, destination: &Destination, is_public: bool) -> Result<WebRequest, Error> {
    // OpenID Connect Core, section 6: refused by their own names.
    if params.get("request").is_some() {
        return Err(Error::bad_request("Request objects are not supported.").oauth("request_not_supported"));
    }
    if params.get("request_uri").is_some() {
        return Err(Error::bad_request("Request URIs are not supported.").oauth("request_uri_not_supported"));
    }
    let code_challenge = challenge(params)?;
    if is_public && code_challenge.is_none() {
        return Err(Error::bad_request(
            "PKCE is required: send code_challenge with code_challenge_method=S256.",
        ));
    }
    let nonce = params.get("nonce");
    if nonce.is_some_and(|nonce| nonce.len() > MAX_NONCE) {
        return Err(Error::bad_request("The nonce is longer than 512 bytes."));
    }
    Ok(WebRequest {
        destination: destination.clone(),
        code_challenge,
        scope: scope::parse(params.get("scope"))?,
        nonce: nonce.map(ToOwned::to_owned),
    })
}

/// The PKCE challenge, if one is sent. Sent halfway is an error: what a client means to use must not be dropped.
fn challenge(params: &Params) -> Result<Option<String>, Error> {
    let (challenge, method) = (params.get("code_challenge"), params.get("code_challenge_method"));
    match (challenge, method) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Error::bad_request("The parameter code_challenge is missing.")),
        (Some(challenge), Some("S256")) if is_code_challenge(challenge) => Ok(Some(challenge.to_owned())),
        (Some(_), Some("S256")) => {
            Err(Error::bad_request("The code_challenge is not the S256 form of a verifier."))
        }
        // RFC 7636, section 4.3: a missing method means "plain", which is not accepted (RFC 9700, section 2.1.1).
        (Some(_), _) => Err(Error::bad_request("The code_challenge_method must be S256.")),
    }
}

/// The standard endpoint's own parameters.
pub(super) fn response_type(params: &Params) -> Result<(), Error> {
    match params.get("response_type") {
        Some("code") => {}
        None => return Err(Error::bad_request("The parameter response_type is missing.")),
        Some(_) => {
            return Err(
                Error::bad_request("The response_type must be code.").oauth("unsupported_response_type")
            );
        }
    }
    match params.get("response_mode") {
        None | Some("query") => Ok(()),
        Some(_) => Err(Error::bad_request("The response_mode must be query.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn check(query: &str) -> Result<WebRequest, Error> {
        let params = Params::from_query(query).unwrap();
        let destination = destination(&["https://a.test/cb".to_owned()], &params)?;
        web(&params, &destination, true)
    }

    #[test]
    fn a_complete_request_passes() {
        let query = format!(
            "redirect_uri=https://a.test/cb&state=a%26b&code_challenge={CHALLENGE}&code_challenge_method=S256"
        );
        let request = check(&query).unwrap();
        assert_eq!(request.destination.state.as_deref(), Some("a&b"));
        assert_eq!(request.scope, scope::DEFAULT);
    }

    #[test]
    fn each_flaw_has_its_error() {
        let base = "redirect_uri=https://a.test/cb";
        let pkce = format!("code_challenge={CHALLENGE}&code_challenge_method=S256");
        for (query, error) in [
            (format!("{pkce}&state=x"), "invalid_request"),
            (format!("redirect_uri=https://b.test/cb&{pkce}"), "invalid_request"),
            (base.to_owned(), "invalid_request"),
            (format!("{base}&code_challenge={CHALLENGE}"), "invalid_request"),
            (format!("{base}&code_challenge={CHALLENGE}&code_challenge_method=plain"), "invalid_request"),
            (format!("{base}&code_challenge={CHALLENGE}&code_challenge_method=s256"), "invalid_request"),
            (format!("{base}&code_challenge={CHALLENGE}=&code_challenge_method=S256"), "invalid_request"),
            (format!("{base}&{pkce}&scope=admin"), "invalid_scope"),
            (format!("{base}&{pkce}&request=x"), "request_not_supported"),
            (format!("{base}&{pkce}&request_uri=http://x.test"), "request_uri_not_supported"),
        ] {
            assert_eq!(check(&query).unwrap_err().oauth_code(), error, "{query}");
        }
    }

    #[test]
    fn a_confidential_client_may_do_without_a_challenge_but_not_with_half_of_one() {
        let check = |query: &str| {
            let params = Params::from_query(&format!("redirect_uri=https://a.test/cb{query}")).unwrap();
            let destination = destination(&["https://a.test/cb".to_owned()], &params)?;
            web(&params, &destination, false)
        };
        assert_eq!(check("").unwrap().code_challenge, None);
        let complete = format!("&code_challenge={CHALLENGE}&code_challenge_method=S256");
        assert_eq!(check(&complete).unwrap().code_challenge.as_deref(), Some(CHALLENGE));
        for query in [
            "&code_challenge_method=S256".to_owned(),
            format!("&code_challenge={CHALLENGE}"),
            format!("&code_challenge={CHALLENGE}&code_challenge_method=plain"),
            "&code_challenge=short&code_challenge_method=S256".to_owned(),
        ] {
            assert_eq!(check(&query).unwrap_err().oauth_code(), "invalid_request", "{query}");
        }
    }

    #[test]
    fn only_code_is_a_response_type() {
        for (query, expected) in [
            ("response_type=code", None),
            ("response_type=token", Some("unsupported_response_type")),
            ("response_type=code+token", Some("unsupported_response_type")),
            ("response_type=CODE", Some("unsupported_response_type")),
            ("", Some("invalid_request")),
        ] {
            let outcome = response_type(&Params::from_query(query).unwrap());
            assert_eq!(outcome.err().map(|error| error.oauth_code()), expected, "{query}");
        }
    }
}
