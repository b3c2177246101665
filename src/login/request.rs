//! Rules of an authorization request (RFC 6749, section 4.1.1; RFC 7636, section 4.3; OpenID Connect Core, section
//! 3.1.2.1). Parameters that are not named here are ignored, as those standards ask: `display`, `ui_locales`,
//! `claims_locales`, `acr_values` and `claims` among them, which none of them obliges a server to honour.

use gatehouse_actors::data::token_binding::TokenBinding;

use super::state::{Destination, ResponseMode, WebRequest};
use crate::crypto::token::is_code_challenge;
use crate::error::Error;
use crate::http::input::Params;
use crate::http::redirect;

/// The longest `state` that fits into a cookie beside everything else, in bytes.
const MAX_STATE: usize = 2048;
const MAX_NONCE: usize = 512;
const MAX_LOGIN_HINT: usize = 320;

/// A whole authorization request, checked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) web: WebRequest,
    /// Nothing may be shown to the person.
    pub(super) silent: bool,
    /// The person is to choose an account.
    pub(super) select_account: bool,
    pub(super) login_hint: Option<String>,
    pub(super) idp_hint: Option<String>,
}

/// What the rules must know of who asks.
pub(super) struct Asker {
    /// A public client cannot do without PKCE.
    pub(super) is_public: bool,
    /// The `sub` of the `id_token_hint`, verified.
    pub(super) hinted_user: Option<String>,
    /// The scope asked for, checked.
    pub(super) scope: String,
    /// What the tokens are to be bound to.
    pub(super) binding: TokenBinding,
}

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
    // A mode that is refused below is answered in the default one.
    let mode = response_mode(params, redirect_uri).unwrap_or(ResponseMode::Query);
    Ok(Destination {
        redirect_uri: redirect_uri.to_owned(),
        registered_uri: registered_uri.clone(),
        state: state.map(ToOwned::to_owned),
        mode,
    })
}

fn response_mode(params: &Params, redirect_uri: &str) -> Result<ResponseMode, Error> {
    match params.get("response_mode") {
        None | Some("query") => Ok(ResponseMode::Query),
        // A browser posts to web addresses only; a native app's own scheme takes no form.
        Some("form_post") if redirect_uri.starts_with("https://") || redirect_uri.starts_with("http://") => {
            Ok(ResponseMode::FormPost)
        }
        Some("form_post") => {
            Err(Error::bad_request("The response_mode form_post needs an https redirect_uri."))
        }
        Some(_) => Err(Error::bad_request("The response_mode must be query or form_post.")),
    }
}

/// The rest of the request. Its errors go to the destination.
pub(super) fn asked(params: &Params, destination: &Destination, asker: Asker) -> Result<Asked, Error> {
    response_mode(params, &destination.redirect_uri)?;
    let code_challenge = challenge(params)?;
    if asker.is_public && code_challenge.is_none() {
        return Err(Error::bad_request(
            "PKCE is required: send code_challenge with code_challenge_method=S256.",
        ));
    }
    let nonce = bounded(params, "nonce", MAX_NONCE)?;
    let login_hint = bounded(params, "login_hint", MAX_LOGIN_HINT)?;
    let prompt = Prompt::parse(params.get("prompt"))?;
    let max_age = max_age(params)?;
    Ok(Asked {
        web: WebRequest {
            destination: destination.clone(),
            code_challenge,
            scope: asker.scope,
            binding: asker.binding,
            nonce,
            // OpenID Connect Core, section 3.1.2.1 (errata 2): max_age=0 and prompt=login are one.
            max_age: if prompt.login { Some(0) } else { max_age },
            expected_user: asker.hinted_user,
            ask_consent: prompt.consent,
        },
        silent: prompt.none,
        select_account: prompt.select_account,
        login_hint,
        idp_hint: params.get("idp_hint").map(ToOwned::to_owned),
    })
}

fn bounded(params: &Params, name: &'static str, most: usize) -> Result<Option<String>, Error> {
    let value = params.get(name);
    if value.is_some_and(|value| value.len() > most) {
        return Err(Error::invalid(name, format!("The {name} is longer than {most} bytes.")));
    }
    Ok(value.map(ToOwned::to_owned))
}

/// OpenID Connect Core, section 3.1.2.1: `prompt`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "one for each word of the standard, in any combination")]
struct Prompt {
    none: bool,
    login: bool,
    consent: bool,
    select_account: bool,
}

impl Prompt {
    fn parse(text: Option<&str>) -> Result<Self, Error> {
        let mut prompt = Self::default();
        for word in text.unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
            match word {
                "none" => prompt.none = true,
                "login" => prompt.login = true,
                "consent" => prompt.consent = true,
                "select_account" => prompt.select_account = true,
                _ => {
                    return Err(Error::bad_request(
                        "The prompt may hold none, login, consent and select_account.",
                    ));
                }
            }
        }
        if prompt.none && prompt != (Self { none: true, ..Self::default() }) {
            return Err(Error::bad_request("The prompt none stands alone."));
        }
        Ok(prompt)
    }
}

