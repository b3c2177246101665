//! The dev provider itself: its key, its codes and its access tokens, all in memory and gone with the process.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gatehouse_actors::clock::{Clock, Millis};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::request::AuthorizeRequest;
use super::shelf::Shelf;
use crate::config::secret::Secret;

/// The only client that the dev provider knows: this service.
pub const CLIENT_ID: &str = "gatehouse-dev";

const CODE_LIFE: Millis = 60 * 1000;
const ACCESS_TOKEN_LIFE: Millis = 5 * 60 * 1000;

/// The dev provider cannot do its work; the text is for the log.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("dev provider: {0}")]
pub struct DevProviderError(pub(super) &'static str);

/// An OpenID provider for one client, which believes whatever is typed into its page.
pub struct DevProvider {
    issuer: String,
    client_secret: Secret<String>,
    redirect_uris: Vec<String>,
    clock: Arc<dyn Clock>,
    random: SystemRandom,
    key: EncodingKey,
    key_id: String,
    jwks: Value,
    codes: Shelf<Grant>,
    access_tokens: Shelf<Person>,
}

/// Who signed in.
#[derive(Debug, Clone)]
pub(super) struct Person {
    email: String,
    email_verified: bool,
    name: String,
}

/// What a code stands for.
#[derive(Debug, Clone)]
struct Grant {
    redirect_uri: String,
    code_challenge: String,
    nonce: String,
    scope: String,
    person: Person,
    signed_in_at: Millis,
}

/// The body of a token request.
#[derive(Deserialize)]
pub struct TokenRequest {
    grant_type: Option<String>,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// RFC 6749 section 5.2.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenRefusal {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnsupportedGrantType,
    Internal(DevProviderError),
}

impl TokenRefusal {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::Internal(_) => "server_error",
        }
    }
}

impl Person {
    /// `None` when the text is no e-mail address.
    pub(super) fn new(email: &str, name: &str, email_verified: bool) -> Option<Self> {
        let email = email.trim();
        let (local, domain) = email.split_once('@')?;
        let is_address =
            !local.is_empty() && !domain.is_empty() && !domain.contains('@') && email.len() <= 254;
        if !is_address || email.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return None;
        }
        let typed = name.trim();
        let name = if typed.is_empty() { local } else { typed };
        Some(Self {
            email: email.to_owned(),
            email_verified,
            name: name.chars().filter(|c| !c.is_control()).take(200).collect(),
        })
    }

    /// The same for the same address, however it is capitalized: signing in again finds the same identity.
    fn subject(&self) -> String {
        let input = format!("dev provider subject\n{}", self.email.to_lowercase());
        URL_SAFE_NO_PAD.encode(digest(&SHA256, input.as_bytes()))
    }

    /// The claims about the person (OpenID Connect Core 1.0 section 5.1).
    pub(super) fn claims(&self) -> Value {
        json!({
            "sub": self.subject(),
            "email": self.email,
            "email_verified": self.email_verified,
            "name": self.name,
        })
    }
}

impl DevProvider {
    /// Makes a provider with a fresh ES256 key. `issuer` is `{BASE_URL}/dev/provider`; a redirect URI is allowed when
    /// it is in the list, character for character.
    pub fn new(
        issuer: String,
        client_secret: Secret<String>,
        redirect_uris: Vec<String>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DevProviderError> {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .map_err(|_| DevProviderError("no key could be made"))?;
        let key = EncodingKey::from_ec_der(pkcs8.as_ref());
        let unusable = |_| DevProviderError("key is not usable");
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).map_err(unusable)?;
        let key_id = jwk.thumbprint(ThumbprintHash::SHA256).map_err(unusable)?;
        jwk.common.key_id = Some(key_id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self {
            issuer,
            client_secret,
            redirect_uris,
            clock,
            random,
            key,
            key_id,
            jwks: json!({ "keys": [jwk] }),
            codes: Shelf::new(CODE_LIFE),
            access_tokens: Shelf::new(ACCESS_TOKEN_LIFE),
        })
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) fn jwks(&self) -> &Value {
        &self.jwks
    }

