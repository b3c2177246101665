//! What the outbox delivers and how it travels: the other side of its port.
//!
//! ```text
//! Outbox (actors) -> Courier::deliver -> what to send, as it is now -> signed now -> GuardedClient -> Outcome
//! ```
//! Receivers of events and logout tokens are chosen by tenants, so nothing there connects to an address that is not
//! public (outside dev mode), follows a redirect, or repeats what a receiver said.

mod logout;
mod revocation;
pub mod webhook;

use std::rc::Rc;

use actix_web::web::Data;
use futures_util::future::LocalBoxFuture;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::outbox::{Delivery, Kind};
use gatehouse_actors::outbox::{DeliveryPort, Outcome, PortFactory};
use oauth2::http::header::RETRY_AFTER;
use oauth2::{HttpRequest, HttpResponse};

use crate::state::App;
use crate::upstream::{AddressPolicy, GuardedClient, HttpClient, UpstreamError};
use crate::vault::fresh::Clients;

/// The port for the outbox. Its connections are made on the outbox's own thread.
#[must_use]
pub fn port(app: Data<App>, policy: AddressPolicy) -> PortFactory {
    Box::new(move || {
        let clients = Clients { http: HttpClient::new(), guarded: GuardedClient::new(policy) };
        Rc::new(Courier { app, clients })
    })
}

/// Carries deliveries to their receivers.
#[derive(Clone)]
struct Courier {
    app: Data<App>,
    clients: Clients,
}

impl DeliveryPort for Courier {
    fn deliver(&self, delivery: Delivery) -> LocalBoxFuture<'static, Outcome> {
        let Self { app, clients } = self.clone();
        Box::pin(async move {
            match delivery.kind {
                Kind::Webhook => webhook::deliver(&app, &clients.guarded, &delivery).await,
                Kind::BackchannelLogout => logout::deliver(&app, &clients.guarded, &delivery).await,
                Kind::ProviderRevocation => revocation::deliver(&app, &clients, &delivery).await,
            }
        })
    }

    fn draw(&self) -> u32 {
        u32::from_be_bytes(self.app.random.bytes())
    }

    fn uuid(&self, now: Millis) -> String {
        self.app.random.uuid(now)
    }
}

/// Something of ours failed before the receiver was asked.
fn not_ready(reason: impl std::fmt::Display) -> Outcome {
    log::warn!(reason:% = reason; "a delivery could not be prepared");
    Outcome::Failed { status: None, reason: "could not be prepared".to_owned(), wait: None }
}

/// What a receiver said, as far as it is heard.
struct Answer {
    status: u16,
    wait: Option<Millis>,
}

/// Sends, and tells failures from answers.
async fn send(client: &GuardedClient, request: HttpRequest) -> Result<Answer, Outcome> {
    let answer: Result<HttpResponse, UpstreamError> = client.send(request).await;
    match answer {
        Ok(response) => Ok(Answer { status: response.status().as_u16(), wait: wait(&response) }),
        Err(error) => Err(Outcome::Failed { status: None, reason: words(&error).to_owned(), wait: None }),
    }
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3). A date is not read: it would have to be held against a clock that
/// is not ours.
fn wait(response: &HttpResponse) -> Option<Millis> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse::<u32>().ok()?;
    Some(Millis::from(seconds) * 1000)
}

/// What the organization's log says: what it can act on, and nothing that a receiver or a network told us.
fn words(error: &UpstreamError) -> &'static str {
    match error {
        UpstreamError::Forbidden => "the address is not public",
        UpstreamError::Timeout => "did not answer in time",
        UpstreamError::Unreachable(reason) => reason,
        _ => "gave no proper HTTP answer",
    }
}

/// An answer that does not mean that the receiver has it.
fn answered(Answer { status, wait }: &Answer) -> Outcome {
    let reason = match status {
        300..=399 => format!("answered {status}; redirects are not followed"),
        _ => format!("answered {status}"),
    };
    Outcome::Failed { status: Some(*status), reason, wait: *wait }
}
