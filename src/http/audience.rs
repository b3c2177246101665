//! Whom a token is for: its `aud`, and the `resource` parameter that asks for one (RFC 8707).

use gatehouse_actors::data::services::Service;
use gatehouse_actors::data::token_binding::TokenBinding;

use super::input::Params;
use crate::error::Error;

/// RFC 8707, section 2.
#[must_use]
pub fn invalid_target() -> Error {
    let message = "The resource is not one that this service registered and asked for.";
    Error::bad_request(message).oauth("invalid_target")
}

/// The resources that a request asks for, each once, all of them registered by the service.
pub fn requested(params: &Params, service: &Service) -> Result<Vec<String>, Error> {
    let mut resources: Vec<String> = Vec::new();
    for resource in params.get_all("resource") {
        // RFC 8707, section 2.
        if !service.registration.resources.iter().any(|known| known == resource) {
            return Err(invalid_target());
        }
        if !resources.iter().any(|known| known == resource) {
            resources.push(resource.to_owned());
        }
    }
    Ok(resources)
}

/// What a token is for, of what was asked for now and what the sign-in allows. Without a word now it is for all of that.
pub fn within(binding: &TokenBinding, asked: Vec<String>) -> Result<Vec<String>, Error> {
    if !binding.admits_resources(&asked) {
        return Err(invalid_target());
    }
    Ok(if asked.is_empty() { binding.resources.clone() } else { asked })
}
