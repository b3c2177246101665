//! Keeps the signing keys: makes the first of each algorithm, notices changes that a command made to the database,
//! and lets a new key take over when the present one is old enough.
//!
//! ```text
//! every two seconds: stored keys -> changed? -> SigningKeys::reload
//!                                -> old enough? -> mint -> RotateSigningKey (write)
//! ```

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Data, block};
use gatehouse_actors::clock::{Clock, Millis};
use gatehouse_actors::data::audit::AuditContext;
use gatehouse_actors::data::client_registration::SigningAlgorithm;
use gatehouse_actors::data::signing_keys::{
    KEY_LEAD, KeyState, RotateSigningKey, SealedSigningKey, SigningKeys as StoredSigningKeys,
    StoreFirstSigningKey, state,
};
use gatehouse_actors::error::OpError;
use gatehouse_actors::store::Store;

use crate::crypto::jwt::SigningKeys;
use crate::crypto::random::Random;
use crate::crypto::sealed::Sealer;
use crate::crypto::signing_key::generate;
use crate::server::{StartError, unrefused};
use crate::state::App;

/// How soon a change that a command made is noticed.
const PERIOD: Duration = Duration::from_secs(2);
const DAY: Millis = 24 * 60 * 60 * 1000;

/// Opens the signing keys. What an algorithm has no key for yet gets one, which may sign at once: nobody can have
/// cached a key set that matters without it.
pub(crate) async fn open(
    store: &Store,
    sealer: &Sealer,
    random: &Random,
    clock: &Arc<dyn Clock>,
) -> Result<SigningKeys, StartError> {
    let stored = store.read(StoredSigningKeys).await?;
    for algorithm in SigningAlgorithm::ALL {
        if !stored.iter().any(|key| key.algorithm == algorithm) {
            let now = clock.now();
            let key = generate(random, sealer, algorithm, (now, now))?;
            store.write(StoreFirstSigningKey { key }).await.map_err(unrefused)?;
        }
    }
    Ok(SigningKeys::open(Arc::clone(clock), sealer, &store.read(StoredSigningKeys).await?)?)
}

/// Runs until it is aborted.
pub(crate) async fn keep(app: Data<App>) {
    let mut seen: Vec<SealedSigningKey> = Vec::new();
    loop {
        tokio::time::sleep(PERIOD).await;
        // Whatever goes wrong here goes wrong again or not at the next turn; the keys in use stay in use.
        let stored = match app.store.read(StoredSigningKeys).await {
            Ok(stored) => stored,
            Err(error) => {
                log::warn!(reason:% = error; "signing keys not read");
                continue;
            }
        };
        if stored != seen {
            match app.signing_keys.reload(&app.keys.signing_keys, &stored) {
                Ok(()) => log::debug!(keys = stored.len(); "signing keys loaded"),
                Err(error) => {
                    log::error!(reason:% = error; "signing keys not loaded, the known ones stay in use");
                }
            }
            seen = stored;
        }
        for algorithm in due(&seen, app.config.key_rotation_days, app.clock.now()) {
            rotate(&app, algorithm).await;
        }
    }
}

/// The algorithms whose newest key is as old as it may become.
fn due(stored: &[SealedSigningKey], rotation_days: u16, now: Millis) -> Vec<SigningAlgorithm> {
    let oldest = now - Millis::from(rotation_days) * DAY;
    let newest = |algorithm: SigningAlgorithm| {
        let mut all = stored.iter().enumerate();
        all.find(|(_, key)| key.algorithm == algorithm && key.retired_at.is_none())
    };
    // How old one from the future is nobody knows: the clock was set back.
    let is_old = |algorithm: &SigningAlgorithm| {
        newest(*algorithm).is_some_and(|(index, key)| {
            (key.signs_from <= oldest || key.signs_from > now + DAY)
                && state(stored, index, now) != KeyState::Next
        })
    };
    if rotation_days == 0 { Vec::new() } else { SigningAlgorithm::ALL.into_iter().filter(is_old).collect() }
}

async fn rotate(app: &Data<App>, algorithm: SigningAlgorithm) {
    let now = app.clock.now();
    let minting = app.clone();
    // Making an RSA key takes a while: not on a thread that answers requests.
    let made = block(move || {
        generate(&minting.random, &minting.keys.signing_keys, algorithm, (now, now + KEY_LEAD))
    });
    let Ok(Ok(key)) = made.await else {
        log::error!(algorithm = algorithm.as_str(); "no signing key could be made");
        return;
    };
    let (key_id, signs_from) = (key.key_id.clone(), crate::state::rfc3339(key.signs_from));
    let rotate = RotateSigningKey { key, audit: by_command(app, "gatehouse") };
    match app.store.write(rotate).await {
        Ok(()) => {
            log::info!(algorithm = algorithm.as_str(), kid = key_id.as_str(), signs_from = signs_from.as_str();
                "signing key published");
        }
        Err(OpError::Refused(_)) => {} // somebody was faster
        Err(OpError::Store(error)) => log::warn!(reason:% = error; "signing key not rotated"),
    }
}

fn by_command(app: &App, user_agent: &str) -> AuditContext {
    let now = app.clock.now();
    AuditContext {
        entry_public_id: app.random.uuid(now),
        actor_user_id: None,
        ip_address: String::new(),
        user_agent: user_agent.to_owned(),
        now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_old_is_due() {
        let key = |algorithm, signs_from, retired_at| SealedSigningKey {
            key_id: String::new(),
            algorithm,
            private_sealed: Vec::new(),
            created_at: 0,
            signs_from,
            retired_at,
        };
        let stored = [
            key(SigningAlgorithm::Rs256, 60 * DAY, Some(1)),
            key(SigningAlgorithm::Es256, 10 * DAY, None),
            key(SigningAlgorithm::Rs256, 0, None),
        ];
        assert_eq!(due(&stored, 90, 89 * DAY), []);
        assert_eq!(due(&stored, 90, 90 * DAY), [SigningAlgorithm::Rs256]);
        assert_eq!(due(&stored, 90, 100 * DAY), [SigningAlgorithm::Es256, SigningAlgorithm::Rs256]);
        assert_eq!(due(&stored, 0, 10_000 * DAY), []);

        // Made while the clock was a year ahead: the first one is replaced, a next one is waited for.
        let ahead = [key(SigningAlgorithm::Es256, 365 * DAY, None)];
        assert_eq!(due(&ahead, 90, DAY), [SigningAlgorithm::Es256]);
        let waiting = [ahead[0].clone(), key(SigningAlgorithm::Es256, 0, None)];
        assert_eq!(due(&waiting, 90, 2 * DAY), []);
    }
}
