//! OpenID Connect: Google, Microsoft, any issuer of an organization, and the dev provider.

use std::sync::Arc;

use gatehouse_actors::clock::Clock;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::client::HttpClient;
use super::discovery::{Discovery, Metadata};
use super::error::UpstreamError;
use super::guarded::GuardedClient;
use super::id_token::{self, Claims, Expected, IdTokenError};
use super::oauth::{self, Credentials, TokenAnswer};
use super::profile::{usable_email, usable_name, usable_picture};
use super::{AuthorizationRequest, CallbackExchange, Effort, ExternalIdentity, SignIn, UpstreamTokens};
use crate::config::provider::ProviderKind;
use crate::config::secret::Secret;

const SCOPES: [&str; 3] = ["openid", "email", "profile"];
const OFFLINE_SCOPES: [&str; 4] = ["openid", "email", "profile", "offline_access"];

/// A client registered at one OpenID provider.
#[derive(Debug)]
pub(super) struct OpenId {
    kind: ProviderKind,
    credentials: Credentials,
    discovery: Discovery,
}

/// The answer of the userinfo endpoint (Core 1.0 section 5.3.2), as far as it is used.
#[derive(Deserialize)]
pub(super) struct UserInfo {
    sub: String,
    email: Option<String>,
    email_verified: Option<Value>,
    name: Option<String>,
    picture: Option<String>,
}

impl OpenId {
    pub(super) fn new(kind: ProviderKind, issuer: String, credentials: Credentials) -> Self {
        Self { kind, credentials, discovery: Discovery::new(kind, issuer) }
    }

    /// Asks for the metadata and the keys, and checks every endpoint. The browser's one as well: it is in the same
    /// document, and an honest provider has no reason to keep it elsewhere.
    pub(super) async fn verify(
        &self,
        guarded: &GuardedClient,
        clock: &dyn Clock,
    ) -> Result<(), UpstreamError> {
        let metadata = self.discovery.metadata(guarded.as_http(), clock).await?;
        for endpoint in metadata.endpoints() {
            guarded.check(endpoint).await?;
        }
        let keys = self.discovery.keys(guarded.as_http(), clock, &metadata).await?;
        if keys.is_empty() { Err(UpstreamError::BadAnswer("no usable signing key")) } else { Ok(()) }
    }

    pub(super) async fn authorization_url(
        &self,
        http: &HttpClient,
        clock: &dyn Clock,
        request: &AuthorizationRequest<'_>,
    ) -> Result<Url, UpstreamError> {
        let metadata = self.discovery.metadata(http, clock).await?;
        let max_age = match request.effort {
            Effort::Within(seconds) if seconds > 0 && self.takes_max_age() => Some(seconds.to_string()),
            Effort::Any | Effort::ChooseAccount | Effort::Within(_) => None,
        };
        let mut extra = vec![("nonce", request.nonce)];
        extra.extend(request.login_hint.map(|hint| ("login_hint", hint)));
        let is_kept = !request.scopes.is_empty();
        if is_kept && self.kind == ProviderKind::Google {
            extra.push(("access_type", "offline"));
        }
        match &max_age {
            _ if is_kept && request.consent_again => extra.push(("prompt", "consent")),
            Some(seconds) => extra.push(("max_age", seconds)),
            None => extra.extend(prompt(self.kind, request.effort).map(|prompt| ("prompt", prompt))),
        }
        // Core 1.0 section 11. Google has a parameter instead, and takes the scope for an error.
        let wants_scope = is_kept && self.kind != ProviderKind::Google;
        let scopes: &[&str] = if wants_scope { &OFFLINE_SCOPES } else { &SCOPES };
        oauth::authorization_url(&self.credentials, &metadata.server, request, scopes, &extra)
    }

