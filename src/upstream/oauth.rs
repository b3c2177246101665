//! The OAuth 2.0 part that every provider shares (RFC 6749, RFC 7636), carried by the oauth2 crate.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    ExtraTokenFields, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope,
    StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::client::HttpClient;
use super::error::UpstreamError;
use super::{AuthorizationRequest, CallbackExchange, UpstreamTokens};
use crate::config::secret::Secret;

/// Who we are at the provider.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) client_id: String,
    pub(super) client_secret: Secret<String>,
}

/// The endpoints and habits of one authorization server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) client_auth: ClientAuth,
}

/// How we prove who we are at the token endpoint (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientAuth {
    Basic,
    Post,
}

/// A successful answer of the token endpoint.
pub(super) struct TokenAnswer {
    pub(super) tokens: UpstreamTokens,
    pub(super) id_token: Option<Secret<String>>,
}

/// What OpenID Connect adds to a token answer (Core 1.0 section 3.1.3.3).
#[derive(Deserialize, Serialize)]
pub(super) struct OpenIdFields {
    id_token: Option<String>,
}

impl ExtraTokenFields for OpenIdFields {}

/// oauth2 asks for `Debug`; the token must not get into a log that way.
impl fmt::Debug for OpenIdFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenIdFields")
    }
}

pub(super) type Answer = StandardTokenResponse<OpenIdFields, BasicTokenType>;
type Client = oauth2::Client<
    BasicErrorResponse,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

fn client(credentials: &Credentials, server: &Server) -> Client {
    oauth2::Client::new(ClientId::new(credentials.client_id.clone()))
        .set_client_secret(ClientSecret::new(credentials.client_secret.expose().clone()))
        .set_auth_type(match server.client_auth {
            ClientAuth::Basic => AuthType::BasicAuth,
            ClientAuth::Post => AuthType::RequestBody,
        })
        .set_auth_uri(AuthUrl::from_url(server.authorization_endpoint.clone()))
        .set_token_uri(TokenUrl::from_url(server.token_endpoint.clone()))
}

/// The authorization request as a URL (RFC 6749 section 4.1.1) with PKCE (RFC 7636 section 4.3). `base_scopes` are
/// always asked for; `extra` are the parameters that only this provider knows.
pub(super) fn authorization_url(
    credentials: &Credentials,
    server: &Server,
    request: &AuthorizationRequest<'_>,
    base_scopes: &[&str],
    extra: &[(&'static str, &str)],
) -> Result<Url, UpstreamError> {
    let redirect_uri = redirect_url(request.redirect_uri)?;
    let client = client(credentials, server);
    let mut scopes: Vec<&str> = base_scopes.to_vec();
    for scope in request.scopes {
        if !scopes.contains(&scope.as_str()) {
            scopes.push(scope);
        }
    }
    let mut url = client
        .authorize_url(|| CsrfToken::new(request.state.to_owned()))
        .add_scopes(scopes.into_iter().map(|scope| Scope::new(scope.to_owned())))
        .set_redirect_uri(Cow::Owned(redirect_uri))
        .add_extra_param("code_challenge", s256_challenge(request.code_verifier))
        .add_extra_param("code_challenge_method", "S256");
    for (name, value) in extra {
        url = url.add_extra_param(*name, (*value).to_owned());
    }
    Ok(url.url().0)
}

/// The token request for a refresh token (RFC 6749 section 6).
pub(super) async fn refresh(
    http: &HttpClient,
    credentials: &Credentials,
    server: &Server,
    refresh_token: &Secret<String>,
) -> Result<UpstreamTokens, UpstreamError> {
    let client = client(credentials, server);
    let token = RefreshToken::new(refresh_token.expose().clone());
    let answer = client.exchange_refresh_token(&token).request_async(http).await.map_err(refusal)?;
    Ok(read(&answer)?.tokens)
}

/// The token request for a code (RFC 6749 section 4.1.3).
pub(super) async fn exchange_code(
    http: &HttpClient,
    credentials: &Credentials,
    server: &Server,
    exchange: &CallbackExchange<'_>,
) -> Result<TokenAnswer, UpstreamError> {
    let redirect_uri = redirect_url(exchange.redirect_uri)?;
    let client = client(credentials, server);
    let answer = client
        .exchange_code(AuthorizationCode::new(exchange.code.to_owned()))
        .set_redirect_uri(Cow::Owned(redirect_uri))
        .set_pkce_verifier(PkceCodeVerifier::new(exchange.code_verifier.to_owned()))
        .request_async(http)
        .await
        .map_err(refusal)?;
    read(&answer)
}

pub(super) fn read(answer: &Answer) -> Result<TokenAnswer, UpstreamError> {
    // RFC 6749 section 7.1: a token of a type that is not understood must not be used.
    if !answer.token_type().as_ref().eq_ignore_ascii_case("bearer") {
        return Err(UpstreamError::BadAnswer("token type is not bearer"));
    }
    Ok(TokenAnswer {
        tokens: UpstreamTokens {
            access_token: Secret::new(answer.access_token().secret().clone()),
            refresh_token: answer.refresh_token().map(|token| Secret::new(token.secret().clone())),
            expires_in: answer.expires_in().map(|life| life.as_secs()),
            scopes: granted_scopes(answer.scopes().map_or(&[], Vec::as_slice)),
        },
        id_token: answer.extra_fields().id_token.clone().map(Secret::new),
    })
}

fn redirect_url(text: &str) -> Result<RedirectUrl, UpstreamError> {
    RedirectUrl::new(text.to_owned()).map_err(|_| UpstreamError::BadAnswer("redirect uri is not a url"))
}

/// RFC 7636 section 4.2.
pub(super) fn s256_challenge(code_verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, code_verifier.as_bytes()))
}

