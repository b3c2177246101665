//! Giving tokens back: OAuth 2.0 Token Revocation (RFC 7009), and what GitHub has instead.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oauth2::http::{Method, Request, header};
use oauth2::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::client::HttpClient;
use super::error::UpstreamError;
use super::github::GitHub;
use super::oauth::{ClientAuth, Credentials};
use super::oidc::OpenId;
use crate::config::provider::ProviderKind;
use crate::config::secret::Secret;
use gatehouse_actors::clock::Clock;

/// What a grant left behind.
#[derive(Debug)]
pub struct Revocable {
    /// Its access token; it may have ended.
    pub access_token: Secret<String>,
    /// Its refresh token, if there was one.
    pub refresh_token: Option<Secret<String>>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// The provider takes the tokens no more.
    Done,
    /// The provider has no way to revoke them.
    Unsupported,
}

/// How a revocation endpoint is told who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Client(ClientAuth),
    /// Whoever has the token may give it back.
    Bearer,
}

impl OpenId {
    pub(super) async fn revoke(
        &self,
        http: &HttpClient,
        clock: &dyn Clock,
        tokens: &Revocable,
    ) -> Result<Revoked, UpstreamError> {
        let metadata = self.metadata(http, clock).await?;
        let Some((endpoint, auth)) = &metadata.revocation else { return Ok(Revoked::Unsupported) };
        // Google documents no client authentication there, and takes the whole grant back with either token.
        let is_google = self.kind() == ProviderKind::Google;
        let asker = if is_google { Asker::Bearer } else { Asker::Client(*auth) };
        let access = (&tokens.access_token, "access_token");
        let Some(refresh_token) = &tokens.refresh_token else {
            give_back(http, self.credentials(), (endpoint, asker), access).await?;
            return Ok(Revoked::Done);
        };
        give_back(http, self.credentials(), (endpoint, asker), (refresh_token, "refresh_token")).await?;
        if !is_google {
            // RFC 7009 section 2.1: the server should have ended the access token as well, but need not have.
            match give_back(http, self.credentials(), (endpoint, asker), access).await {
                Err(UpstreamError::Refused { error }) if error == "unsupported_token_type" => {}
                outcome => outcome?,
            }
        }
        Ok(Revoked::Done)
    }
}

impl GitHub {
    /// One token, and not the whole grant: other services may have tokens of the same account.
    pub(super) async fn revoke(
        &self,
        http: &HttpClient,
        tokens: &Revocable,
    ) -> Result<Revoked, UpstreamError> {
        let Credentials { client_id, client_secret } = self.credentials();
        let id: String = byte_serialize(client_id.as_bytes()).collect();
        let url = self.api(&format!("/applications/{id}/token"))?;
        let basic = STANDARD.encode(format!("{client_id}:{}", client_secret.expose()));
        let request = Request::builder()
            .method(Method::DELETE)
            .uri(url.as_str())
            .header(header::AUTHORIZATION, format!("Basic {basic}"))
            .header(header::ACCEPT, "application/vnd.github+json")
            .header(header::CONTENT_TYPE, "application/json")
            .body(json!({ "access_token": tokens.access_token.expose() }).to_string().into_bytes());
        let response = http.send(request.map_err(|_| UpstreamError::BadAnswer("not a request"))?).await?;
        match response.status().as_u16() {
            // 404: there is no such token any more.
            204 | 404 => Ok(Revoked::Done),
            status => Err(UpstreamError::Status(status)),
        }
    }
}

async fn give_back(
    http: &HttpClient,
    credentials: &Credentials,
    to: (&Url, Asker),
    token: (&Secret<String>, &str),
) -> Result<(), UpstreamError> {
    let request = request(credentials, to, token).ok_or(UpstreamError::BadAnswer("not a request"))?;
    judge(&http.send(request).await?)
}

