//! The provider-token vault: tokens that users granted services at providers, sealed at rest and fresh when they are read.
//!
//! ```text
//! sign-in ──> new_grant (seals) ──> the write that completes the sign-in keeps it
//! read ──> fresh::token ──> still good for a minute? else one refresh for all who wait ──> receipt ──> token
//! ```
//! Each organization has a key of its own, drawn at its first grant and sealed under `ENCRYPTION_KEY`. A token opens
//! only as what it is (access or refresh) of the very user, service, account and client that it was sealed for.

pub mod ahead;
pub mod fresh;
pub mod returned;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::provider_grants::{
    EnsureOrganizationKey, NewGrant, OrganizationKey, ProviderGrant,
};
use serde_json::json;

use crate::config::secret::Secret;
use crate::crypto::sealed::Sealer;
use crate::error::Error;
use crate::state::App;
use crate::upstream::UpstreamTokens;

/// Keys kept open. Beyond this all are forgotten and opened again when they are next used.
const MOST_KEYS: usize = 1024;
/// A token is refreshed this long before it ends, or at half of its life when that is shorter: five minutes.
const REFRESH_AHEAD: Millis = 5 * 60 * 1000;
/// Longer lives than ten years are as good as none.
const LONGEST_LIFE: u64 = 10 * 365 * 24 * 60 * 60;

/// What the vault keeps in memory.
#[derive(Default)]
pub struct Vault {
    keys: Mutex<HashMap<i64, Arc<Sealer>>>,
    pub(crate) flights: fresh::Flights,
}

/// Whose tokens: what both of them are bound to.
pub struct Place<'a> {
    /// Row id of the organization.
    pub org_id: i64,
    /// Row id of the service.
    pub service_id: i64,
    /// The provider.
    pub provider: &'a str,
    /// Who vouches for the account there.
    pub issuer: &'a str,
    /// Which account there.
    pub subject: &'a str,
    /// Which version of the organization's own client; none: the platform's.
    pub credential_version: Option<&'a str>,
}

/// Which of the two tokens.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Access,
    Refresh,
}

impl Place<'_> {
    /// The place of a stored grant.
    #[must_use]
    pub fn of(grant: &ProviderGrant) -> Place<'_> {
        Place {
            org_id: grant.org_id,
            service_id: grant.service_id,
            provider: &grant.provider,
            issuer: &grant.issuer,
            subject: &grant.subject,
            credential_version: grant.credential_version.as_deref(),
        }
    }

    /// The associated data of a ciphertext, in a form that no two places share.
    fn context(&self, kind: Kind) -> String {
        let Self { org_id, service_id, provider, issuer, subject, credential_version } = self;
        let kind = match kind {
            Kind::Access => "access",
            Kind::Refresh => "refresh",
        };
        let place = json!([org_id, service_id, provider, issuer, subject, credential_version, kind]);
        format!("provider token {place}")
    }
}

/// Seals what a provider gave. `asked_for` stands in for the scopes when the provider does not say what it granted.
pub async fn new_grant(
    app: &App,
    place: &Place<'_>,
    tokens: UpstreamTokens,
    asked_for: &[String],
) -> Result<NewGrant, Error> {
    let key = key_of(app, place.org_id).await?;
    let seal = |kind: Kind, token: &Secret<String>| {
        let sealed = key.seal(&app.random, &place.context(kind), token.expose().as_bytes());
        sealed.ok_or_else(|| Error::internal("a provider token cannot be sealed"))
    };
    let now = app.clock.now();
    let access_expires_at = tokens.expires_in.map(|life| ends_at(now, life));
    let refreshable = tokens.refresh_token.is_some();
    Ok(NewGrant {
        // RFC 6749, section 5.1: what is not said is what was asked for.
        scopes: if tokens.scopes.is_empty() { asked_for.to_vec() } else { tokens.scopes },
        access_token_sealed: seal(Kind::Access, &tokens.access_token)?,
        refresh_token_sealed: tokens
            .refresh_token
            .as_ref()
            .map(|token| seal(Kind::Refresh, token))
            .transpose()?,
        access_expires_at,
        refresh_due_at: access_expires_at.filter(|_| refreshable).map(|end| due_at(now, end)),
    })
}

