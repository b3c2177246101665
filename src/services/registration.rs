//! What a service may register as an OAuth client: names and meanings of RFC 7591, section 2, and its relatives.

use gatehouse_actors::data::client_registration::{
    AuthMethod, ClientRegistration, RegistrationChanges, ServiceScope, SigningAlgorithm,
};
use serde_json::Value;

use super::rules::{is_scope, is_web_address};
use crate::crypto::client_keys;
use crate::http::fields::Fields;
use crate::http::scope;

const LONGEST_URI: usize = 1024;
const LONGEST_DESCRIPTION: usize = 200;
const MOST_SCOPES: usize = 50;

const AUTH_METHOD: &str = "token_endpoint_auth_method";
const ALGORITHM: &str = "id_token_signed_response_alg";
const LOGOUT_URI: &str = "backchannel_logout_uri";
/// Members that are true or false; null is false.
const SWITCHES: [&str; 4] = [
    "backchannel_logout_session_required",
    "dpop_bound_access_tokens",
    "require_pushed_authorization_requests",
    "is_third_party",
];

/// The registration of a new service.
pub(super) fn new(fields: &mut Fields, base_url: &str) -> ClientRegistration {
    let registration = changes(fields, base_url).applied_to(&ClientRegistration::default());
    let needs_keys = registration.token_endpoint_auth_method == Some(AuthMethod::PrivateKeyJwt);
    if needs_keys && registration.jwks.is_none() && !fields.has("jwks") {
        fields.reject("jwks", KEYS_NEEDED);
    }
    registration
}

/// Said of a service that authenticates with keys and registers none.
pub(super) const KEYS_NEEDED: &str = "is needed for private_key_jwt";

/// Partial; null clears.
pub(super) fn changes(fields: &mut Fields, base_url: &str) -> RegistrationChanges {
    if fields.has("jwks_uri") {
        fields.reject("jwks_uri", "is not supported: send the keys themselves as jwks");
    }
    let [session_required, dpop_bound, pushed, third_party] =
        SWITCHES.map(|name| if fields.is_null(name) { Some(false) } else { fields.boolean(name) });
    RegistrationChanges {
        token_endpoint_auth_method: fields.has(AUTH_METHOD).then(|| auth_method(fields)),
        jwks: fields.has("jwks").then(|| keys(fields)),
        id_token_signed_response_alg: fields.has(ALGORITHM).then(|| algorithm(fields)),
        backchannel_logout_uri: fields.has(LOGOUT_URI).then(|| logout_uri(fields)),
        backchannel_logout_session_required: session_required,
        dpop_bound_access_tokens: dpop_bound,
        require_pushed_authorization_requests: pushed,
        is_third_party: third_party,
        scopes: fields.has("scopes").then(|| scopes(fields)),
        resources: fields.has("resources").then(|| resources(fields, base_url)),
    }
}

fn auth_method(fields: &mut Fields) -> Option<AuthMethod> {
    let name = fields.text(AUTH_METHOD, 50)?;
    let method = AuthMethod::parse(&name);
    if method.is_none() {
        let names = AuthMethod::ALL.map(AuthMethod::as_str).join(", ");
        fields.reject(AUTH_METHOD, &format!("must be one of {names}"));
    }
    method
}

fn algorithm(fields: &mut Fields) -> SigningAlgorithm {
    let Some(name) = fields.text(ALGORITHM, 50) else { return SigningAlgorithm::default() };
    SigningAlgorithm::parse(&name).unwrap_or_else(|| {
        let names = SigningAlgorithm::ALL.map(SigningAlgorithm::as_str).join(", ");
        fields.reject(ALGORITHM, &format!("must be one of {names}"));
        SigningAlgorithm::default()
    })
}

fn keys(fields: &mut Fields) -> Option<Value> {
    let set = fields.value("jwks").filter(|value| !value.is_null())?.clone();
    match client_keys::accept(&set) {
        Ok(kept) => Some(kept),
        Err(problem) => {
            fields.reject("jwks", &problem);
            None
        }
    }
}

fn logout_uri(fields: &mut Fields) -> Option<String> {
    let uri = fields.text(LOGOUT_URI, LONGEST_URI)?;
    if !is_web_address(&uri) {
        fields.reject(LOGOUT_URI, "must be an https address, or http on loopback, without a fragment");
    }
    Some(uri)
}

fn scopes(fields: &mut Fields) -> Vec<ServiceScope> {
    match fields.value("scopes") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(list)) if list.len() <= MOST_SCOPES => {
            let read: Option<Vec<ServiceScope>> = list.iter().map(service_scope).collect();
            let unique = |read: &Vec<ServiceScope>| {
                read.iter()
                    .enumerate()
                    .all(|(at, one)| !read.iter().take(at).any(|other| other.name == one.name))
            };
            if let Some(read) = read.filter(unique) {
                return read;
            }
        }
        Some(_) => {}
    }
    let standard = scope::SUPPORTED.join(", ");
    fields.reject(
        "scopes",
        &format!(
            "must be a list of at most {MOST_SCOPES} objects with a name and a description; a name is one word, given \
             once, and none of {standard}"
        ),
    );
    Vec::new()
}

fn service_scope(value: &Value) -> Option<ServiceScope> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let (name, description) = (text("name")?, text("description")?.trim());
    let named = is_scope(name) && !scope::SUPPORTED.contains(&name);
    let described = Fields::is_readable_text(description, LONGEST_DESCRIPTION);
    (named && described).then(|| ServiceScope { name: name.to_owned(), description: description.to_owned() })
}

