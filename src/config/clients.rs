//! The provider applications: which upstream clients are configured, for which realm, and where they live.

use std::collections::BTreeMap;

use url::Url;

use super::keys::{self, Key};
use super::network;
use super::problems::Wrong;
use super::provider::{ProviderEndpoints, ProviderKind, ProviderSettings};
use super::reader::Reader;
use super::secret::Secret;

pub(super) type Clients = BTreeMap<ProviderKind, ProviderSettings>;
pub(super) type Endpoints = BTreeMap<ProviderKind, ProviderEndpoints>;

/// The two settings that make a provider application.
type Pair = (ProviderKind, Key, Key);

const ORGANIZATIONS: [Pair; 4] = [
    (ProviderKind::GitHub, keys::GITHUB_CLIENT_ID, keys::GITHUB_CLIENT_SECRET),
    (ProviderKind::Google, keys::GOOGLE_CLIENT_ID, keys::GOOGLE_CLIENT_SECRET),
    (ProviderKind::Microsoft, keys::MICROSOFT_CLIENT_ID, keys::MICROSOFT_CLIENT_SECRET),
    (ProviderKind::Oidc, keys::OIDC_CLIENT_ID, keys::OIDC_CLIENT_SECRET),
];

const PLATFORM: [Pair; 4] = [
    (ProviderKind::GitHub, keys::PLATFORM_GITHUB_CLIENT_ID, keys::PLATFORM_GITHUB_CLIENT_SECRET),
    (ProviderKind::Google, keys::PLATFORM_GOOGLE_CLIENT_ID, keys::PLATFORM_GOOGLE_CLIENT_SECRET),
    (ProviderKind::Microsoft, keys::PLATFORM_MICROSOFT_CLIENT_ID, keys::PLATFORM_MICROSOFT_CLIENT_SECRET),
    (ProviderKind::Oidc, keys::PLATFORM_OIDC_CLIENT_ID, keys::PLATFORM_OIDC_CLIENT_SECRET),
];

const GITHUB: &str = "https://github.com";
const GITHUB_API: &str = "https://api.github.com";
const GOOGLE: &str = "https://accounts.google.com";
const MICROSOFT: &str = "https://login.microsoftonline.com/common/v2.0";

/// Reads the clients of organizations and those of the platform realm, in this order, and where providers live.
pub(super) fn read(reader: &mut Reader<'_>) -> (Clients, Clients, Endpoints) {
    let endpoints = endpoints(reader);
    let organizations = realm(reader, &ORGANIZATIONS, &endpoints);
    let platform = realm(reader, &PLATFORM, &endpoints);
    if reader.text(keys::OIDC_ISSUER).is_none()
        && (reader.is_set(keys::OIDC_CLIENT_ID) || reader.is_set(keys::PLATFORM_OIDC_CLIENT_ID))
    {
        let wrong = Wrong::new(
            "is missing, although an OIDC client is set",
            "set the issuer of your OpenID provider",
        );
        reader.wrong(keys::OIDC_ISSUER, wrong);
    }
    (organizations, platform, endpoints)
}

fn realm(reader: &mut Reader<'_>, pairs: &[Pair], endpoints: &Endpoints) -> Clients {
    let mut clients = Clients::new();
    for (kind, id_key, secret_key) in pairs {
        if let Some((client_id, client_secret)) = client(reader, *id_key, *secret_key)
            && let Some(endpoints) = endpoints.get(kind).cloned()
        {
            clients.insert(*kind, ProviderSettings { kind: *kind, endpoints, client_id, client_secret });
        }
    }
    clients
}

fn client(reader: &mut Reader<'_>, id_key: Key, secret_key: Key) -> Option<(String, Secret<String>)> {
    let has_secret = reader.is_set(secret_key);
    let secret = reader.secret(secret_key);
    match (reader.text(id_key), has_secret) {
        (Some(id), true) => Some((id, secret?)),
        (None, false) => None,
        (Some(_), false) => half(reader, secret_key, id_key),
        (None, true) => half(reader, id_key, secret_key),
    }
}

fn half<T>(reader: &mut Reader<'_>, missing: Key, present: Key) -> Option<T> {
    let what = format!("is missing, although {} is set", present.name);
    reader.wrong(missing, Wrong::new(what, "set both, or neither"));
    None
}

fn endpoints(reader: &mut Reader<'_>) -> Endpoints {
    let site = reader.parsed(keys::GITHUB_BASE_URL, network::base_of_urls);
    let api = reader.parsed(keys::GITHUB_API_URL, network::base_of_urls).or_else(|| match &site {
        // A GitHub Enterprise server has its API below its own host.
        Some(site) => Url::parse(&format!("{}/api/v3", network::without_trailing_slash(site))).ok(),
        None => Url::parse(GITHUB_API).ok(),
    });
    let site = site.or_else(|| Url::parse(GITHUB).ok());

    let mut endpoints = BTreeMap::new();
    if let (Some(base_url), Some(api_url)) = (site, api) {
        endpoints.insert(ProviderKind::GitHub, ProviderEndpoints::GitHub { base_url, api_url });
    }
    let issuers = [
        (ProviderKind::Google, keys::GOOGLE_ISSUER, Some(GOOGLE)),
        (ProviderKind::Microsoft, keys::MICROSOFT_AUTHORITY, Some(MICROSOFT)),
        (ProviderKind::Oidc, keys::OIDC_ISSUER, None),
    ];
    for (kind, key, default) in issuers {
        let issuer = reader.parsed(key, network::issuer).or_else(|| default.map(ToOwned::to_owned));
        if let Some(issuer) = issuer {
            endpoints.insert(kind, ProviderEndpoints::OpenId { issuer });
        }
    }
    endpoints
}