    pub(super) fn kind(&self) -> ProviderKind {
        self.kind
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(super) async fn metadata(
        &self,
        http: &HttpClient,
        clock: &dyn Clock,
    ) -> Result<Arc<Metadata>, UpstreamError> {
        self.discovery.metadata(http, clock).await
    }

    pub(super) async fn refresh(
        &self,
        http: &HttpClient,
        clock: &dyn Clock,
        refresh_token: &Secret<String>,
    ) -> Result<UpstreamTokens, UpstreamError> {
        let metadata = self.discovery.metadata(http, clock).await?;
        oauth::refresh(http, &self.credentials, &metadata.server, refresh_token).await
    }

    pub(super) async fn sign_in(
        &self,
        http: &HttpClient,
        clock: &dyn Clock,
        exchange: &CallbackExchange<'_>,
    ) -> Result<SignIn, UpstreamError> {
        let metadata = self.discovery.metadata(http, clock).await?;
        check_callback_issuer(&metadata, exchange.iss)?;
        let answer = oauth::exchange_code(http, &self.credentials, &metadata.server, exchange).await?;
        let claims = self.verified_claims(http, clock, &metadata, (&answer, exchange)).await?;
        let claims = complete(http, &metadata, &answer, claims).await?;
        if exchange.iss.is_some_and(|iss| iss != claims.iss) {
            return Err(UpstreamError::WrongIssuer);
        }
        Ok(SignIn { identity: identity(self.kind, claims), tokens: answer.tokens })
    }

    /// Google and Microsoft document no `max_age`; there the person is asked in any case.
    fn takes_max_age(&self) -> bool {
        matches!(self.kind, ProviderKind::Oidc | ProviderKind::Dev)
    }

    /// Verifies the `id_token`, with newer keys when the known ones do not include its own.
    async fn verified_claims(
        &self,
        http: &HttpClient,
        clock: &dyn Clock,
        metadata: &Arc<Metadata>,
        (answer, exchange): (&TokenAnswer, &CallbackExchange<'_>),
    ) -> Result<Claims, UpstreamError> {
        let token = answer.id_token.as_ref().ok_or(IdTokenError::Missing)?.expose();
        let expected = |now: i64| Expected {
            issuer: &metadata.issuer,
            client_id: &self.credentials.client_id,
            nonce: exchange.nonce,
            access_token: answer.tokens.access_token.expose(),
            now,
        };
        let keys = self.discovery.keys(http, clock, metadata).await?;
        match id_token::verify(token, &keys, &expected(seconds(clock))) {
            Err(IdTokenError::UnknownKey) => {
                let newer = self.discovery.newer_keys(http, clock, metadata).await?;
                let keys = newer.ok_or(IdTokenError::UnknownKey)?;
                Ok(id_token::verify(token, &keys, &expected(seconds(clock)))?)
            }
            verdict => Ok(verdict?),
        }
    }
}

/// The `prompt` that asks for it. Google refuses `login`; to choose an account is the most that it can be asked.
fn prompt(kind: ProviderKind, effort: Effort) -> Option<&'static str> {
    match (effort, kind) {
        (Effort::Any, _) => None,
        (Effort::ChooseAccount, _) | (Effort::Within(_), ProviderKind::Google) => Some("select_account"),
        (Effort::Within(_), _) => Some("login"),
    }
}

fn seconds(clock: &dyn Clock) -> i64 {
    clock.now().div_euclid(1000)
}

/// RFC 9207 section 2.4, before the code goes anywhere: a wrong `iss` means that the code belongs to another server.
fn check_callback_issuer(metadata: &Metadata, iss: Option<&str>) -> Result<(), UpstreamError> {
    let is_right = iss.map_or(!metadata.sends_iss, |iss| metadata.issuer.may_send(iss));
    if is_right { Ok(()) } else { Err(UpstreamError::WrongIssuer) }
}

/// Asks the userinfo endpoint when the `id_token` does not tell the e-mail address.
async fn complete(
    http: &HttpClient,
    metadata: &Metadata,
    answer: &TokenAnswer,
    claims: Claims,
) -> Result<Claims, UpstreamError> {
    let Some(endpoint) = metadata.userinfo_endpoint.as_ref().filter(|_| claims.email.is_none()) else {
        return Ok(claims);
    };
    let info: UserInfo = http.get_json(endpoint, Some(&answer.tokens.access_token)).await?;
    merge(claims, info)
}

pub(super) fn merge(mut claims: Claims, info: UserInfo) -> Result<Claims, UpstreamError> {
    // Core 1.0 section 5.3.2: or a token for somebody else's account could be substituted.
    if info.sub != claims.sub {
        return Err(UpstreamError::BadAnswer("userinfo is about another subject"));
    }
    // The flag is taken with the address it belongs to, never with another.
    claims.email = info.email;
    claims.email_verified = info.email_verified;
    claims.xms_edov = None;
    claims.name = claims.name.or(info.name);
    claims.picture = claims.picture.or(info.picture);
    Ok(claims)
}

pub(super) fn identity(kind: ProviderKind, claims: Claims) -> ExternalIdentity {
    let vouched = is_email_vouched_for(kind, &claims);
    let email = usable_email(claims.email);
    ExternalIdentity {
        issuer: claims.iss,
        subject: claims.sub,
        email_verified: vouched && email.is_some(),
        email,
        name: usable_name(claims.name),
        avatar_url: usable_picture(claims.picture),
        amr: claims.amr.as_ref().map(texts).unwrap_or_default(),
        auth_time: claims.auth_time.as_ref().and_then(Value::as_i64),
    }
}

/// Only JSON `true` counts. In Microsoft's directories any administrator can write any address into the e-mail
/// claim; there it counts when the directory has proved that it owns the domain (`xms_edov`).
fn is_email_vouched_for(kind: ProviderKind, claims: &Claims) -> bool {
    let flag = match kind {
        ProviderKind::Microsoft => &claims.xms_edov,
        ProviderKind::GitHub | ProviderKind::Google | ProviderKind::Oidc | ProviderKind::Dev => {
            &claims.email_verified
        }
    };
    *flag == Some(Value::Bool(true))
}

/// A list of texts; whatever else a provider puts there is left out.
fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn claims(more: &Value) -> Claims {
        let mut claims = json!({ "iss": "https://id.test", "sub": "1", "aud": "c", "exp": 1, "iat": 1 });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        serde_json::from_value(claims).unwrap()
    }

