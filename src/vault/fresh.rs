//! A token that is good for a while yet, and one refresh for everybody who needs it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::rt::spawn;
use actix_web::web::Data;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::provider_grants::{EndGrant, ProviderGrant, StoreRefreshed, UsableGrant};
use tokio::sync::Mutex as AsyncMutex;

use super::{Place, access_token, new_grant, refresh_token};
use crate::config::secret::Secret;
use crate::error::Error;
use crate::http::connection::{self, Connection};
use crate::state::App;
use crate::upstream::{GuardedClient, HttpClient, UpstreamError};

/// What is handed out is good for at least this long: a minute.
const GOOD_FOR: Millis = 60 * 1000;

/// The HTTP clients of the thread that asks.
#[derive(Clone)]
pub struct Clients {
    /// For addresses that are configuration.
    pub http: HttpClient,
    /// For addresses that tenants chose.
    pub guarded: GuardedClient,
}

/// Why there is no token.
#[derive(Debug)]
pub enum NoToken {
    /// The user has to go through the provider again.
    Reauthorize,
    /// The provider could not be asked, or answered nonsense.
    Provider(UpstreamError),
    /// Something is wrong on our side.
    Failed(Error),
}

impl From<Error> for NoToken {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// When a refresh can be spared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Enough {
    /// The token is good for a minute, or newer than what the caller has seen.
    ForNow,
    /// Only when it is newer.
    IfNewer,
}

/// Refreshes under way, by the row id of the grant. Whoever comes while one is under way waits for it.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<i64, Arc<Flight>>>);

#[derive(Default)]
struct Flight {
    turn: AsyncMutex<Option<(Millis, UpstreamError)>>,
}

impl Flights {
    fn join(&self, id: i64) -> Arc<Flight> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(flights.entry(id).or_default())
    }

    /// Forgets a flight that nobody waits for any more.
    fn leave(&self, id: i64, flight: Arc<Flight>) {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(flight);
        if flights.get(&id).is_some_and(|flight| Arc::strong_count(flight) == 1) {
            flights.remove(&id);
        }
    }
}

/// The grant's access token, refreshed first when that is due, and the grant as it then is.
pub async fn token(
    app: &Data<App>,
    clients: Clients,
    grant: ProviderGrant,
) -> Result<(Secret<String>, ProviderGrant), NoToken> {
    if grant.is_over {
        return Err(NoToken::Reauthorize);
    }
    let grant = if is_good(&grant, app.clock.now()) { grant } else { renewed(app, clients, grant).await? };
    match access_token(app, &grant).await? {
        Some(token) => Ok((token, grant)),
        // Sealed for another place, or under a key that is gone: only the user can get a new one.
        None => Err(NoToken::Reauthorize),
    }
}

fn is_good(grant: &ProviderGrant, now: Millis) -> bool {
    grant.access_expires_at.is_none_or(|end| end - now >= GOOD_FOR)
}

fn is_valid(grant: &ProviderGrant, now: Millis) -> bool {
    grant.access_expires_at.is_none_or(|end| end > now)
}

/// Refreshes on a task of its own: a caller that hangs up must not take away what the provider has just given, since the
/// refresh token may have been good for this once.
async fn renewed(app: &Data<App>, clients: Clients, grant: ProviderGrant) -> Result<ProviderGrant, NoToken> {
    let (app_of_task, id, seen) = (app.clone(), grant.id, grant.generation);
    let task = spawn(async move { in_turn(&app_of_task, &clients, (id, seen), Enough::ForNow).await });
    let outcome = task.await.unwrap_or_else(|error| Err(NoToken::Failed(Error::internal(error))));
    match outcome {
        // The provider is away, and the old token is good for a few seconds yet.
        Err(NoToken::Provider(_)) if is_valid(&grant, app.clock.now()) => Ok(grant),
        outcome => outcome,
    }
}

/// Waits for its turn, and refreshes only when nobody did so meanwhile.
pub(super) async fn in_turn(
    app: &App,
    clients: &Clients,
    (id, seen): (i64, i64),
    enough: Enough,
) -> Result<ProviderGrant, NoToken> {
    let came_at = app.clock.now();
    let flight = app.vault.flights.join(id);
    let outcome = {
        let mut last_failure = flight.turn.lock().await;
        match &*last_failure {
            // Somebody tried after this caller came, in vain: trying again at once would help nobody.
            Some((at, error)) if *at >= came_at => Err(NoToken::Provider(error.clone())),
            _ => {
                let outcome = refresh(app, clients, (id, seen), enough).await;
                if let Err(NoToken::Provider(error)) = &outcome {
                    *last_failure = Some((app.clock.now(), error.clone()));
                }
                outcome
            }
        }
    };
    app.vault.flights.leave(id, flight);
    outcome
}

/// One refresh, with what is stored now, unless somebody stored something newer than the caller has seen. What is newer
/// still when the provider has answered is never overwritten.
async fn refresh(
    app: &App,
    clients: &Clients,
    (id, seen): (i64, i64),
    enough: Enough,
) -> Result<ProviderGrant, NoToken> {
    let grant = usable(app, id).await?;
    let now = app.clock.now();
    let newer = grant.generation != seen && is_valid(&grant, now);
    if newer || (enough == Enough::ForNow && is_good(&grant, now)) {
        return Ok(grant);
    }
    let Some(token) = refresh_token(app, &grant).await? else { return Err(NoToken::Reauthorize) };
    let Connection { provider, credential_version } =
        connection::find(app, grant.org_id, &grant.provider).await.map_err(|_| NoToken::Reauthorize)?;
    // A refresh token belongs to the client that it was given to (RFC 6749, section 10.4).
    if credential_version != grant.credential_version {
        return Err(NoToken::Reauthorize);
    }
    let http = if provider.is_tenant_chosen() { clients.guarded.as_http() } else { &clients.http };
    let (id, generation) = (grant.id, grant.generation);
    match provider.refresh(http, &*app.clock, &token).await {
        Ok(tokens) => {
            let refreshed = new_grant(app, &Place::of(&grant), tokens, &grant.scopes).await?;
            let store = StoreRefreshed { id, generation, grant: refreshed, now: app.clock.now() };
            let stored = app.store.write(store).await;
            let stored = stored.map_err(|error| Error::from_op(error, |()| Error::internal("refused")))?;
            log::info!(provider = grant.provider.as_str(), stored = stored; "provider token refreshed");
        }
        Err(error) if error.says_grant_is_over() => {
            let end = EndGrant { id, generation, now: app.clock.now() };
            let ended = app.store.write(end).await;
            ended.map_err(|error| Error::from_op(error, |()| Error::internal("refused")))?;
            log::info!(provider = grant.provider.as_str(); "provider grant is over");
        }
        Err(error) => {
            log::warn!(provider = grant.provider.as_str(), reason:% = error; "provider token not refreshed");
            return Err(NoToken::Provider(error));
        }
    }
    usable(app, id).await
}

async fn usable(app: &App, id: i64) -> Result<ProviderGrant, NoToken> {
    let grant = app.store.read(UsableGrant { id }).await.map_err(Error::from)?;
    grant.filter(|grant| !grant.is_over).ok_or(NoToken::Reauthorize)
}
