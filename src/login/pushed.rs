//! Where the parameters of an authorization request come from.

use std::borrow::Cow;

use gatehouse_actors::data::services::Service;

use crate::error::Error;
use crate::http::input::Params;
use crate::state::App;

/// The parameters that count. They are those that were sent: request objects and request URIs are refused by the names
/// that their standards give (OpenID Connect Core, section 3.1.2.6), and nothing is ever fetched.
#[allow(clippy::unused_async)] // what a client pushes beforehand (RFC 9126) is read from the store, here
pub(super) async fn effective<'p>(
    _app: &App,
    _service: &Service,
    sent: &'p Params,
) -> Result<Cow<'p, Params>, Error> {
    refuse_references(sent)?;
    Ok(Cow::Borrowed(sent))
}

/// Refuses parameters that would have to be fetched or unpacked first.
pub(super) fn refuse_references(sent: &Params) -> Result<(), Error> {
    if sent.get("request").is_some() {
        return Err(Error::bad_request("Request objects are not supported.").oauth("request_not_supported"));
    }
    if sent.get("request_uri").is_some() {
        return Err(Error::bad_request("Request URIs are not supported.").oauth("request_uri_not_supported"));
    }
    Ok(())
}
