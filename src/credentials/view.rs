//! Bodies of bring-your-own credentials. None of them ever holds the secret.

use gatehouse_actors::data::memberships::Organization;
use gatehouse_actors::data::oauth_credentials::OauthCredential;
use serde_json::{Value, json};

use crate::http::connection::{callback_uri, open_secret};
use crate::state::{App, rfc3339};

pub(super) fn credential(app: &App, credential: &OauthCredential, organization: &Organization) -> Value {
    json!({
        "id": credential.public_id,
        "org_id": organization.public_id,
        "provider": credential.provider,
        "client_id": credential.client_id,
        "has_secret": true,
        // False when the secret does not open, so that an administrator sees what a sign-in would run into.
        "is_readable": open_secret(app, credential).is_some(),
        "issuer": credential.issuer,
        // What has to be registered at the provider.
        "redirect_uri": callback_uri(app, false, &credential.provider, Some(&organization.slug)),
        "created_at": rfc3339(credential.created_at),
        "updated_at": rfc3339(credential.updated_at),
    })
}