/// The revocation request (RFC 7009 section 2.1).
fn request(
    Credentials { client_id, client_secret }: &Credentials,
    (endpoint, asker): (&Url, Asker),
    (token, hint): (&Secret<String>, &str),
) -> Option<HttpRequest> {
    let mut form = Serializer::new(String::new());
    form.append_pair("token", token.expose());
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(endpoint.as_str())
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    match asker {
        Asker::Bearer => {}
        Asker::Client(ClientAuth::Basic) => {
            form.append_pair("token_type_hint", hint);
            // RFC 6749 section 2.3.1: both are form-encoded first.
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", encoded(client_id), encoded(client_secret.expose()));
            request = request.header(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)));
        }
        Asker::Client(ClientAuth::Post) => {
            form.append_pair("token_type_hint", hint);
            form.append_pair("client_id", client_id);
            form.append_pair("client_secret", client_secret.expose());
        }
    }
    request.body(form.finish().into_bytes()).ok()
}

/// RFC 7009 section 2.2: 200 also for a token that is not good any more. Google says `invalid_token` then.
pub(super) fn judge(response: &HttpResponse) -> Result<(), UpstreamError> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let status = response.status().as_u16();
    match status {
        200..=299 => Ok(()),
        400..=499 => match serde_json::from_slice::<Refusal>(response.body()) {
            Ok(Refusal { error }) if error == "invalid_token" => Ok(()),
            Ok(Refusal { error }) => Err(UpstreamError::refused(&error)),
            Err(_) => Err(UpstreamError::Status(status)),
        },
        _ => Err(UpstreamError::Status(status)),
    }
}

#[cfg(test)]
mod tests {
    use oauth2::http::Response;
    use proptest::prelude::*;

    use super::*;

    fn credentials() -> Credentials {
        Credentials { client_id: "id:1".to_owned(), client_secret: Secret::new("s/3".to_owned()) }
    }

    fn body(asker: Asker) -> (String, Option<String>) {
        let endpoint = "https://id.test/revoke".parse().unwrap();
        let token = Secret::new("a+b".to_owned());
        let request = request(&credentials(), (&endpoint, asker), (&token, "refresh_token")).unwrap();
        let basic =
            request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        (String::from_utf8(request.into_body()).unwrap(), basic)
    }

    fn answer(status: u16, body: &str) -> Result<(), UpstreamError> {
        judge(&Response::builder().status(status).body(body.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn the_client_shows_itself_where_the_server_wants_it() {
        assert_eq!(body(Asker::Bearer), ("token=a%2Bb".to_owned(), None));
        let basic = format!("Basic {}", STANDARD.encode("id%3A1:s%2F3"));
        let form = "token=a%2Bb&token_type_hint=refresh_token";
        assert_eq!(body(Asker::Client(ClientAuth::Basic)), (form.to_owned(), Some(basic)));
        let form = format!("{form}&client_id=id%3A1&client_secret=s%2F3");
        assert_eq!(body(Asker::Client(ClientAuth::Post)), (form, None));
    }

    #[test]
    fn a_token_that_is_not_good_any_more_is_revoked() {
        assert_eq!(answer(200, ""), Ok(()));
        assert_eq!(answer(400, r#"{"error":"invalid_token"}"#), Ok(()));
        let refused = UpstreamError::Refused { error: "invalid_client".to_owned() };
        assert_eq!(answer(401, r#"{"error":"invalid_client"}"#), Err(refused));
        assert_eq!(answer(503, "busy"), Err(UpstreamError::Status(503)));
        assert_eq!(answer(307, ""), Err(UpstreamError::Status(307)));
    }

    proptest! {
        #[test]
        fn nothing_of_an_answer_gets_out(status in 300_u16..600, canary in "[A-Za-z0-9.-]{20}") {
            let text = format!("{{\"error\":\"{canary}\",\"error_description\":\"{canary}\"}}");
            let shown = format!("{:?}", answer(status, &text));
            let is_code = canary.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            prop_assert!(is_code || !shown.contains(&canary));
        }
    }
}
