//! GitHub: OAuth 2.0 without OpenID; who signed in is asked of its REST API.

use serde::Deserialize;
use url::Url;

use super::client::HttpClient;
use super::error::UpstreamError;
use super::oauth::{self, ClientAuth, Credentials, Server};
use super::profile::{usable_email, usable_name, usable_picture};
use super::{AuthorizationRequest, CallbackExchange, Effort, ExternalIdentity, SignIn, UpstreamTokens};
use crate::config::secret::Secret;

/// The profile, and the addresses with their verified flags: `/user` alone shows at most one public address.
const SCOPES: [&str; 2] = ["read:user", "user:email"];

/// An OAuth application at github.com or at a GitHub Enterprise server.
#[derive(Debug)]
pub(super) struct GitHub {
    issuer: String,
    api_url: String,
    credentials: Credentials,
    server: Server,
}

/// `GET /user`.
#[derive(Deserialize)]
pub(super) struct User {
    id: u64,
    login: String,
    name: Option<String>,
    avatar_url: Option<String>,
}

/// One of `GET /user/emails`.
#[derive(Deserialize)]
pub(super) struct Email {
    #[serde(rename = "email")]
    address: String,
    primary: bool,
    verified: bool,
}

impl GitHub {
    pub(super) fn new(base_url: &Url, api_url: &Url, credentials: Credentials) -> Self {
        let at = |path: &str| {
            let mut url = base_url.clone();
            url.set_path(&format!("{}/login/oauth/{path}", base_url.path().trim_end_matches('/')));
            url
        };
        let server = Server {
            authorization_endpoint: at("authorize"),
            token_endpoint: at("access_token"),
            client_auth: ClientAuth::Post, // the only method that GitHub documents
        };
        let without_slash = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
        Self { issuer: without_slash(base_url), api_url: without_slash(api_url), credentials, server }
    }

    pub(super) fn authorization_url(&self, request: &AuthorizationRequest<'_>) -> Result<Url, UpstreamError> {
        let mut extra: Vec<_> = request.login_hint.map(|hint| ("login", hint)).into_iter().collect();
        if request.effort != Effort::Any {
            // The most that GitHub can be asked: it has no way to demand a fresh authentication.
            extra.push(("prompt", "select_account"));
        }
        oauth::authorization_url(&self.credentials, &self.server, request, &SCOPES, &extra)
    }

    pub(super) async fn sign_in(
        &self,
        http: &HttpClient,
        exchange: &CallbackExchange<'_>,
    ) -> Result<SignIn, UpstreamError> {
        self.check_issuer(exchange.iss)?;
        let tokens = oauth::exchange_code(http, &self.credentials, &self.server, exchange).await?.tokens;
        let user: User = http.get_json(&self.api("/user")?, Some(&tokens.access_token)).await?;
        let emails = self.emails(http, &tokens).await?;
        Ok(SignIn { identity: self.identity(user, emails), tokens })
    }

    /// GitHub's apps have tokens that end; those of its classic applications do not, and have no refresh token.
    pub(super) async fn refresh(
        &self,
        http: &HttpClient,
        refresh_token: &Secret<String>,
    ) -> Result<UpstreamTokens, UpstreamError> {
        oauth::refresh(http, &self.credentials, &self.server, refresh_token).await
    }

    /// RFC 9207 section 2.4. GitHub's own authorization server identifier has a path below the site.
    fn check_issuer(&self, iss: Option<&str>) -> Result<(), UpstreamError> {
        let is_ours = |iss: &str| {
            let rest = iss.strip_prefix(&self.issuer);
            rest.is_some_and(|rest| matches!(rest.trim_end_matches('/'), "" | "/login/oauth"))
        };
        if iss.is_none_or(is_ours) { Ok(()) } else { Err(UpstreamError::WrongIssuer) }
    }

