//! From a request to an answer.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::events::{EventsAfter, event_id};
use serde_json::{Value, json};

use super::{rules, stream};
use crate::error::Error;
use crate::http::caller::Call;
use crate::http::event;
use crate::http::input::Query;
use crate::http::management::{AtLeastAdmin, OrganizationCaller};
use crate::http::page::Page;
use crate::state::App;

type Answer = Result<HttpResponse, Error>;
/// Whoever may read a feed.
pub(super) type Reader = OrganizationCaller<AtLeastAdmin>;

/// `GET /api/organizations/{org}/events`
pub async fn follow(app: Data<App>, request: HttpRequest, call: Call<Reader, Query>) -> Answer {
    let params = call.input.0;
    let organization = &call.caller.organization;
    let is_stream = rules::wants_stream(request.headers());
    let last_event_id = request.headers().get("last-event-id").filter(|_| is_stream);
    let last_event_id = last_event_id.map(|value| value.to_str().unwrap_or("?"));
    let asked = rules::asked(&params, &organization.public_id, last_event_id)?;
    if is_stream {
        return stream::open(app, call.caller, asked).await;
    }
    let limit = usize::try_from(Page::limit(&params)?).unwrap_or_default();
    page(&app, &call.caller, (asked, limit), params.get("after")).await
}

async fn page(
    app: &App,
    reader: &Reader,
    (asked, limit): (rules::Asked, usize),
    cursor: Option<&str>,
) -> Answer {
    let org_public_id = &reader.organization.public_id;
    let question =
        EventsAfter { org_id: reader.organization.id, position: asked.position, types: asked.types, limit };
    let page = app.store.read(question).await?.map_err(|_| rules::out_of_reach())?;
    let events: Vec<Value> =
        page.events.iter().map(|one| event::body(one, org_public_id)).collect::<Result<_, _>>()?;
    // Past what was filtered out as well. With nothing new, the cursor stays where it is.
    let next = page.last.map(|(sequence, created_at)| event_id(org_public_id, sequence, created_at));
    let next = next.or_else(|| cursor.filter(|cursor| *cursor != "latest").map(ToOwned::to_owned));
    Ok(HttpResponse::Ok().json(json!({ "events": events, "next_cursor": next, "has_more": page.has_more })))
}