fn max_age(params: &Params) -> Result<Option<i64>, Error> {
    let Some(text) = params.get("max_age") else { return Ok(None) };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    // Far beyond any session, and far below where arithmetic with it could overflow.
    let seconds = text.parse::<i64>().ok().filter(|seconds| digits && *seconds <= i64::from(u32::MAX));
    seconds.map(Some).ok_or_else(|| Error::bad_request("The max_age must be a whole number of seconds."))
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

/// What only the standard endpoint asks for.
pub(super) fn response_type(params: &Params) -> Result<(), Error> {
    match params.get("response_type") {
        Some("code") => Ok(()),
        None => Err(Error::bad_request("The parameter response_type is missing.")),
        Some(_) => {
            Err(Error::bad_request("The response_type must be code.").oauth("unsupported_response_type"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::scope;

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn ask(query: &str, is_public: bool) -> Result<Asked, Error> {
        let params = Params::from_query(query).unwrap();
        let registered = ["https://a.test/cb".to_owned(), "test.a.app:/cb".to_owned()];
        let destination = destination(&registered, &params)?;
        let scope = scope::parse(params.get("scope"))?;
        let binding = TokenBinding::default();
        asked(&params, &destination, Asker { is_public, hinted_user: None, scope, binding })
    }

    fn check(query: &str) -> Result<WebRequest, Error> {
        ask(query, true).map(|asked| asked.web)
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
            (format!("{base}&{pkce}&response_mode=fragment"), "invalid_request"),
            (format!("redirect_uri=test.a.app:/cb&{pkce}&response_mode=form_post"), "invalid_request"),
            (format!("{base}&{pkce}&prompt=create"), "invalid_request"),
            (format!("{base}&{pkce}&max_age=-1"), "invalid_request"),
            (format!("{base}&{pkce}&login_hint={}", "a".repeat(321)), "invalid_request"),
        ] {
            assert_eq!(check(&query).unwrap_err().oauth_code(), error, "{query}");
        }
    }

    #[test]
    fn a_confidential_client_may_do_without_a_challenge_but_not_with_half_of_one() {
        let check = |query: &str| {
            ask(&format!("redirect_uri=https://a.test/cb{query}"), false).map(|asked| asked.web)
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

    #[test]
    fn the_response_mode_is_query_unless_a_form_can_be_posted() {
        let mode = |query: &str| {
            let registered = ["https://a.test/cb".to_owned(), "test.a.app:/cb".to_owned()];
            destination(&registered, &Params::from_query(query).unwrap()).unwrap().mode
        };
        assert_eq!(mode("redirect_uri=https://a.test/cb"), ResponseMode::Query);
        assert_eq!(mode("redirect_uri=https://a.test/cb&response_mode=query"), ResponseMode::Query);
        assert_eq!(mode("redirect_uri=https://a.test/cb&response_mode=form_post"), ResponseMode::FormPost);
        assert_eq!(mode("redirect_uri=https://a.test/cb&response_mode=fragment"), ResponseMode::Query);
        assert_eq!(mode("redirect_uri=test.a.app:/cb&response_mode=form_post"), ResponseMode::Query);
    }

    #[test]
    fn none_stands_alone() {
        for text in ["none", " none ", "none none"] {
            assert!(Prompt::parse(Some(text)).unwrap().none, "{text}");
        }
        for text in ["none login", "login none", "none consent", "none select_account", "None", "create"] {
            assert!(Prompt::parse(Some(text)).is_err(), "{text}");
        }
        let all = Prompt { none: false, login: true, consent: true, select_account: true };
        assert_eq!(Prompt::parse(Some("login consent select_account")).unwrap(), all);
        assert_eq!(Prompt::parse(None).unwrap(), Prompt::default());
    }

    #[test]
    fn max_age_is_a_plain_number() {
        let read = |text: &str| max_age(&Params::from_query(&format!("max_age={text}")).unwrap());
        for (text, seconds) in [("0", 0), ("3600", 3600), ("4294967295", 4_294_967_295)] {
            assert_eq!(read(text).unwrap(), Some(seconds));
        }
        for text in ["-1", "%2B1", "1.5", "1e3", "4294967296", "99999999999999999999", "x", "%C2%B2"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn to_demand_a_login_is_to_demand_a_fresh_one() {
        let base =
            format!("redirect_uri=https://a.test/cb&code_challenge={CHALLENGE}&code_challenge_method=S256");
        assert_eq!(check(&format!("{base}&prompt=login&max_age=60")).unwrap().max_age, Some(0));
        assert_eq!(check(&format!("{base}&max_age=60")).unwrap().max_age, Some(60));
        assert_eq!(check(&base).unwrap().max_age, None);
    }
}
