//! Through which client people sign in at a provider: their organization's own, or else the platform's.
//!
//! No connection answers for another organization: an own client is found by the organization that the sign-in is for,
//! it has a redirect URI of its own, and its secret opens in its own row only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::HttpRequest;
use gatehouse_actors::data::PLATFORM_ORG_ID;
use gatehouse_actors::data::oauth_credentials::{
    OauthCredential, OauthCredentialOf, OauthCredentialsOf, OwnOauthCredential,
};

use crate::config::provider::{ProviderEndpoints, ProviderKind, ProviderSettings};
use crate::config::secret::Secret;
use crate::error::{Code, Error};
use crate::state::App;
use crate::upstream::{GuardedClient, HttpClient, Provider};

/// Own clients kept ready. Beyond this all are forgotten and made again when they are next used.
const MOST_KEPT: usize = 1024;

/// A client at a provider, ready for use.
pub struct Connection {
    /// The provider.
    pub provider: Arc<Provider>,
    /// Which version of the organization's own client this is; none for the platform's.
    pub credential_version: Option<String>,
}

/// Own clients of organizations with what was discovered about their providers, the newest version of each.
#[derive(Default)]
pub struct OwnClients(Mutex<HashMap<Place, (String, Arc<Provider>)>>);

/// The organization's row id, and where it has a client.
type Place = (i64, ProviderKind);

impl OwnClients {
    fn known(&self, place: Place, version_id: &str) -> Option<Arc<Provider>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&place)
            .filter(|(version, _)| version == version_id)
            .map(|(_, provider)| Arc::clone(provider))
    }

    fn keep(&self, place: Place, version_id: &str, provider: &Arc<Provider>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(place, (version_id.to_owned(), Arc::clone(provider)));
    }
}

/// The client through which users of a realm sign in at the provider that a path names.
pub async fn find(app: &App, org_id: i64, name: &str) -> Result<Connection, Error> {
    let unavailable = || Error::new(Code::NotFound, "This sign-in provider is not available here.");
    let kind = name.parse::<ProviderKind>().map_err(|_| unavailable())?;
    let own = if org_id == PLATFORM_ORG_ID {
        None
    } else {
        let question = OauthCredentialOf { org_id, provider: kind.as_str().to_owned() };
        app.store.recall(OwnOauthCredential(question)).await?
    };
    match own.as_deref().and_then(Option::as_ref) {
        Some(credential) if credential.is_live() => Ok(Connection {
            provider: open(app, kind, credential)?,
            credential_version: Some(credential.version_id.clone()),
        }),
        // Taken away: nobody else's client stands in for it.
        Some(_) => Err(unavailable()),
        None => {
            let provider = app.providers_of(org_id).get(&kind).cloned().ok_or_else(unavailable)?;
            Ok(Connection { provider, credential_version: None })
        }
    }
}

/// The providers that users of a realm can choose from, in the order in which pages offer them.
pub async fn kinds(app: &App, org_id: i64) -> Result<Vec<ProviderKind>, Error> {
    let defaults = app.providers_of(org_id);
    if org_id == PLATFORM_ORG_ID {
        return Ok(defaults.keys().copied().collect());
    }
    let own = app.store.read(OauthCredentialsOf { org_id }).await?;
    let is_offered = |kind: &ProviderKind| match own.iter().find(|one| one.provider == kind.as_str()) {
        Some(credential) => credential.is_live(),
        None => defaults.contains_key(kind),
    };
    Ok(ProviderKind::ALL.into_iter().filter(is_offered).collect())
}

/// Our callback at a provider: one per realm, and one for each organization's own client, so that no sign-in of one
/// ever ends in another (RFC 9700, section 4.4). `own` is the organization's slug.
#[must_use]
pub fn callback_uri(app: &App, is_platform: bool, provider: &str, own: Option<&str>) -> String {
    let realm = if is_platform { "admin/" } else { "" };
    let organization = own.map(|slug| format!("/{slug}")).unwrap_or_default();
    format!("{}/auth/{realm}{provider}/callback{organization}", app.base_url)
}

/// The worker's HTTP client for a provider: the guarded one wherever a tenant chose the address.
pub fn http_client<'a>(request: &'a HttpRequest, provider: &Provider) -> Result<&'a HttpClient, Error> {
    let client = if provider.is_tenant_chosen() {
        guarded_client(request).ok().map(GuardedClient::as_http)
    } else {
        request.app_data::<HttpClient>()
    };
    client.ok_or_else(|| Error::internal("no http client"))
}

