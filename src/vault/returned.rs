//! Tokens of a grant that is gone, on their way back to the provider.

use std::sync::Arc;

use gatehouse_actors::data::provider_revocations::Revocation;

use super::{Kind, Place, key_context, open};
use crate::crypto::sealed::Sealer;
use crate::error::{Code, Error};
use crate::http::connection;
use crate::state::App;
use crate::upstream::{Provider, Revocable};

/// The client that the tokens were given to, if it is still there: nobody else can give them back.
pub async fn client_of(app: &App, revocation: &Revocation) -> Result<Option<Arc<Provider>>, Error> {
    let Revocation { org_id, provider, credential_version, .. } = revocation;
    if credential_version.is_none() {
        // The platform's own, also when the organization has brought another one since.
        let kind = provider.parse().ok();
        return Ok(kind.and_then(|kind| app.providers_of(*org_id).get(&kind).cloned()));
    }
    match connection::find(app, *org_id, provider).await {
        Ok(found) => {
            let is_same = found.credential_version == *credential_version;
            Ok(is_same.then_some(found.provider))
        }
        Err(error) if error.code == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens what the grant left behind, with the copy of the data key that travels along.
#[must_use]
pub fn tokens_of(app: &App, revocation: &Revocation) -> Option<Revocable> {
    let opened = app.keys.stored_secrets.open(&key_context(revocation.org_id), &revocation.key_sealed)?;
    let key = Sealer::of(&opened)?;
    let Revocation { org_id, service_id, provider, issuer, subject, credential_version, .. } = revocation;
    let place = Place {
        org_id: *org_id,
        service_id: *service_id,
        provider,
        issuer,
        subject,
        credential_version: credential_version.as_deref(),
    };
    let refresh = revocation.refresh_token_sealed.as_deref();
    Some(Revocable {
        access_token: open(&key, &place.context(Kind::Access), &revocation.access_token_sealed)?,
        refresh_token: refresh.and_then(|sealed| open(&key, &place.context(Kind::Refresh), sealed)),
    })
}
