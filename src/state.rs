//! What handlers share: one value per process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gatehouse_actors::clock::{Clock, Millis};
use gatehouse_actors::data::PLATFORM_ORG_ID;
use gatehouse_actors::data::sessions::Subject;
use gatehouse_actors::store::Store;
use time::OffsetDateTime;

use crate::config::Config;
use crate::config::provider::ProviderKind;
use crate::crypto::jwt::SigningKeys;
use crate::crypto::random::Random;
use crate::crypto::root::RootKeys;
use crate::drain::Traffic;
use crate::http::connection::OwnClients;
use crate::http::cookie::CookieJar;
use crate::http::dpop::UsedProofs;
use crate::http::last_used::LastUsed;
use crate::http::overload::Overload;
use crate::mail::Mailer;
use crate::metrics::Meters;
use crate::stripe::StripeKeys;
use crate::throttle::connections::Connections;
use crate::throttle::guesses::Guesses;
use crate::throttle::limits::Limits;
use crate::throttle::pacing::Pacing;
use crate::throttle::streams::Streams;
use crate::upstream::Provider;
use crate::vault::Vault;

/// Provider applications by kind.
pub type Providers = BTreeMap<ProviderKind, Arc<Provider>>;

/// The application.
pub struct App {
    /// As read at start.
    pub config: Config,
    /// The issuer: scheme, host and port, without a trailing slash.
    pub base_url: String,
    /// Where "now" comes from.
    pub clock: Arc<dyn Clock>,
    /// The random source.
    pub random: Random,
    /// Keys derived from the root secret.
    pub keys: RootKeys,
    /// Keys that sign tokens.
    pub signing_keys: SigningKeys,
    /// The data.
    pub store: Store,
    /// Cookie settings.
    pub cookies: CookieJar,
    /// Providers for the end users of organizations.
    pub providers: Providers,
    /// Providers for the platform realm.
    pub platform_providers: Providers,
    /// Organizations' own clients at providers, kept ready.
    pub own_clients: OwnClients,
    /// Provider tokens: keys that are open, refreshes under way.
    pub vault: Vault,
    /// How fast each device code may be polled.
    pub pacing: Pacing,
    /// How often user codes may be guessed.
    pub guesses: Guesses,
    /// How often everything else may be asked or guessed.
    pub limits: Limits,
    /// Connections that are open.
    pub connections: Connections,
    /// Proofs of clients that were used (RFC 9449).
    pub used_proofs: UsedProofs,
    /// Opens Stripe accounts.
    pub stripe_keys: StripeKeys,
    /// When sessions were last used, as far as it is not written yet.
    pub last_used: LastUsed,
    /// Which event streams are open.
    pub event_streams: Streams,
    /// Takes mail to be sent.
    pub mailer: Mailer,
    /// What is counted.
    pub meters: Meters,
    /// What is refused because there is no room for it.
    pub overload: Overload,
    /// Set when the process is about to stop.
    pub draining: AtomicBool,
    /// Which requests are being served.
    pub traffic: Traffic,
}

impl App {
    /// The `aud` of an access token: the management API in the platform realm, else the service's client.
    #[must_use]
    pub fn audience(&self, subject: &Subject) -> String {
        if subject.is_platform { format!("{}/api", self.base_url) } else { subject.client_id.clone() }
    }

    /// The platform's own provider applications for a realm.
    #[must_use]
    pub fn providers_of(&self, org_id: i64) -> &Providers {
        if org_id == PLATFORM_ORG_ID { &self.platform_providers } else { &self.providers }
    }

    /// The redirect URIs of the platform realm's client: what `PLATFORM_ADMIN_REDIRECT_URI` says, and nothing else.
    #[must_use]
    pub fn platform_redirect_uris(&self) -> Vec<String> {
        self.config.platform_admin_redirect_uri.iter().cloned().collect()
    }

    /// Whether the process is about to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// A moment as RFC 3339 in UTC with `Z`, always to the millisecond.
#[must_use]
pub fn rfc3339(moment: Millis) -> String {
    let Ok(time) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(moment) * 1_000_000) else {
        return String::new();
    };
    let (date, (hour, minute, second, milli)) = (time.date(), time.to_hms_milli());
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_one_length() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_492_044_600), "2026-11-24T03:47:24.600Z");
    }
}