/// RFC 6749 section 3.3 separates scopes by spaces; GitHub writes commas.
fn granted_scopes(scopes: &[Scope]) -> Vec<String> {
    let parts = scopes.iter().flat_map(|scope| scope.split(','));
    parts.map(str::trim).filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
}

/// Finds the provider's own error code in whatever oauth2 made of its answer. Descriptions and bodies are left
/// behind: they may quote the code or the secret.
fn refusal(error: RequestTokenError<UpstreamError, BasicErrorResponse>) -> UpstreamError {
    match error {
        RequestTokenError::ServerResponse(answer) => UpstreamError::refused(answer.error().as_ref()),
        RequestTokenError::Request(error) => error,
        RequestTokenError::Parse(_, body) => refusal_in(&body),
        RequestTokenError::Other(_) => UpstreamError::BadAnswer("not a token answer"),
    }
}

/// GitHub refuses with status 200 and `{"error": ...}`, which does not parse as a token answer.
pub(super) fn refusal_in(body: &[u8]) -> UpstreamError {
    #[derive(Deserialize)]
    struct ErrorOnly {
        error: String,
    }
    match serde_json::from_slice::<ErrorOnly>(body) {
        Ok(answer) => UpstreamError::refused(&answer.error),
        Err(_) => UpstreamError::BadAnswer("not a token answer"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn githubs_refusal_with_status_200_is_a_refusal() {
        let body =
            br#"{"error":"bad_verification_code","error_description":"The code passed is incorrect."}"#;
        assert_eq!(refusal_in(body), UpstreamError::Refused { error: "bad_verification_code".to_owned() });
    }

    #[test]
    fn garbage_is_a_bad_answer() {
        for body in [&b"<html>"[..], b"", b"{}", br#"{"error":7}"#, b"\xff\xfe"] {
            assert_eq!(refusal_in(body), UpstreamError::BadAnswer("not a token answer"), "{body:?}");
        }
    }

    #[test]
    fn pkce_challenge_is_the_rfcs() {
        // RFC 7636 appendix B
        assert_eq!(
            s256_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn scopes_split_at_spaces_and_commas() {
        let scopes = ["read:user,user:email", "openid", ""].map(|scope| Scope::new(scope.to_owned()));
        assert_eq!(granted_scopes(&scopes), ["read:user", "user:email", "openid"]);
    }

    proptest! {
        #[test]
        fn no_body_text_gets_out(canary in "[A-Za-z0-9_.-]{24}") {
            let body = serde_json::json!({ "token": canary, "error_description": canary }).to_string();
            let shown = format!("{0} {0:?}", refusal_in(body.as_bytes()));
            prop_assert!(!shown.contains(&canary));
        }
    }
}