/// The worker's HTTP client for addresses that tenants choose.
pub fn guarded_client(request: &HttpRequest) -> Result<&GuardedClient, Error> {
    request.app_data::<GuardedClient>().ok_or_else(|| Error::internal("no guarded http client"))
}

/// The settings of an organization's own client; none when the provider needs an issuer and has none.
#[must_use]
pub fn own_settings(
    app: &App,
    kind: ProviderKind,
    issuer: Option<&str>,
    (client_id, client_secret): (&str, Secret<String>),
) -> Option<ProviderSettings> {
    let endpoints = match (kind, issuer) {
        (ProviderKind::Oidc, Some(issuer)) => ProviderEndpoints::OpenId { issuer: issuer.to_owned() },
        (ProviderKind::GitHub | ProviderKind::Google | ProviderKind::Microsoft, None) => {
            app.config.provider_endpoints.get(&kind)?.clone()
        }
        _ => return None,
    };
    Some(ProviderSettings { kind, endpoints, client_id: client_id.to_owned(), client_secret })
}

/// A provider that uses an organization's own client. Only the issuer of `oidc` is a tenant's choice: the others live
/// where the operator says.
#[must_use]
pub fn own_provider(settings: ProviderSettings) -> Provider {
    match settings.kind {
        ProviderKind::Oidc => Provider::chosen_by_tenant(settings),
        _ => Provider::new(settings),
    }
}

/// The row that a client secret belongs to. It opens nowhere else: not in another organization's row, not in an older
/// version's, and not beside an issuer that somebody put there to have the secret sent to himself.
pub struct SecretPlace<'a> {
    /// Row id of the organization.
    pub org_id: i64,
    /// The provider.
    pub provider: ProviderKind,
    /// UUID of the version.
    pub version_id: &'a str,
    /// The client id beside it.
    pub client_id: &'a str,
    /// The issuer that it is sent to.
    pub issuer: Option<&'a str>,
}

impl SecretPlace<'_> {
    /// The associated data of the ciphertext, in a form that no two places share.
    #[must_use]
    pub fn context(&self) -> String {
        let Self { org_id, provider, version_id, client_id, issuer } = self;
        let place = serde_json::json!([org_id, provider.as_str(), version_id, client_id, issuer]);
        format!("oauth credential {place}")
    }
}

/// Seals a client secret for its row.
pub fn seal_secret(app: &App, place: &SecretPlace<'_>, secret: &Secret<String>) -> Result<Vec<u8>, Error> {
    let sealed = app.keys.stored_secrets.seal(&app.random, &place.context(), secret.expose().as_bytes());
    sealed.ok_or_else(|| Error::internal("the client secret could not be sealed"))
}

/// Opens the client secret of a row; none when it was sealed for another row or with a key that is not there.
#[must_use]
pub fn open_secret(app: &App, credential: &OauthCredential) -> Option<Secret<String>> {
    let place = SecretPlace {
        org_id: credential.org_id,
        provider: credential.provider.parse().ok()?,
        version_id: &credential.version_id,
        client_id: &credential.client_id,
        issuer: credential.issuer.as_deref(),
    };
    app.keys.stored_secrets.open_text(&place.context(), &credential.client_secret_sealed)
}

fn open(app: &App, kind: ProviderKind, credential: &OauthCredential) -> Result<Arc<Provider>, Error> {
    let place = (credential.org_id, kind);
    if let Some(known) = app.own_clients.known(place, &credential.version_id) {
        return Ok(known);
    }
    let secret = open_secret(app, credential).ok_or_else(unreadable)?;
    let client = (credential.client_id.as_str(), secret);
    let settings = own_settings(app, kind, credential.issuer.as_deref(), client).ok_or_else(unreadable)?;
    let provider = Arc::new(own_provider(settings));
    app.own_clients.keep(place, &credential.version_id, &provider);
    Ok(provider)
}

fn unreadable() -> Error {
    let message = "The organization's credentials for this provider cannot be read. \
                   An administrator of the organization has to save them again.";
    let internal = "an oauth credential does not open: another ENCRYPTION_KEY, or a row that was changed";
    Error { internal: Some(internal.to_owned()), ..Error::new(Code::OAuthError, message) }
}
