//! What an app asks for when it sends somebody here to sign out.

use gatehouse_actors::data::services::{Service, ServiceByClientId};

use crate::crypto::jwt::IdClaims;
use crate::error::Error;
use crate::http::input::Params;
use crate::http::redirect::with_params;
use crate::state::App;

/// The longest `state` that is sent back.
const STATE_LENGTH: usize = 2048;

/// The request, checked: whatever is in it can be trusted.
pub(super) struct Wish {
    /// Who is to be signed out, as an `id_token` of ours says.
    pub(super) hint: Option<IdClaims>,
    /// The app that asks, as long as it is registered.
    pub(super) client: Option<Service>,
    /// Where the app wants the person back: a registered address, with the app's state.
    pub(super) destination: Option<String>,
}

impl Wish {
    pub(super) async fn read(app: &App, params: &Params) -> Result<Self, Error> {
        let hint = params.get("id_token_hint").map(|token| hint(app, token)).transpose()?;
        let named = params.get("client_id");
        // RP-Initiated Logout 1.0, section 2: the client must be the one that the hint was made for.
        if let (Some(hint), Some(named)) = (&hint, named)
            && hint.aud != named
        {
            return Err(Error::bad_request("The id_token_hint was made for another client."));
        }
        let client_id = named.map(ToOwned::to_owned).or_else(|| hint.as_ref().map(|hint| hint.aud.clone()));
        let client = match client_id {
            Some(client_id) => app.store.read(ServiceByClientId { client_id }).await?,
            None => None,
        };
        if named.is_some() && client.is_none() {
            return Err(Error::bad_request("The client_id is not known."));
        }
        let destination = destination(client.as_ref(), params)?;
        Ok(Self { hint, client, destination })
    }
}

/// Section 4: a hint is good also after it expired. It names somebody; it opens nothing.
fn hint(app: &App, token: &str) -> Result<IdClaims, Error> {
    app.signing_keys
        .verify_id_token(&app.base_url, token)
        .map_err(|_| Error::bad_request("The id_token_hint was not issued here."))
}

/// Section 3: only to an address that was registered, character for character; never anywhere else.
fn destination(client: Option<&Service>, params: &Params) -> Result<Option<String>, Error> {
    let Some(uri) = params.get("post_logout_redirect_uri") else { return Ok(None) };
    let registered =
        client.is_some_and(|client| client.post_logout_redirect_uris.iter().any(|one| one == uri));
    if !registered {
        let message = "The post_logout_redirect_uri is not registered for this client. Send client_id or \
                       id_token_hint with it.";
        return Err(Error::bad_request(message));
    }
    match params.get("state") {
        Some(state) if state.len() > STATE_LENGTH => Err(Error::bad_request("The state is too long.")),
        Some(state) => Ok(Some(with_params(uri, &[("state", state)]))),
        None => Ok(Some(uri.to_owned())),
    }
}
