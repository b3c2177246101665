//! The hosted sign-in of a browser: one cookie per realm, so that two organizations, or an organization and the platform,
//! never mix in one browser.

use actix_web::HttpRequest;
use actix_web::cookie::Cookie;
use gatehouse_actors::data::browser_sessions::{
    BROWSER_SESSION_LIFETIME, BrowserSession, BrowserSessionByToken, BrowserToken,
};
use gatehouse_actors::data::services::Service;

use crate::crypto::token::{TokenKind, TokenSecret, compose, parse, sha256};
use crate::error::Error;
use crate::state::App;

/// What the names of these cookies begin with.
const PREFIX: &str = "gatehouse-session-";
/// Realms that are looked at in one request, at most.
const MOST_REALMS: usize = 8;

/// The cookie of an organization's realm, without the prefix that https adds.
fn cookie_name(org_slug: &str) -> String {
    format!("{PREFIX}{org_slug}")
}

/// The realms for which the browser presents something, by slug.
#[must_use]
pub fn realms(app: &App, request: &HttpRequest) -> Vec<String> {
    let mut slugs: Vec<String> = app
        .cookies
        .names_with(request, PREFIX)
        .iter()
        .filter_map(|name| name.strip_prefix(PREFIX).map(ToOwned::to_owned))
        .collect();
    slugs.sort_unstable();
    slugs.dedup();
    slugs.truncate(MOST_REALMS);
    slugs
}

/// What the browser presents for a realm. Names a row; whether that row is live and of this realm is another question.
#[must_use]
pub fn presented(app: &App, request: &HttpRequest, org_slug: &str) -> Option<BrowserToken> {
    let text = app.cookies.text(request, &cookie_name(org_slug))?;
    let presented = parse(TokenKind::BrowserSession, text)?;
    Some(BrowserToken { id: presented.id, secret_hash: sha256(&presented.secret) })
}

/// The browser's live session in the realm of a service.
pub async fn of(
    app: &App,
    request: &HttpRequest,
    service: &Service,
) -> Result<Option<BrowserSession>, Error> {
    let Some(token) = presented(app, request, &service.org_slug) else { return Ok(None) };
    let question = BrowserSessionByToken { token, org_id: service.org_id, now: app.clock.now() };
    Ok(app.store.read(question).await?)
}

/// Signs the browser in to a realm. The value is new at every sign-in: what was there before is never adopted.
#[must_use]
pub fn cookie(app: &App, org_slug: &str, id: i64, secret: &TokenSecret) -> Cookie<'static> {
    let value = compose(TokenKind::BrowserSession, id, secret);
    app.cookies.plain(&cookie_name(org_slug), value, BROWSER_SESSION_LIFETIME / 1000)
}

/// Has the browser forget its session in a realm.
#[must_use]
pub fn forget(app: &App, org_slug: &str) -> Cookie<'static> {
    app.cookies.remove(&cookie_name(org_slug))
}