    /// An application without permission to read addresses signs in people without one.
    async fn emails(&self, http: &HttpClient, tokens: &UpstreamTokens) -> Result<Vec<Email>, UpstreamError> {
        let url = self.api("/user/emails?per_page=100")?; // the default page of 30 may lack the primary one
        match http.get_json(&url, Some(&tokens.access_token)).await {
            Err(UpstreamError::Status(403 | 404)) => Ok(Vec::new()),
            answer => answer,
        }
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(super) fn api(&self, path: &str) -> Result<Url, UpstreamError> {
        format!("{}{path}", self.api_url).parse().map_err(|_| UpstreamError::BadAnswer("not an address"))
    }

    pub(super) fn identity(&self, user: User, emails: Vec<Email>) -> ExternalIdentity {
        let (email, email_verified) = primary_email(emails);
        ExternalIdentity {
            issuer: self.issuer.clone(),
            subject: user.id.to_string(), // logins can be renamed and taken over, ids cannot
            email,
            email_verified,
            name: usable_name(user.name).or_else(|| usable_name(Some(user.login))),
            avatar_url: usable_picture(user.avatar_url),
            amr: Vec::new(),
            auth_time: None,
        }
    }
}

/// The primary address and whether GitHub verified it. No other address counts, verified or not: the person may
/// have added it for one repository's commits.
fn primary_email(emails: Vec<Email>) -> (Option<String>, bool) {
    let primary = emails.into_iter().find(|email| email.primary);
    let verified = primary.as_ref().is_some_and(|email| email.verified);
    let email = usable_email(primary.map(|email| email.address));
    let verified = verified && email.is_some();
    (email, verified)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn github(base_url: &str) -> GitHub {
        let credentials =
            Credentials { client_id: "id".to_owned(), client_secret: Secret::new("secret".to_owned()) };
        GitHub::new(&base_url.parse().unwrap(), &"https://api.github.test".parse().unwrap(), credentials)
    }

    fn email(address: &str, primary: bool, verified: bool) -> Email {
        Email { address: address.to_owned(), primary, verified }
    }

    #[test]
    fn only_the_primary_and_verified_address_is_verified() {
        assert_eq!(primary_email(vec![]), (None, false));
        assert_eq!(primary_email(vec![email("other@x.test", false, true)]), (None, false));
        let unverified = vec![email("other@x.test", false, true), email("me@x.test", true, false)];
        assert_eq!(primary_email(unverified), (Some("me@x.test".to_owned()), false));
        let verified = vec![email("other@x.test", false, true), email("me@x.test", true, true)];
        assert_eq!(primary_email(verified), (Some("me@x.test".to_owned()), true));
        assert_eq!(primary_email(vec![email("no address", true, true)]), (None, false));
    }

    #[test]
    fn flags_must_be_booleans() {
        for flag in ["\"true\"", "1", "null"] {
            let text = format!(r#"{{"email":"me@x.test","primary":true,"verified":{flag}}}"#);
            assert!(serde_json::from_str::<Email>(&text).is_err());
        }
    }

    #[test]
    fn endpoints_follow_the_base_url() {
        let enterprise = github("https://git.example.test/sub/");
        assert_eq!(enterprise.issuer, "https://git.example.test/sub");
        assert_eq!(
            enterprise.server.token_endpoint.as_str(),
            "https://git.example.test/sub/login/oauth/access_token"
        );
        assert_eq!(github("https://github.test").issuer, "https://github.test");
    }

    #[test]
    fn the_callbacks_issuer_is_compared_when_present() {
        let github = github("https://github.test");
        for iss in [None, Some("https://github.test"), Some("https://github.test/login/oauth")] {
            assert_eq!(github.check_issuer(iss), Ok(()));
        }
        for iss in ["", "https://evil.test", "https://github.test.evil.test", "https://github.test/other"] {
            assert_eq!(github.check_issuer(Some(iss)), Err(UpstreamError::WrongIssuer));
        }
    }

    proptest! {
        #[test]
        fn a_verified_address_is_always_the_primary_one(
            flags in proptest::collection::vec((any::<bool>(), any::<bool>()), 0..6)
        ) {
            let emails = |i: usize| format!("a{i}@x.test");
            let list = flags.iter().enumerate().map(|(i, (p, v))| email(&emails(i), *p, *v)).collect();
            let (chosen, verified) = primary_email(list);
            let expected = flags.iter().position(|(primary, _)| *primary);
            prop_assert_eq!(chosen, expected.map(emails));
            prop_assert_eq!(verified, expected.is_some_and(|i| flags[i].1));
        }
    }
}