fn ends_at(now: Millis, life_seconds: u64) -> Millis {
    let life = i64::try_from(life_seconds.min(LONGEST_LIFE)).unwrap_or_default();
    now.saturating_add(life * 1000)
}

fn due_at(now: Millis, end: Millis) -> Millis {
    end - REFRESH_AHEAD.min((end - now) / 2)
}

/// Opens the access token of a grant; none when it was sealed for another place or with a key that is not there.
async fn access_token(app: &App, grant: &ProviderGrant) -> Result<Option<Secret<String>>, Error> {
    let key = key_of(app, grant.org_id).await?;
    Ok(open(&key, &Place::of(grant).context(Kind::Access), &grant.access_token_sealed))
}

/// Opens the refresh token of a grant, if it has one that opens.
async fn refresh_token(app: &App, grant: &ProviderGrant) -> Result<Option<Secret<String>>, Error> {
    let Some(sealed) = &grant.refresh_token_sealed else { return Ok(None) };
    let key = key_of(app, grant.org_id).await?;
    Ok(open(&key, &Place::of(grant).context(Kind::Refresh), sealed))
}

fn open(key: &Sealer, context: &str, sealed: &[u8]) -> Option<Secret<String>> {
    key.open_text(context, sealed)
}

/// The key of an organization; the first call for an organization draws it.
async fn key_of(app: &App, org_id: i64) -> Result<Arc<Sealer>, Error> {
    let known = app.vault.keys.lock().unwrap_or_else(PoisonError::into_inner).get(&org_id).cloned();
    if let Some(key) = known {
        return Ok(key);
    }
    let context = key_context(org_id);
    let known = app.store.read(OrganizationKey { org_id }).await?;
    let sealed = if let Some(sealed) = known { sealed } else { draw_key(app, org_id, &context).await? };
    let opened = app.keys.stored_secrets.open(&context, &sealed);
    let opened = opened.and_then(|key| Sealer::of(&key));
    let sealer = Arc::new(opened.ok_or_else(|| Error::internal("an organization's data key does not open"))?);
    let mut keys = app.vault.keys.lock().unwrap_or_else(PoisonError::into_inner);
    if keys.len() >= MOST_KEYS {
        keys.clear();
    }
    keys.insert(org_id, Arc::clone(&sealer));
    Ok(sealer)
}

/// What an organization's key is sealed for.
#[must_use]
pub fn key_context(org_id: i64) -> String {
    format!("data key of organization {org_id}")
}

/// Draws a key, unless somebody else has just done so. Returns the one that is kept, sealed.
async fn draw_key(app: &App, org_id: i64, context: &str) -> Result<Vec<u8>, Error> {
    let drawn = app.keys.stored_secrets.seal(&app.random, context, &app.random.bytes::<32>());
    let key_sealed = drawn.ok_or_else(|| Error::internal("a data key cannot be sealed"))?;
    let ensure = EnsureOrganizationKey { org_id, key_sealed, now: app.clock.now() };
    let kept = app.store.write(ensure).await;
    kept.map_err(|error| Error::from_op(error, |()| Error::internal("refused")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_refresh_is_due_within_the_life_and_ahead_of_its_end(now in 0..i64::MAX / 4, life in 0..u64::MAX) {
            let end = ends_at(now, life);
            let due = due_at(now, end);
            prop_assert!(now <= due && due <= end);
            prop_assert!(end - due <= REFRESH_AHEAD);
            prop_assert!(life < 600 || end - due == REFRESH_AHEAD);
        }

        #[test]
        fn no_two_places_share_a_context(a in "[a-z\",\\[\\]]{0,8}", b in "[a-z\",\\[\\]]{0,8}", c in "[a-z\",]{0,8}") {
            let place = |provider, issuer, subject| {
                Place { org_id: 1, service_id: 2, provider, issuer, subject, credential_version: None }
            };
            let context = place(&a, &b, &c).context(Kind::Access);
            prop_assert_ne!(&context, &place(&a, &b, &c).context(Kind::Refresh));
            if a != b {
                prop_assert_ne!(&context, &place(&b, &a, &c).context(Kind::Access));
            }
        }
    }
}
