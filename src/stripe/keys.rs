//! Whose key opens which account.

use std::sync::Arc;

use gatehouse_actors::data::PLATFORM_ORG_ID;
use gatehouse_actors::stripe_event_actor::StripeAccount;

use crate::config::billing::BillingSettings;
use crate::config::secret::Secret;
use crate::crypto::random::Random;
use crate::crypto::sealed::Sealer;

/// The place of the key that opens an account.
pub const SECRET_KEY: &str = "secret key";
/// The place of the secrets that its events are signed with.
pub const WEBHOOK_SECRETS: &str = "webhook secrets";

/// The platform's key, and what opens the keys of organizations.
#[derive(Clone)]
pub struct StripeKeys {
    platform: Option<Secret<String>>,
    sealer: Arc<Sealer>,
}

impl StripeKeys {
    /// From the settings; `sealer` is the ring of `ENCRYPTION_KEY`.
    #[must_use]
    pub fn new(settings: &BillingSettings, sealer: Arc<Sealer>) -> Self {
        Self { platform: settings.secret_key.clone(), sealer }
    }

    /// The key of an account; none when there is none, or it cannot be opened.
    #[must_use]
    pub fn of(&self, account: &StripeAccount) -> Option<Secret<String>> {
        if account.org_id == PLATFORM_ORG_ID {
            return self.platform.clone();
        }
        self.open(account.org_id, SECRET_KEY, account.secret_key_sealed.as_deref()?)
    }

    /// Seals a secret of an organization's account for one place.
    #[must_use]
    pub fn seal(
        &self,
        random: &Random,
        org_id: i64,
        place: &str,
        secret: &Secret<String>,
    ) -> Option<Vec<u8>> {
        self.sealer.seal(random, &seal_place(org_id, place), secret.expose().as_bytes())
    }

    /// Opens what was sealed for the same organization and place.
    #[must_use]
    pub fn open(&self, org_id: i64, place: &str, sealed: &[u8]) -> Option<Secret<String>> {
        let opened = self.sealer.open_text(&seal_place(org_id, place), sealed);
        if opened.is_none() {
            log::error!(org_id = org_id, place = place; "stripe secret cannot be opened: was ENCRYPTION_KEY changed?");
        }
        opened
    }
}

/// What a ciphertext is bound to: moved to another organization or place it does not open.
#[must_use]
pub fn seal_place(org_id: i64, place: &str) -> String {
    format!("stripe account {org_id} {place}")
}