fn resources(fields: &mut Fields, base_url: &str) -> Vec<String> {
    let mut resources = fields.texts("resources").unwrap_or_default();
    let bad: Vec<&String> = resources.iter().filter(|uri| !is_resource(uri, base_url)).collect();
    if !bad.is_empty() {
        let rule = "must hold absolute URIs without a fragment, and none of this server's own";
        fields.reject("resources", rule);
    }
    let mut seen = std::collections::BTreeSet::new();
    resources.retain(|uri| seen.insert(uri.clone()));
    resources
}

/// RFC 8707, section 2. Never an audience of this server's own: its API would take the token for one of its own.
fn is_resource(uri: &str, base_url: &str) -> bool {
    let Ok(url) = url::Url::parse(uri) else { return false };
    let printable =
        uri.bytes().all(|byte| (0x21..0x7f).contains(&byte)) && !uri.contains(['#', '\\', '"', '*']);
    let clean = url.username().is_empty() && url.password().is_none();
    let own = url::Url::parse(base_url).is_ok_and(|base| base.has_host() && base.origin() == url.origin());
    let scheme = matches!(url.scheme(), "https" | "http" | "urn");
    printable && clean && scheme && !own && uri.len() <= LONGEST_URI
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const BASE: &str = "https://id.test";

    fn read(body: &Value) -> Result<ClientRegistration, Vec<&'static str>> {
        let mut fields = Fields::from_json(body.to_string().as_bytes()).unwrap();
        let registration = new(&mut fields, BASE);
        fields.finish().map(|()| registration).map_err(|error| error.fields)
    }

    #[test]
    fn nothing_registered_is_an_ordinary_client() {
        assert_eq!(read(&json!({})).unwrap(), ClientRegistration::default());
        let nulls = json!({
            "token_endpoint_auth_method": null, "jwks": null, "id_token_signed_response_alg": null,
            "backchannel_logout_uri": null, "is_third_party": null, "scopes": null, "resources": null,
        });
        assert_eq!(read(&nulls).unwrap(), ClientRegistration::default());
    }

    #[test]
    fn every_member_is_read() {
        let registration = read(&json!({
            "token_endpoint_auth_method": "client_secret_post",
            "id_token_signed_response_alg": "EdDSA",
            "backchannel_logout_uri": "https://app.test/logout",
            "backchannel_logout_session_required": true,
            "dpop_bound_access_tokens": true,
            "require_pushed_authorization_requests": true,
            "is_third_party": true,
            "scopes": [{ "name": "files:read", "description": "Read your files" }],
            "resources": ["https://api.test/", "urn:example:api", "https://api.test/"],
        }))
        .unwrap();
        assert_eq!(registration.token_endpoint_auth_method, Some(AuthMethod::ClientSecretPost));
        assert_eq!(registration.id_token_signed_response_alg, SigningAlgorithm::EdDsa);
        assert_eq!(registration.scopes[0].name, "files:read");
        assert_eq!(registration.resources, ["https://api.test/", "urn:example:api"]);
        assert!(registration.backchannel_logout_session_required && registration.dpop_bound_access_tokens);
        assert!(registration.require_pushed_authorization_requests && registration.is_third_party);
    }

    #[test]
    fn what_would_not_work_is_named() {
        let scopes = |name: &str| json!({ "scopes": [{ "name": name, "description": "x" }] });
        for (body, named) in [
            (json!({ "token_endpoint_auth_method": "tls_client_auth" }), "token_endpoint_auth_method"),
            (json!({ "token_endpoint_auth_method": "private_key_jwt" }), "jwks"),
            (json!({ "id_token_signed_response_alg": "none" }), "id_token_signed_response_alg"),
            (json!({ "id_token_signed_response_alg": "HS256" }), "id_token_signed_response_alg"),
            (json!({ "backchannel_logout_uri": "http://app.test/" }), "backchannel_logout_uri"),
            (json!({ "backchannel_logout_uri": "https://app.test/#x" }), "backchannel_logout_uri"),
            (json!({ "is_third_party": "yes" }), "is_third_party"),
            (json!({ "jwks_uri": "https://app.test/keys" }), "jwks_uri"),
            (json!({ "jwks": { "keys": [{ "kty": "oct", "k": "AA" }] } }), "jwks"),
            (json!({ "scopes": ["files:read"] }), "scopes"),
            (json!({ "scopes": [{ "name": "a" }] }), "scopes"),
            (scopes("openid"), "scopes"),
            (scopes("offline_access"), "scopes"),
            (scopes("two words"), "scopes"),
            (scopes("quo\"te"), "scopes"),
            (scopes(""), "scopes"),
            (json!({ "scopes": vec![json!({ "name": "a", "description": "x" }); 2] }), "scopes"),
            (json!({ "resources": ["/relative"] }), "resources"),
            (json!({ "resources": ["https://api.test/#part"] }), "resources"),
            (json!({ "resources": ["https://user@api.test/"] }), "resources"),
            (json!({ "resources": ["https://id.test/api"] }), "resources"),
            (json!({ "resources": ["https://ID.test:443/api"] }), "resources"),
            (json!({ "resources": ["api"] }), "resources"),
        ] {
            assert_eq!(read(&body).unwrap_err(), [named], "{body}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_scopes_and_resources_are_no_panic(name in ".{0,20}", uri in ".{0,40}") {
            let body = json!({ "scopes": [{ "name": name, "description": "x" }], "resources": [uri] });
            if let Ok(registration) = read(&body) {
                prop_assert!(!registration.scopes[0].name.contains(' '));
                prop_assert!(!registration.resources[0].contains('#'));
            }
        }
    }
}
