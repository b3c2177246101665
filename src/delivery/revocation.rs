//! A token on its way back to the provider that gave it.

use gatehouse_actors::data::outbox::Delivery;
use gatehouse_actors::data::provider_revocations::RevocationOfDelivery;
use gatehouse_actors::outbox::Outcome;

use super::not_ready;
use crate::state::App;
use crate::upstream::{Revoked, UpstreamError};
use crate::vault::fresh::Clients;
use crate::vault::returned;

/// Tries once. What cannot succeed later either is refused, and the token is forgotten with it.
pub(super) async fn deliver(app: &App, clients: &Clients, delivery: &Delivery) -> Outcome {
    let question = RevocationOfDelivery { delivery_id: delivery.id };
    let revocation = match app.store.read(question).await {
        Ok(Some(revocation)) => revocation,
        Ok(None) => return never(None, "there is nothing left to revoke"),
        Err(error) => return not_ready(error),
    };
    let provider = match returned::client_of(app, &revocation).await {
        Ok(Some(provider)) => provider,
        Ok(None) => return never(None, "the client that the token was given to is gone"),
        Err(error) => return not_ready(error.internal.unwrap_or_default()),
    };
    if revocation.is_shared && !provider.revokes_single_tokens() {
        return never(None, "the provider would end another grant of the same account as well");
    }
    let Some(tokens) = returned::tokens_of(app, &revocation) else {
        return not_ready("a token to be revoked does not open with this ENCRYPTION_KEY");
    };
    let http = if provider.is_tenant_chosen() { clients.guarded.as_http() } else { &clients.http };
    match provider.revoke(http, &*app.clock, &tokens).await {
        Ok(Revoked::Done) => {
            log::info!(provider = revocation.provider.as_str(); "provider token revoked");
            Outcome::Delivered { status: 200 }
        }
        Ok(Revoked::Unsupported) => never(None, "the provider does not revoke tokens"),
        Err(error) => failed(&error),
    }
}

fn never(status: Option<u16>, reason: &str) -> Outcome {
    Outcome::Refused { status, reason: reason.to_owned() }
}

/// A provider that says no in its protocol's words says so again; everything else may pass.
fn failed(error: &UpstreamError) -> Outcome {
    let reason = error.to_string();
    match error {
        UpstreamError::Refused { .. } | UpstreamError::Forbidden => Outcome::Refused { status: None, reason },
        UpstreamError::Status(status @ (400..=407 | 409..=428)) => {
            Outcome::Refused { status: Some(*status), reason }
        }
        UpstreamError::Status(status) => Outcome::Failed { status: Some(*status), reason, wait: None },
        _ => Outcome::Failed { status: None, reason, wait: None },
    }
}