    pub(super) fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}/{path}", self.issuer);
        json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("authorize"),
            "token_endpoint": at("token"),
            "userinfo_endpoint": at("userinfo"),
            "jwks_uri": at("jwks.json"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["openid", "email", "profile"],
            "claims_supported": ["sub", "email", "email_verified", "name", "auth_time"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    pub(super) fn knows_redirect_uri(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|known| known == uri)
    }

    pub(super) fn issue_code(
        &self,
        request: &AuthorizeRequest,
        person: Person,
    ) -> Result<String, DevProviderError> {
        let (code, now) = (self.random_text()?, self.clock.now());
        let grant = Grant {
            redirect_uri: request.redirect_uri.clone(),
            code_challenge: request.code_challenge.clone(),
            nonce: request.nonce.clone(),
            scope: request.scope.clone(),
            person,
            signed_in_at: now,
        };
        self.codes.put(code.clone(), grant, now);
        Ok(code)
    }

    /// Exchanges a code for tokens. The code is gone afterwards, also when the exchange was refused.
    pub(super) fn redeem_code(
        &self,
        request: &TokenRequest,
        authorization: Option<&[u8]>,
    ) -> Result<Value, TokenRefusal> {
        self.authenticate(request, authorization)?;
        match request.grant_type.as_deref() {
            Some("authorization_code") => {}
            Some(_) => return Err(TokenRefusal::UnsupportedGrantType),
            None => return Err(TokenRefusal::InvalidRequest),
        }
        let (Some(code), Some(verifier)) = (&request.code, &request.code_verifier) else {
            return Err(TokenRefusal::InvalidRequest);
        };
        let grant = self.codes.take(code, self.clock.now()).ok_or(TokenRefusal::InvalidGrant)?;
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes())); // RFC 7636 section 4.6
        if !equal(&challenge, &grant.code_challenge)
            || request.redirect_uri.as_ref() != Some(&grant.redirect_uri)
        {
            return Err(TokenRefusal::InvalidGrant);
        }
        self.issue_tokens(grant).map_err(TokenRefusal::Internal)
    }

    pub(super) fn person(&self, access_token: &str) -> Option<Person> {
        self.access_tokens.get(access_token, self.clock.now())
    }

    fn issue_tokens(&self, grant: Grant) -> Result<Value, DevProviderError> {
        let (access_token, now) = (self.random_text()?, self.clock.now());
        let id_token = self.id_token(&grant, &access_token, now)?;
        self.access_tokens.put(access_token.clone(), grant.person, now);
        Ok(json!({
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": ACCESS_TOKEN_LIFE / 1000,
            "scope": grant.scope,
            "id_token": id_token,
        }))
    }

    /// OpenID Connect Core 1.0 section 2.
    fn id_token(&self, grant: &Grant, access_token: &str, now: Millis) -> Result<String, DevProviderError> {
        let hash = digest(&SHA256, access_token.as_bytes());
        let left_half = hash.as_ref().get(..16).unwrap_or_default();
        let mut claims = grant.person.claims();
        if let Some(claims) = claims.as_object_mut() {
            claims.extend([
                ("iss".to_owned(), json!(self.issuer)),
                ("aud".to_owned(), json!(CLIENT_ID)),
                ("iat".to_owned(), json!(now.div_euclid(1000))),
                ("exp".to_owned(), json!((now + ACCESS_TOKEN_LIFE).div_euclid(1000))),
                ("auth_time".to_owned(), json!(grant.signed_in_at.div_euclid(1000))),
                ("nonce".to_owned(), json!(grant.nonce)),
                ("at_hash".to_owned(), json!(URL_SAFE_NO_PAD.encode(left_half))),
            ]);
        }
        let header = Header { kid: Some(self.key_id.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(|_| DevProviderError("id_token not signed"))
    }

    /// RFC 6749 section 2.3.1: by header or in the body, never both.
    fn authenticate(&self, request: &TokenRequest, authorization: Option<&[u8]>) -> Result<(), TokenRefusal> {
        let (client_id, client_secret) = match (authorization, &request.client_secret) {
            (Some(_), Some(_)) => return Err(TokenRefusal::InvalidRequest),
            (Some(header), None) => basic_credentials(header).ok_or(TokenRefusal::InvalidClient)?,
            (None, Some(secret)) => (request.client_id.clone().unwrap_or_default(), secret.clone()),
            (None, None) => return Err(TokenRefusal::InvalidClient),
        };
        let is_client = client_id == CLIENT_ID && equal(&client_secret, self.client_secret.expose());
        if is_client { Ok(()) } else { Err(TokenRefusal::InvalidClient) }
    }

    fn random_text(&self) -> Result<String, DevProviderError> {
        let mut bytes = [0; 32];
        self.random.fill(&mut bytes).map_err(|_| DevProviderError("no randomness"))?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// Id and secret from a Basic header; both are form-encoded inside it (RFC 6749 section 2.3.1).
fn basic_credentials(header: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(header).ok()?;
    let decoded = String::from_utf8(STANDARD.decode(text.strip_prefix("Basic ")?.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((form_decoded(id)?, form_decoded(secret)?))
}

fn form_decoded(text: &str) -> Option<String> {
    if text.contains(['&', '=']) {
        return None; // form-encoded text has neither
    }
    let pair = format!("v={text}");
    let value = form_urlencoded::parse(pair.as_bytes()).next()?.1.into_owned();
    Some(value)
}

/// In constant time, as secrets are compared.
fn equal(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}
