//! Fuzz targets of what only this folder sees: see `crate::fuzzing`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a property that does not hold must fail")]

use gatehouse_actors::data::client_registration::AuthMethod;
use url::Url;

use super::rules::{new_plan, new_service, service_changes};
use crate::crypto::client_keys::accept;
use crate::http::fields::Fields;
use crate::http::redirect::is_acceptable;
use crate::http::{scope, slug};

const OWN: &str = "https://id.test";

/// The body that makes or changes a service or a plan.
pub(crate) fn service(data: &[u8]) {
    let fields = || Fields::from_json(data);
    if let Ok(fields) = fields() {
        let _ = service_changes(fields, OWN);
    }
    if let Ok(fields) = fields() {
        let _ = new_plan(fields);
    }
    let Ok(made) = fields().and_then(|fields| new_service(fields, OWN)) else { return };
    assert_eq!(slug::problem(&made.slug), None);
    let settings = made.settings;
    assert!(!settings.name.trim().is_empty());
    for uri in settings.redirect_uris.iter().chain(&settings.post_logout_redirect_uris) {
        assert!(is_acceptable(uri));
    }
    for list in [&settings.github_scopes, &settings.google_scopes, &settings.microsoft_scopes] {
        assert!(list.iter().all(|scope| !scope.contains([' ', '"', '\\']) && scope.is_ascii()));
    }
    let registration = settings.registration;
    for uri in registration.backchannel_logout_uri.iter().chain(&settings.device_activation_uri) {
        assert!(matches!(Url::parse(uri).unwrap().scheme(), "https" | "http"));
    }
    assert!(
        registration
            .resources
            .iter()
            .all(|uri| Url::parse(uri).unwrap().origin() != Url::parse(OWN).unwrap().origin())
    );
    assert!(registration.scopes.iter().all(|own| !scope::SUPPORTED.contains(&own.name.as_str())));
    if let Some(keys) = &registration.jwks {
        assert_eq!(accept(keys).as_ref(), Ok(keys));
    } else {
        assert_ne!(registration.token_endpoint_auth_method, Some(AuthMethod::PrivateKeyJwt));
    }
}
