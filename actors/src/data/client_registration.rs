//! What a service registers as an OAuth client: how it proves itself, what it may ask for, how it wants its answers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::{json_list, string_list};
use crate::engine::{Row, WriteTx};
use crate::error::StoreError;
use crate::{statements, values};

/// The columns of [`ClientRegistration`], for every statement that reads one of a service `s`.
macro_rules! registration_columns {
    () => {
        "s.token_endpoint_auth_method, s.jwks, s.id_token_signed_response_alg, s.backchannel_logout_uri, \
         s.backchannel_logout_session_required, s.dpop_bound_access_tokens, \
         s.require_pushed_authorization_requests, s.is_third_party, s.scopes, s.resources"
    };
}
pub(crate) use registration_columns;

/// How many columns [`registration_columns`] has.
pub(crate) const REGISTRATION_COLUMNS: usize = 10;

statements! {
    UPDATE_REGISTRATION = "UPDATE services SET token_endpoint_auth_method = $1, jwks = $2, \
        id_token_signed_response_alg = $3, backchannel_logout_uri = $4, backchannel_logout_session_required = $5, \
        dpop_bound_access_tokens = $6, require_pushed_authorization_requests = $7, is_third_party = $8, scopes = $9, \
        resources = $10 WHERE id = $11";
}

/// `token_endpoint_auth_method` (RFC 7591, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// A public client.
    None,
    /// The secret in the Authorization header.
    ClientSecretBasic,
    /// The secret in the body.
    ClientSecretPost,
    /// An assertion signed with a registered key (RFC 7523).
    PrivateKeyJwt,
}

impl AuthMethod {
    /// Every method.
    pub const ALL: [Self; 4] =
        [Self::None, Self::ClientSecretBasic, Self::ClientSecretPost, Self::PrivateKeyJwt];

    /// Its registered name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// The method of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    /// Whether the client proves itself with a client secret.
    #[must_use]
    pub fn uses_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

/// How tokens are signed (RFC 7518, section 3.1; RFC 8037, section 3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    #[default]
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// Ed25519.
    EdDsa,
}

impl SigningAlgorithm {
    /// Every algorithm; the first is the default.
    pub const ALL: [Self; 3] = [Self::Es256, Self::Rs256, Self::EdDsa];

    /// Its registered name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// A scope that the organization defines for a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceScope {
    /// The scope-token (RFC 6749, section 3.3).
    pub name: String,
    /// What the consent page says about it.
    pub description: String,
}

/// What a service registers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // each is a member of its standard, and they are independent
pub struct ClientRegistration {
    /// How it authenticates. None: as its secret implies, with a secret in either way, without one not at all.
    pub token_endpoint_auth_method: Option<AuthMethod>,
    /// Its public keys (RFC 7517).
    pub jwks: Option<Json>,
    /// How its `id_token`s are signed.
    pub id_token_signed_response_alg: SigningAlgorithm,
    /// Where it is told that a session ended (OpenID Connect Back-Channel Logout, section 2.2).
    pub backchannel_logout_uri: Option<String>,
    /// Whether a logout token has to name the session.
    pub backchannel_logout_session_required: bool,
    /// Whether its access tokens must be bound to a key (RFC 9449, section 5.2).
    pub dpop_bound_access_tokens: bool,
    /// Whether its authorization requests must be pushed (RFC 9126, section 6).
    pub require_pushed_authorization_requests: bool,
    /// Whether it belongs to somebody else than the organization, so that people have to consent.
    pub is_third_party: bool,
    /// Scopes beyond those of OpenID Connect.
    pub scopes: Vec<ServiceScope>,
    /// What its access tokens may be for, beside itself (RFC 8707).
    pub resources: Vec<String>,
}

impl ClientRegistration {
    /// The method that holds, which is never undecided.
    #[must_use]
    pub fn auth_method(&self, has_client_secret: bool) -> AuthMethod {
        let implied = if has_client_secret { AuthMethod::ClientSecretBasic } else { AuthMethod::None };
        self.token_endpoint_auth_method.unwrap_or(implied)
    }

