//! Which stored ciphertext is sealed under which key and context: what `gatehouse secrets reencrypt` and the running
//! service go through.

use std::sync::Arc;

use gatehouse_actors::data::sealed_columns::{
    OAUTH_CREDENTIALS, ORGANIZATION_KEYS, PREVIOUS_OF_WEBHOOKS, REVOCATION_KEYS, Reseal, ResealColumn,
    Resealed, SIGNING_KEYS, STRIPE_KEYS, STRIPE_SECRETS, SealedColumn, SealedRow, WEBHOOKS,
};
use gatehouse_actors::resealer::ColumnToReseal;

use super::random::Random;
use super::root::RootKeys;
use super::sealed::Sealer;
use super::signing_key;
use crate::delivery::webhook::seal_context;
use crate::http::connection::SecretPlace;
use crate::stripe::keys::{SECRET_KEY, WEBHOOK_SECRETS, seal_place};
use crate::vault::key_context;

/// A column, its ring of keys, and the context of a row.
pub struct Sealed {
    /// The column.
    pub column: &'static SealedColumn,
    ring: fn(&RootKeys) -> &Sealer,
    context: fn(&SealedRow) -> String,
}

/// Every column that holds ciphertext.
pub const ALL: &[Sealed] = &[
    Sealed {
        column: &SIGNING_KEYS,
        ring: |keys| &keys.signing_keys,
        context: |_| signing_key::SEAL_CONTEXT.to_owned(),
    },
    Sealed { column: &OAUTH_CREDENTIALS, ring: |keys| &keys.stored_secrets, context: of_credential },
    Sealed {
        column: &STRIPE_KEYS,
        ring: |keys| &keys.stored_secrets,
        context: |row| seal_place(row.id, SECRET_KEY),
    },
    Sealed {
        column: &STRIPE_SECRETS,
        ring: |keys| &keys.stored_secrets,
        context: |row| seal_place(row.id, WEBHOOK_SECRETS),
    },
    // Provider tokens are sealed under these, not under the ring.
    Sealed {
        column: &ORGANIZATION_KEYS,
        ring: |keys| &keys.stored_secrets,
        context: |row| key_context(row.id),
    },
    Sealed { column: &REVOCATION_KEYS, ring: |keys| &keys.stored_secrets, context: of_revocation },
    Sealed { column: &WEBHOOKS, ring: |keys| &keys.stored_secrets, context: of_webhook },
    Sealed { column: &PREVIOUS_OF_WEBHOOKS, ring: |keys| &keys.stored_secrets, context: of_webhook },
];

fn of_revocation(row: &SealedRow) -> String {
    let org_id = row.place.first().and_then(|org_id| org_id.as_deref()?.parse().ok());
    org_id.map_or_else(String::new, key_context)
}

fn of_webhook(row: &SealedRow) -> String {
    let public_id = row.place.first().cloned().flatten();
    public_id.map_or_else(String::new, |public_id| seal_context(&public_id))
}

/// The place of a client secret. A row that names no place has a context that opens nothing.
fn of_credential(row: &SealedRow) -> String {
    let [Some(org_id), Some(provider), Some(version_id), Some(client_id), issuer] = row.place.as_slice()
    else {
        return String::new();
    };
    let (Ok(org_id), Ok(provider)) = (org_id.parse(), provider.parse()) else { return String::new() };
    SecretPlace { org_id, provider, version_id, client_id, issuer: issuer.as_deref() }.context()
}

impl Sealed {
    /// The change that seals the column anew with the present keys.
    #[must_use]
    pub fn reseal(&'static self, keys: &Arc<RootKeys>, random: &Random) -> ResealColumn {
        ResealColumn { column: self.column, reseal: self.judge(keys, random) }
    }

    /// What becomes of each ciphertext of the column with the present keys.
    fn judge(&'static self, keys: &Arc<RootKeys>, random: &Random) -> Reseal {
        let (keys, random) = (Arc::clone(keys), random.clone());
        Arc::new(move |row: &SealedRow| {
            let ring = (self.ring)(&keys);
            if ring.is_current(&row.sealed) {
                return Resealed::Current;
            }
            let context = (self.context)(row);
            let anew =
                ring.open(&context, &row.sealed).and_then(|plain| ring.seal(&random, &context, &plain));
            anew.map_or(Resealed::Unreadable, Resealed::Anew)
        })
    }
}

/// Every column with the present keys, for who does it beside everything else.
#[must_use]
pub fn columns(keys: &Arc<RootKeys>, random: &Random) -> Vec<ColumnToReseal> {
    ALL.iter().map(|sealed| (sealed.column, sealed.judge(keys, random))).collect()
}
