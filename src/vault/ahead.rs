//! Refreshing ahead of time: what the actors' refresher asks for.

use std::rc::Rc;

use actix_web::web::Data;
use futures_util::future::LocalBoxFuture;
use gatehouse_actors::data::due_grants::DueGrant;
use gatehouse_actors::token_refresher::{RefreshOutcome, RefreshPort, RefreshPortFactory};

use super::fresh::{Clients, Enough, NoToken, in_turn};
use crate::state::App;
use crate::upstream::{AddressPolicy, GuardedClient, HttpClient};

/// Refreshes through HTTP clients of the refresher's own thread.
struct Port {
    app: Data<App>,
    clients: Clients,
}

/// What makes the port on the refresher's thread.
#[must_use]
pub fn port(app: Data<App>, policy: AddressPolicy) -> RefreshPortFactory {
    Box::new(move || {
        let clients = Clients { http: HttpClient::new(), guarded: GuardedClient::new(policy) };
        Rc::new(Port { app, clients })
    })
}

impl RefreshPort for Port {
    fn refresh(&self, grant: &DueGrant) -> LocalBoxFuture<'static, RefreshOutcome> {
        let (app, clients) = (self.app.clone(), self.clients.clone());
        let due = (grant.id, grant.generation);
        Box::pin(async move {
            match in_turn(&app, &clients, due, Enough::IfNewer).await {
                Ok(_) => RefreshOutcome::Refreshed,
                Err(NoToken::Reauthorize) => RefreshOutcome::Over,
                Err(NoToken::Provider(_)) => RefreshOutcome::Failed,
                Err(NoToken::Failed(error)) => {
                    let reason = error.internal.as_deref().unwrap_or_default();
                    log::error!(reason = reason; "a provider token could not be refreshed");
                    RefreshOutcome::Failed
                }
            }
        })
    }
}