    pub(crate) fn from_row(row: &Row<'_, '_>, first: usize) -> Result<Self, StoreError> {
        let wrong = |column, found| StoreError::Inconsistent { table: "services", column, found };
        let method: Option<String> = row.get(first)?;
        let method = method.map(|name| {
            AuthMethod::parse(&name).ok_or_else(|| wrong("token_endpoint_auth_method", name.clone()))
        });
        let jwks: Option<String> = row.get(first + 1)?;
        let jwks =
            jwks.map(|text| serde_json::from_str(&text).map_err(|error| wrong("jwks", error.to_string())));
        let algorithm: String = row.get(first + 2)?;
        let scopes: String = row.get(first + 8)?;
        Ok(Self {
            token_endpoint_auth_method: method.transpose()?,
            jwks: jwks.transpose()?,
            id_token_signed_response_alg: SigningAlgorithm::parse(&algorithm)
                .ok_or_else(|| wrong("id_token_signed_response_alg", algorithm))?,
            backchannel_logout_uri: row.get(first + 3)?,
            backchannel_logout_session_required: row.get(first + 4)?,
            dpop_bound_access_tokens: row.get(first + 5)?,
            require_pushed_authorization_requests: row.get(first + 6)?,
            is_third_party: row.get(first + 7)?,
            scopes: serde_json::from_str(&scopes).map_err(|error| wrong("scopes", error.to_string()))?,
            resources: string_list("services", "resources", &row.get::<String>(first + 9)?)?,
        })
    }

    pub(super) fn store(&self, tx: &mut WriteTx<'_>, service_id: i64) -> Result<(), StoreError> {
        let jwks = self.jwks.as_ref().map(ToString::to_string);
        let scopes = json!(self.scopes).to_string();
        let resources = json_list(&self.resources);
        let values = values![
            self.token_endpoint_auth_method.map(AuthMethod::as_str),
            &jwks,
            self.id_token_signed_response_alg.as_str(),
            &self.backchannel_logout_uri,
            self.backchannel_logout_session_required,
            self.dpop_bound_access_tokens,
            self.require_pushed_authorization_requests,
            self.is_third_party,
            &scopes,
            &resources,
            service_id,
        ];
        tx.execute(UPDATE_REGISTRATION, values)?;
        Ok(())
    }

    /// The members by name, as the outside knows them.
    #[must_use]
    pub fn members(&self) -> Map<String, Json> {
        let members = json!({
            "token_endpoint_auth_method": self.token_endpoint_auth_method.map(AuthMethod::as_str),
            "jwks": self.jwks,
            "id_token_signed_response_alg": self.id_token_signed_response_alg.as_str(),
            "backchannel_logout_uri": self.backchannel_logout_uri,
            "backchannel_logout_session_required": self.backchannel_logout_session_required,
            "dpop_bound_access_tokens": self.dpop_bound_access_tokens,
            "require_pushed_authorization_requests": self.require_pushed_authorization_requests,
            "is_third_party": self.is_third_party,
            "scopes": self.scopes,
            "resources": self.resources,
        });
        if let Json::Object(members) = members { members } else { Map::new() }
    }
}

/// What to change about a registration. `None` leaves a member as it is, `Some(None)` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, clippy::option_option)] // the members are those of ClientRegistration
pub struct RegistrationChanges {
    pub token_endpoint_auth_method: Option<Option<AuthMethod>>,
    pub jwks: Option<Option<Json>>,
    pub id_token_signed_response_alg: Option<SigningAlgorithm>,
    pub backchannel_logout_uri: Option<Option<String>>,
    pub backchannel_logout_session_required: Option<bool>,
    pub dpop_bound_access_tokens: Option<bool>,
    pub require_pushed_authorization_requests: Option<bool>,
    pub is_third_party: Option<bool>,
    pub scopes: Option<Vec<ServiceScope>>,
    pub resources: Option<Vec<String>>,
}

impl RegistrationChanges {
    /// `old` with the changes.
    #[must_use]
    pub fn applied_to(&self, old: &ClientRegistration) -> ClientRegistration {
        let mut new = old.clone();
        put(&mut new.token_endpoint_auth_method, self.token_endpoint_auth_method.as_ref());
        put(&mut new.jwks, self.jwks.as_ref());
        put(&mut new.id_token_signed_response_alg, self.id_token_signed_response_alg.as_ref());
        put(&mut new.backchannel_logout_uri, self.backchannel_logout_uri.as_ref());
        put(&mut new.backchannel_logout_session_required, self.backchannel_logout_session_required.as_ref());
        put(&mut new.dpop_bound_access_tokens, self.dpop_bound_access_tokens.as_ref());
        put(
            &mut new.require_pushed_authorization_requests,
            self.require_pushed_authorization_requests.as_ref(),
        );
        put(&mut new.is_third_party, self.is_third_party.as_ref());
        put(&mut new.scopes, self.scopes.as_ref());
        put(&mut new.resources, self.resources.as_ref());
        new
    }
}

fn put<T: Clone>(member: &mut T, new: Option<&T>) {
    if let Some(new) = new {
        member.clone_from(new);
    }
}
