//! The feed as server-sent events: what is there since the cursor, then what comes, as soon as it is committed.
//!
//! ```text
//! open -> place (bounded) -> [ still allowed? -> read -> send ]* -> wait for the writer's news, or the heartbeat
//! ```
//! A stream ends when its reader's session or role does, after fifteen minutes at the latest (so none outlives the
//! access token that opened it by much), and when the process stops. Browsers come back by themselves, with the id of
//! the last event, and miss nothing.

use std::convert::Infallible;
use std::fmt::Write;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::rt::time::{sleep, timeout};
use actix_web::web::{Bytes, Data};
use futures_util::stream::unfold;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::events::{EventPage, EventType, EventsAfter, Position, event_id};
use gatehouse_actors::data::memberships::{OrganizationForCaller, Role};
use gatehouse_actors::data::sessions::SessionByPublicId;
use tokio::sync::watch;

use super::handlers::Reader;
use super::rules::{Asked, out_of_reach};
use crate::error::{Code, Error};
use crate::http::event;
use crate::state::App;
use crate::throttle::streams::{NoPlace, Place};

/// Between two signs of life: shorter than proxies wait before they cut a silent connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Between two reads of one stream, however fast the writer is.
const PACE: Duration = Duration::from_millis(50);
/// No stream lives longer.
const LONGEST: Millis = 15 * 60 * 1000;
/// Events that are read at once.
const BATCH: usize = 100;

/// Opens a stream. The first read happens before the answer, so that a bad cursor is an error and not a silence.
pub(super) async fn open(app: Data<App>, reader: Reader, asked: Asked) -> Result<HttpResponse, Error> {
    let org_id = reader.organization.id;
    let place = app.event_streams.enter(org_id).map_err(no_place)?;
    let mut news = app.store.bulletin().events_of(org_id);
    news.mark_unchanged();
    let mut feed = Feed {
        opened_at: app.clock.now(),
        closing: app.event_streams.closing(),
        position: asked.position,
        types: asked.types,
        last_id: None,
        app,
        reader,
        news,
        _place: place,
    };
    let page = feed.read().await?.ok_or_else(out_of_reach)?;
    let first = feed.written(&page)?;
    let first = Bytes::from([b"retry: 3000\n\n".as_slice(), &first].concat());
    let body = unfold((Some(first), feed), |(ready, mut feed)| async move {
        let chunk = match ready {
            Some(first) => first,
            None => feed.next().await?,
        };
        Some((Ok::<_, Infallible>(chunk), (None, feed)))
    });
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("text/event-stream")))
        // Proxies of the common kind hold back what they could send at once.
        .insert_header((HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")))
        .streaming(Box::pin(body)))
}

fn no_place(reason: NoPlace) -> Error {
    match reason {
        NoPlace::Organization => {
            Error::new(Code::RateLimited, "The organization has as many event streams as it may. Close one.")
                .retry_after(15)
        }
        NoPlace::Process => {
            Error::new(Code::ServiceUnavailable, "There is no room for another event stream.")
                .retry_after(15)
                .for_load()
        }
    }
}

/// An open stream.
struct Feed {
    app: Data<App>,
    reader: Reader,
    news: watch::Receiver<()>,
    closing: watch::Receiver<bool>,
    position: Position,
    types: Option<Vec<EventType>>,
    /// Of the last event looked at, wanted or not.
    last_id: Option<String>,
    opened_at: Millis,
    _place: Place,
}

impl Feed {
    /// The next piece: events, or a sign of life. None ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        let mut awake = true;
        loop {
            if *self.closing.borrow() || !self.is_allowed().await {
                return None;
            }
            if !awake {
                return Some(self.sign_of_life());
            }
            // Before the read: what is committed while it runs wakes the stream again.
            self.news.mark_unchanged();
            let page = self.read().await.ok()??;
            let has_more = page.has_more;
            let events = self.written(&page).ok()?;
            if !events.is_empty() {
                return Some(Bytes::from(events));
            }
            if !has_more {
                awake = self.wait().await?;
            }
        }
    }

    /// True when there is news, false when there was none for long, none when the stream is to end.
    async fn wait(&mut self) -> Option<bool> {
        let news = self.news.changed();
        let closing = self.closing.changed();
        tokio::select! {
            _ = closing => None,
            outcome = timeout(HEARTBEAT, news) => match outcome {
                Ok(Ok(())) => {
                    sleep(PACE).await;
                    Some(true)
                }
                Ok(Err(_)) => None,
                Err(_) => Some(false),
            },
        }
    }

    async fn read(&self) -> Result<Option<EventPage>, Error> {
        let question = EventsAfter {
            org_id: self.reader.organization.id,
            position: self.position,
            types: self.types.clone(),
            limit: BATCH,
        };
        Ok(self.app.store.read(question).await?.ok())
    }

    /// The events of a page as they are sent; the stream goes on after it.
    fn written(&mut self, page: &EventPage) -> Result<Vec<u8>, Error> {
        let org_public_id = &self.reader.organization.public_id;
        let mut text = String::new();
        for one in &page.events {
            let (id, body) = (one.id(org_public_id), event::body(one, org_public_id)?);
            // One line of JSON: no line break of the data can end it early.
            write!(text, "id: {id}\nevent: {}\ndata: {body}\n\n", one.event_type).map_err(Error::internal)?;
        }
        if let Some((sequence, created_at)) = page.last {
            self.position = Position::After(sequence, created_at);
            self.last_id = Some(event_id(org_public_id, sequence, created_at));
        } else if self.position == Position::Newest {
            // Of a feed that is empty yet.
            self.position = Position::Oldest;
        }
        Ok(text.into_bytes())
    }

    /// A comment, and where the reader stands: what was filtered out counts as seen.
    fn sign_of_life(&self) -> Bytes {
        let id = self.last_id.as_ref().map(|id| format!("id: {id}\n")).unwrap_or_default();
        Bytes::from(format!(": nothing new\n{id}\n"))
    }

    /// Whether the reader could open the stream now: rights are read anew, as at every request.
    async fn is_allowed(&self) -> bool {
        let Reader { subject, organization, .. } = &self.reader;
        let now = self.app.clock.now();
        if now - self.opened_at >= LONGEST {
            return false;
        }
        let session = SessionByPublicId { public_id: subject.session_public_id.clone() };
        let place =
            OrganizationForCaller { reference: organization.public_id.clone(), user_id: subject.user_id };
        let (session, place) = futures_util::join!(self.app.store.read(session), self.app.store.read(place));
        let (Ok(Some(subject)), Ok(Some((_, role)))) = (session, place) else { return false };
        let may_read = subject.is_platform_owner || role >= Some(Role::Admin);
        may_read && subject.is_live(now) && subject.is_org_active()
    }
}