    #[test]
    fn each_provider_is_asked_in_its_own_words() {
        for (effort, google, microsoft) in [
            (Effort::Any, None, None),
            (Effort::ChooseAccount, Some("select_account"), Some("select_account")),
            (Effort::Within(0), Some("select_account"), Some("login")),
            (Effort::Within(60), Some("select_account"), Some("login")),
        ] {
            assert_eq!(prompt(ProviderKind::Google, effort), google, "{effort:?}");
            assert_eq!(prompt(ProviderKind::Microsoft, effort), microsoft, "{effort:?}");
        }
    }

    #[test]
    fn only_json_true_verifies_an_address() {
        for (flag, verified) in [
            (json!(true), true),
            (json!("true"), false),
            (json!(1), false),
            (json!("1"), false),
            (json!(null), false),
            (json!(false), false),
        ] {
            let token = json!({ "email": "a@x.test", "email_verified": flag });
            assert_eq!(identity(ProviderKind::Google, claims(&token)).email_verified, verified, "{flag}");
            assert!(!identity(ProviderKind::Microsoft, claims(&token)).email_verified);
            let token = json!({ "email": "a@x.test", "xms_edov": flag, "email_verified": true });
            assert_eq!(identity(ProviderKind::Microsoft, claims(&token)).email_verified, verified, "{flag}");
        }
        let unusable = json!({ "email": "nobody", "email_verified": true });
        assert!(!identity(ProviderKind::Google, claims(&unusable)).email_verified);
    }

    #[test]
    fn userinfo_is_about_the_same_subject() {
        let info = |sub: &str| {
            serde_json::from_value(json!({ "sub": sub, "email": "a@x.test", "email_verified": true }))
                .unwrap()
        };
        let merged = merge(claims(&json!({ "name": "Ada" })), info("1")).unwrap();
        let identity = identity(ProviderKind::Oidc, merged);
        assert_eq!((identity.email.as_deref(), identity.email_verified), (Some("a@x.test"), true));
        assert_eq!(identity.name.as_deref(), Some("Ada"));
        assert!(merge(claims(&json!({})), info("2")).is_err());
    }

    #[test]
    fn a_flag_never_moves_to_another_address() {
        let info = serde_json::from_value(json!({ "sub": "1", "email": "a@x.test" })).unwrap();
        let merged = merge(claims(&json!({ "email_verified": true, "xms_edov": true })), info).unwrap();
        assert!(!is_email_vouched_for(ProviderKind::Oidc, &merged));
        assert!(!is_email_vouched_for(ProviderKind::Microsoft, &merged));
    }

    proptest! {
        #[test]
        fn odd_methods_never_break_a_sign_in(amr in prop_oneof![
            Just(json!("pwd")), Just(json!(["pwd", 7, null, "otp"])), Just(json!(null)), Just(json!({})),
        ]) {
            let methods = identity(ProviderKind::Oidc, claims(&json!({ "amr": amr }))).amr;
            prop_assert!(methods.is_empty() || methods == ["pwd", "otp"]);
        }
    }
}
