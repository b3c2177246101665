//! Finds the endpoints of an issuer (RFC 8414).

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::cli::http::{Http, HttpError};
use crate::config::is_confidential;

/// What a sign-in from a device needs to know about the authorization server.
#[derive(Debug, Deserialize)]
pub(super) struct Server {
    pub(super) issuer: String,
    pub(super) device_authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) jwks_uri: Url,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum DiscoveryError {
    #[error("the issuer must be an https address (http for this machine only) without query and fragment")]
    Issuer,
    #[error("cannot reach {0}: {1}")]
    Unreachable(Url, HttpError),
    #[error("{0} answered with status {1}: is this the address of the service?")]
    Status(Url, u16),
    #[error("{0} does not describe a server that devices can sign in to")]
    Metadata(Url),
    #[error("the server says that its issuer is {0}: sign in with that address")]
    OtherIssuer(String),
    #[error("the server names an endpoint that is not encrypted")]
    Unencrypted,
}

pub(super) async fn find(http: &Http, issuer: &str) -> Result<Server, DiscoveryError> {
    // People add the slash; the issuers of this product have none.
    let issuer = issuer.trim_end_matches('/');
    let url = metadata_url(issuer)?;
    let answer = http.get(&url).await.map_err(|error| DiscoveryError::Unreachable(url.clone(), error))?;
    if answer.status != 200 {
        return Err(DiscoveryError::Status(url, answer.status));
    }
    let server = answer.object().and_then(|object| Server::deserialize(Value::Object(object)).ok());
    let server = server.ok_or(DiscoveryError::Metadata(url))?;
    check(&server, issuer)?;
    Ok(server)
}

/// RFC 8414, section 3.1: the well-known part stands between the host and the path of the issuer.
fn metadata_url(issuer: &str) -> Result<Url, DiscoveryError> {
    let mut url = Url::parse(issuer).map_err(|_| DiscoveryError::Issuer)?;
    // RFC 8414, section 2: an issuer has no query and no fragment.
    if !is_confidential(&url) || url.query().is_some() || url.fragment().is_some() {
        return Err(DiscoveryError::Issuer);
    }
    let path = format!("/.well-known/oauth-authorization-server{}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

fn check(server: &Server, issuer: &str) -> Result<(), DiscoveryError> {
    // RFC 8414, section 3.3: identical, or the document is not to be used. Otherwise one server could pose as another.
    if server.issuer != issuer {
        return Err(DiscoveryError::OtherIssuer(server.issuer.clone()));
    }
    let endpoints = [&server.device_authorization_endpoint, &server.token_endpoint, &server.jwks_uri];
    if endpoints.into_iter().all(is_confidential) { Ok(()) } else { Err(DiscoveryError::Unencrypted) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_looked_for_where_the_rfc_says() {
        let at = |issuer| metadata_url(issuer).map(|url| url.to_string()).ok();
        let well_known = "/.well-known/oauth-authorization-server";
        assert_eq!(at("https://a.test").unwrap(), format!("https://a.test{well_known}"));
        assert_eq!(at("https://a.test/tenant").unwrap(), format!("https://a.test{well_known}/tenant"));
        assert_eq!(at("http://127.0.0.1:3000").unwrap(), format!("http://127.0.0.1:3000{well_known}"));
        for bad in ["http://a.test", "a.test", "https://a.test?x", "https://a.test#x", "file:///a"] {
            assert!(at(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_document_of_another_issuer_or_with_open_endpoints_is_refused() {
        let server = |issuer: &str, token: &str| Server {
            issuer: issuer.to_owned(),
            device_authorization_endpoint: "https://a.test/device".parse().unwrap(),
            token_endpoint: token.parse().unwrap(),
            jwks_uri: "https://a.test/keys".parse().unwrap(),
        };
        assert!(check(&server("https://a.test", "https://a.test/token"), "https://a.test").is_ok());
        for issuer in ["https://b.test", "https://a.test/", "https://A.test"] {
            let checked = check(&server(issuer, "https://a.test/token"), "https://a.test");
            assert!(matches!(checked, Err(DiscoveryError::OtherIssuer(_))), "{issuer}");
        }
        let checked = check(&server("https://a.test", "http://a.test/token"), "https://a.test");
        assert!(matches!(checked, Err(DiscoveryError::Unencrypted)));
    }
}
