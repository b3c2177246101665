//! Handlers of signing out.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::sign_out::SignOut;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::wish::Wish;
use crate::error::{Code, Error};
use crate::http::browser_session;
use crate::http::caller::{Anonymous, Call};
use crate::http::input::{Form, Params, Query};
use crate::http::origin::check_origin;
use crate::http::redirect::see_other;
use crate::pages::{Policy, SignOutQuestion, SignedOut, respond, respond_with};
use crate::state::App;

type Answer = Result<HttpResponse, Error>;

/// The cookie that says what this browser was asked.
const COOKIE: &str = "gatehouse-logout";
/// How long the person may think about it, in seconds.
const COOKIE_SECONDS: i64 = 15 * 60;

/// The question that a browser was asked, sealed into its cookie.
#[derive(Serialize, Deserialize)]
struct Question {
    /// Must come back in the form.
    csrf: String,
    /// The realm to sign out of; none means all of this browser's.
    org_slug: Option<String>,
    /// Where to go then: checked when the question was asked.
    destination: Option<String>,
    /// When the question is void.
    expires_at: Millis,
}

/// `GET /oauth/logout`
pub async fn by_query(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Query>) -> Answer {
    sign_out(&app, &request, &call.input.0).await
}

/// `POST /oauth/logout`
pub async fn by_form(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Form>) -> Answer {
    sign_out(&app, &request, &call.input.0).await
}

async fn sign_out(app: &App, request: &HttpRequest, params: &Params) -> Answer {
    let wish = Wish::read(app, params).await?;
    let Some(session_public_id) = session_to_end(app, request, &wish).await? else {
        return ask(app, wish);
    };
    let realm = wish.client.map(|client| client.org_slug);
    end(app, request, Some(session_public_id), realm.into_iter().collect(), wish.destination).await
}

/// The session that the hint names, unless the browser is signed in as somebody else (RP-Initiated Logout 1.0, section 2:
/// then the person must be asked).
async fn session_to_end(app: &App, request: &HttpRequest, wish: &Wish) -> Result<Option<String>, Error> {
    let Some(hint) = &wish.hint else { return Ok(None) };
    let browser = match &wish.client {
        Some(client) => browser_session::of(app, request, client).await?,
        None => None,
    };
    let same_person = browser.is_none_or(|browser| browser.user_public_id == hint.sub);
    Ok(same_person.then(|| hint.sid.clone()))
}

/// Nothing proves that the person wants this: any page can send a browser here.
fn ask(app: &App, wish: Wish) -> Answer {
    let question = Question {
        csrf: URL_SAFE_NO_PAD.encode(app.random.bytes::<32>()),
        org_slug: wish.client.as_ref().map(|client| client.org_slug.clone()),
        destination: wish.destination,
        expires_at: app.clock.now() + COOKIE_SECONDS * 1000,
    };
    let cookie = app.cookies.seal(&app.keys.cookies, &app.random, (COOKIE, &question), COOKIE_SECONDS)?;
    let page = SignOutQuestion { service_name: wish.client.map(|client| client.name), csrf: question.csrf };
    let mut response = respond_with(&page, StatusCode::OK, Policy::Handover);
    response.add_cookie(&cookie).map_err(Error::internal)?;
    Ok(response)
}

/// `POST /oauth/logout/confirm`
pub async fn confirm(app: Data<App>, request: HttpRequest, call: Call<Anonymous, Form>) -> Answer {
    check_origin(&app, &request)?;
    let stale =
        || Error::bad_request("This question has expired or was asked in another browser. Start again.");
    let question: Option<Question> = app.cookies.open(&app.keys.cookies, &request, COOKIE);
    let question = question.filter(|question| app.clock.now() < question.expires_at).ok_or_else(stale)?;
    let params = call.input.0;
    let csrf = params.get("csrf").unwrap_or_default();
    if !bool::from(csrf.as_bytes().ct_eq(question.csrf.as_bytes())) {
        return Err(Error::new(Code::Forbidden, "This form does not belong to the question. Start again."));
    }
    let mut response = match params.get("decision") {
        Some("sign_out") => {
            let realms =
                question.org_slug.map_or_else(|| browser_session::realms(&app, &request), |slug| vec![slug]);
            end(&app, &request, None, realms, question.destination).await?
        }
        Some("stay") => respond(&SignedOut { signed_out: false }, StatusCode::OK),
        _ => return Err(Error::invalid("decision", "The decision must be sign_out or stay.")),
    };
    response.add_cookie(&app.cookies.remove(COOKIE)).map_err(Error::internal)?;
    Ok(response)
}

/// Ends what there is, has the browser forget it, and goes where the app wants.
async fn end(
    app: &App,
    request: &HttpRequest,
    session_public_id: Option<String>,
    realms: Vec<String>,
    destination: Option<String>,
) -> Answer {
    let browsers = realms.iter().filter_map(|slug| browser_session::presented(app, request, slug)).collect();
    let sign_out = SignOut { session_public_id, browsers, now: app.clock.now() };
    let ended = app.store.write(sign_out).await;
    ended.map_err(|error| Error::from_op(error, |()| Error::internal("refused")))?;
    let mut response = match destination {
        Some(destination) => see_other(&destination),
        None => respond(&SignedOut { signed_out: true }, StatusCode::OK),
    };
    for slug in &realms {
        response.add_cookie(&browser_session::forget(app, slug)).map_err(Error::internal)?;
    }
    Ok(response)
}
