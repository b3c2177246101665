//! Linking one more account at a provider to a user: what its steps have in common.
//!
//! ```text
//! POST /api/user/identities/{provider}/link -> Ticket in an address
//! GET  /auth/link/{provider}?ticket=  -> the new provider -> PendingLink in this browser's cookie
//! GET  /auth/link/confirm             -> GET /auth/link/prove/{provider} -> a provider of the user -> proved
//! GET  /auth/link/confirm             -> both accounts by name -> POST: linked, or not
//! ```
//! The address alone does nothing: whoever opens it must sign in, in the same browser, as the user who asked for it.
//! So nobody can have a stranger link the stranger's account to his own.

use actix_web::HttpRequest;
use actix_web::cookie::Cookie;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::sessions::{SessionByPublicId, Subject};
use serde::{Deserialize, Serialize};

use crate::error::{Code, Error};
use crate::http::redirect::with_params;
use crate::state::App;

/// Where the browser decides.
pub const CONFIRM_PATH: &str = "/auth/link/confirm";
/// How long linking may take, from the ticket to the decision: 10 minutes, in seconds.
pub const LIFETIME_SECONDS: i64 = 10 * 60;

const COOKIE: &str = "gatehouse-link";
const TICKET: &str = "link ticket";

/// What the address for the browser says, sealed: which session wants to link at which provider.
#[derive(Serialize, Deserialize)]
pub struct Ticket {
    /// Public id of the session.
    pub session: String,
    /// The provider.
    pub provider: String,
    /// When the ticket is void.
    pub expires_at: Millis,
}

/// An account at a provider that waits in the browser for its user to say yes.
#[derive(Serialize, Deserialize)]
pub struct PendingLink {
    /// Public id of the session that asked.
    pub session: String,
    /// The provider of the new account.
    pub provider: String,
    /// Through which version of the organization's own client there; none: the platform's.
    pub credential_version: Option<String>,
    /// Who vouches for it.
    pub issuer: String,
    /// Whom it names.
    pub subject: String,
    /// Its address, normalized.
    pub email: Option<String>,
    /// Whether the provider proved the address.
    pub email_verified: bool,
    /// Its name.
    pub name: Option<String>,
    /// Whether this browser signed in as the user who asked.
    pub proved: bool,
    /// Must come back in the form.
    pub csrf: String,
    /// When it is void.
    pub expires_at: Millis,
}

impl PendingLink {
    /// What a person knows the new account by.
    #[must_use]
    pub fn account(&self) -> String {
        let words = [&self.name, &self.email];
        let words: Vec<&str> = words.into_iter().filter_map(|word| word.as_deref()).collect();
        if words.is_empty() { self.subject.clone() } else { words.join(", ") }
    }
}

/// The address at which a browser begins, and when it is void.
pub fn begin(app: &App, session: &str, provider: &str) -> Result<(String, Millis), Error> {
    let expires_at = app.clock.now() + LIFETIME_SECONDS * 1000;
    let ticket = Ticket { session: session.to_owned(), provider: provider.to_owned(), expires_at };
    let plain = serde_json::to_vec(&ticket).map_err(Error::internal)?;
    let sealed = app.keys.cookies.seal(&app.random, TICKET, &plain);
    let sealed = sealed.ok_or_else(|| Error::internal("a ticket cannot be sealed"))?;
    let path = with_params(&format!("/auth/link/{provider}"), &[("ticket", &URL_SAFE_NO_PAD.encode(sealed))]);
    Ok((format!("{}{path}", app.base_url), expires_at))
}

/// The session that a ticket was made for, if ticket and session still live and the provider is the ticket's.
pub async fn redeem(app: &App, ticket: &str, provider: &str) -> Result<Subject, Error> {
    let sealed = URL_SAFE_NO_PAD.decode(ticket).ok();
    let plain = sealed.and_then(|sealed| app.keys.cookies.open(TICKET, &sealed));
    let ticket: Option<Ticket> = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
    let fresh = |ticket: &Ticket| ticket.provider == provider && app.clock.now() < ticket.expires_at;
    let ticket = ticket.filter(fresh).ok_or_else(stale)?;
    session(app, &ticket.session).await
}

/// The session, as it is now.
pub async fn session(app: &App, public_id: &str) -> Result<Subject, Error> {
    let question = SessionByPublicId { public_id: public_id.to_owned() };
    let subject = app.store.read(question).await?.ok_or_else(stale)?;
    if !subject.is_org_active() {
        return Err(Error::not_active(&subject.org_status));
    }
    if subject.is_live(app.clock.now()) { Ok(subject) } else { Err(stale()) }
}

/// What waits in this browser.
pub fn pending(app: &App, request: &HttpRequest) -> Result<PendingLink, Error> {
    let pending: Option<PendingLink> = app.cookies.open(&app.keys.cookies, request, COOKIE);
    pending.filter(|pending| app.clock.now() < pending.expires_at).ok_or_else(stale)
}

/// The cookie that keeps it.
pub fn keep(app: &App, pending: &PendingLink) -> Result<Cookie<'static>, Error> {
    app.cookies.seal(&app.keys.cookies, &app.random, (COOKIE, pending), LIFETIME_SECONDS)
}

/// The cookie that forgets it.
#[must_use]
pub fn forget(app: &App) -> Cookie<'static> {
    app.cookies.remove(COOKIE)
}

/// What a user is known by.
#[must_use]
pub fn account_of(subject: &Subject) -> String {
    let known = subject.email.as_deref().or(subject.name.as_deref());
    known.unwrap_or(&subject.user_public_id).to_owned()
}

fn stale() -> Error {
    let message = "This link has expired, was used in another browser, or its session ended. \
                   Start again in the app.";
    Error::new(Code::BadRequest, message)
}
