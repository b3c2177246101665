//! What our tokens say.

use serde::{Deserialize, Serialize};

/// `aud` (RFC 7519, section 4.1.3): one audience as a text, several as a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Audience {
    /// For these resources; without any, for `client`.
    #[must_use]
    pub fn of(resources: &[String], client: String) -> Self {
        match resources {
            [] => Self::One(client),
            [one] => Self::One(one.clone()),
            many => Self::Many(many.to_vec()),
        }
    }
}

/// A token for this and nothing else.
impl PartialEq<Audience> for String {
    fn eq(&self, audience: &Audience) -> bool {
        matches!(audience, Audience::One(one) if one == self)
    }
}

/// RFC 9068 access token claims with the product's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Issuer: `BASE_URL`.
    pub iss: String,
    /// The user's public id.
    pub sub: String,
    /// The service's client id, the resources that were asked for, or the management API.
    pub aud: Audience,
    /// Expiry, in seconds since the Unix epoch.
    pub exp: i64,
    /// Issue time, in seconds since the Unix epoch.
    pub iat: i64,
    /// Not before, in seconds since the Unix epoch. Never issued, but honoured (RFC 7519, section 4.1.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Unique id of this token.
    pub jti: String,
    /// The session's public id.
    pub sid: String,
    /// The client that the token was issued to.
    pub client_id: String,
    /// Granted scope, space-separated.
    pub scope: String,
    /// Always `access`.
    pub token_use: String,
    /// When the user signed in at the provider, in seconds since the Unix epoch.
    pub auth_time: i64,
    /// Verified address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether the user owns the platform. Informs; rights are read from the database.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_platform_owner: bool,
    /// The organization's slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// The service's slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The plan's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The plan's features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
    /// The key that the holder has to prove to have (RFC 9449, section 6.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// Seats, when the plan was bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seats: Option<i64>,
    /// Until when the subscription is paid, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_period_end: Option<i64>,
    /// When `plan` and `features` end by themselves, in seconds since the Unix epoch: past it the holder has the
    /// service's default plan, whether or not this token still lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entitlements_exp: Option<i64>,
    /// Grows with every change of what the user bought: a smaller one than `/api/subscription` shows is out of date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entitlements_version: Option<i64>,
}

/// RFC 7800, section 3.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The thumbprint of the key (RFC 9449, section 6.1).
    pub jkt: String,
}

/// The claims of a service that acts for itself: no user and no session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientClaims {
    /// Issuer: `BASE_URL`.
    pub iss: String,
    /// The client itself.
    pub sub: String,
    /// The resources that were asked for, or the client itself.
    pub aud: Audience,
    /// Expiry, in seconds since the Unix epoch.
    pub exp: i64,
    /// Issue time, in seconds since the Unix epoch.
    pub iat: i64,
    /// Unique id of this token.
    pub jti: String,
    /// The client.
    pub client_id: String,
    /// Granted scope, space-separated.
    pub scope: String,
    /// Always `access`.
    pub token_use: String,
    /// The organization's slug.
    pub org: String,
    /// The service's slug.
    pub service: String,
    /// The credential that the token was issued under. It dies with it.
    pub client_credential: String,
    /// The key that the holder has to prove to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
}

/// What an `id_token` of ours says, as far as it is read back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct IdClaims {
    /// Issuer: `BASE_URL`.
    pub iss: String,
    /// The user's public id.
    pub sub: String,
    /// The client that it was made for.
    pub aud: String,
    /// The session's public id.
    pub sid: String,
}
