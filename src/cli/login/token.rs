//! Checks what was issued against the server's published keys.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::discovery::Server;
use crate::cli::http::{Http, HttpError};

/// Asymmetric signatures only: a key that everybody can read must not make a valid HMAC.
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::RS256, Algorithm::PS256];

/// What the tokens say, once proven.
pub(super) struct Claims {
    pub(super) access: Map<String, Value>,
    /// The person's name, if the id token has one.
    pub(super) name: Option<String>,
}

/// Why a token is not believed. Never holds anything of the token.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error("cannot get the server's keys: {0}")]
    Keys(#[from] HttpError),
    #[error("the server's key document is unusable (status {0})")]
    KeyDocument(u16),
    #[error("the answer has no access token")]
    Missing,
    #[error("it is signed with a key that the server does not publish")]
    UnknownKey,
    #[error("{0}")]
    Invalid(#[from] jsonwebtoken::errors::Error),
    #[error("it was issued to another client")]
    OtherClient,
    #[error("the id token speaks of another person")]
    OtherPerson,
}

pub(super) async fn verify(
    http: &Http,
    server: &Server,
    client_id: &str,
    tokens: &Map<String, Value>,
) -> Result<Claims, TokenError> {
    let access = tokens.get("access_token").and_then(Value::as_str).ok_or(TokenError::Missing)?;
    let keys = keys(http, server).await?;
    let access = access_claims(&keys, &server.issuer, client_id, access)?;
    let name = match tokens.get("id_token").and_then(Value::as_str) {
        Some(id_token) => {
            let claims = id_claims(&keys, &server.issuer, client_id, id_token)?;
            // OpenID Connect Core, section 3.1.3.7 binds both to one answer; the subject must be one as well.
            if claims.get("sub") != access.get("sub") {
                return Err(TokenError::OtherPerson);
            }
            claims.get("name").and_then(Value::as_str).map(ToOwned::to_owned)
        }
        None => None,
    };
    Ok(Claims { access, name })
}

async fn keys(http: &Http, server: &Server) -> Result<JwkSet, TokenError> {
    // Once more after a hiccup: the sign-in has happened, and would be lost with this request.
    let answer = match http.get(&server.jwks_uri).await {
        Ok(answer) => answer,
        Err(_) => http.get(&server.jwks_uri).await?,
    };
    let unusable = TokenError::KeyDocument(answer.status);
    let object = answer.object().filter(|_| answer.status == 200).ok_or(unusable)?;
    JwkSet::deserialize(Value::Object(object)).map_err(|_| TokenError::KeyDocument(answer.status))
}

/// RFC 9068, section 4, as far as it concerns a client: the audience is the resource server's to check.
fn access_claims(
    keys: &JwkSet,
    issuer: &str,
    client_id: &str,
    token: &str,
) -> Result<Map<String, Value>, TokenError> {
    let claims = signed_claims(keys, issuer, None, token)?;
    if claims.get("client_id").and_then(Value::as_str) != Some(client_id) {
        return Err(TokenError::OtherClient);
    }
    Ok(claims)
}

/// OpenID Connect Core, section 3.1.3.7.
fn id_claims(
    keys: &JwkSet,
    issuer: &str,
    client_id: &str,
    token: &str,
) -> Result<Map<String, Value>, TokenError> {
    signed_claims(keys, issuer, Some(client_id), token)
}

fn signed_claims(
    keys: &JwkSet,
    issuer: &str,
    audience: Option<&str>,
    token: &str,
) -> Result<Map<String, Value>, TokenError> {
    let header = decode_header(token)?;
    let key = header.kid.as_deref().and_then(|id| keys.find(id)).ok_or(TokenError::UnknownKey)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(TokenError::UnknownKey);
    }
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[issuer]);
    match audience {
        Some(audience) => validation.set_audience(&[audience]),
        None => validation.validate_aud = false,
    }
    validation.set_required_spec_claims(&["exp", "iss", "sub"]);
    Ok(decode(token, &DecodingKey::from_jwk(key)?, &validation)?.claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use serde_json::json;

    const ISSUER: &str = "https://a.test";

    struct Signer(EncodingKey);

    impl Signer {
        fn new() -> Self {
            let random = SystemRandom::new();
            let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
            Self(EncodingKey::from_ec_der(key.as_ref()))
        }

        fn keys(&self) -> JwkSet {
            let mut jwk = Jwk::from_encoding_key(&self.0, Algorithm::ES256).unwrap();
            jwk.common.key_id = Some("k".to_owned());
            JwkSet { keys: vec![jwk] }
        }

        fn token(&self, key_id: &str, change: &Value) -> String {
            let exp = get_current_timestamp() + 900;
            let mut claims = json!({"iss": ISSUER, "sub": "u", "aud": "api", "client_id": "c", "exp": exp});
            claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            let header = Header { kid: Some(key_id.to_owned()), ..Header::new(Algorithm::ES256) };
            encode(&header, &claims, &self.0).unwrap()
        }
    }

    #[test]
    fn only_a_token_of_this_server_for_this_client_is_believed() {
        let signer = Signer::new();
        let check = |token: &str| access_claims(&signer.keys(), ISSUER, "c", token);
        assert_eq!(check(&signer.token("k", &json!({}))).unwrap()["sub"], "u");
        for change in [
            json!({"iss": "https://b.test"}),
            json!({"iss": null}),
            json!({"client_id": "other"}),
            json!({"client_id": null}),
            json!({"exp": 1}),
            json!({"exp": null}),
            json!({"exp": "9999999999"}),
            json!({"sub": null}),
        ] {
            assert!(check(&signer.token("k", &change)).is_err(), "{change}");
        }
        assert!(check(&signer.token("another", &json!({}))).is_err());
        assert!(check(&Signer::new().token("k", &json!({}))).is_err());
        assert!(check("").is_err());
    }

    #[test]
    fn the_public_key_makes_no_hmac_and_no_signature_is_none() {
        let signer = Signer::new();
        let public = serde_json::to_vec(&signer.keys()).unwrap();
        let claims =
            json!({"iss": ISSUER, "sub": "u", "client_id": "c", "exp": get_current_timestamp() + 900});
        let header = Header { kid: Some("k".to_owned()), ..Header::new(Algorithm::HS256) };
        let forged = encode(&header, &claims, &EncodingKey::from_secret(&public)).unwrap();
        assert!(access_claims(&signer.keys(), ISSUER, "c", &forged).is_err());

        let unsigned = signer.token("k", &json!({}));
        let unsigned = unsigned.rsplit_once('.').unwrap().0;
        assert!(access_claims(&signer.keys(), ISSUER, "c", &format!("{unsigned}.")).is_err());
    }

    #[test]
    fn an_id_token_is_for_the_client_alone() {
        let signer = Signer::new();
        let check =
            |aud: &str| id_claims(&signer.keys(), ISSUER, "c", &signer.token("k", &json!({"aud": aud})));
        assert!(check("c").is_ok());
        assert!(check("other").is_err());
    }
}
