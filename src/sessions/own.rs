//! The caller's own sessions. Those of others, and of the same person in another realm, are as good as none.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::own_sessions::{
    EndOtherSessions, EndOwnSession, NoSuchSession, OwnSession, OwnSessions, SessionOwner,
};
use gatehouse_actors::data::sessions::Subject;
use serde_json::{Value, json};

use crate::error::{Code, Error};
use crate::http::caller::{Call, SignedIn};
use crate::http::input::Query;
use crate::http::management::audit_context;
use crate::http::page::Page;
use crate::state::{App, rfc3339};

type Answer = Result<HttpResponse, Error>;

fn owner(subject: &Subject) -> SessionOwner {
    SessionOwner { user_id: subject.user_id, org_id: subject.org_id }
}

/// `GET /api/auth/sessions`
pub async fn list(app: Data<App>, call: Call<SignedIn, Query>) -> Answer {
    let Call { caller: SignedIn { subject }, input: Query(params) } = call;
    let page = Page::parse(&params)?;
    let question =
        OwnSessions { owner: owner(&subject), limit: page.limit, offset: page.offset, now: app.clock.now() };
    let (sessions, total) = app.store.read(question).await?;
    let sessions: Vec<Value> = sessions.iter().map(|session| view(&app, session, &subject)).collect();
    let body = json!({ "sessions": sessions, "total": total, "page": page.number, "limit": page.limit });
    Ok(HttpResponse::Ok().json(body))
}

fn view(app: &App, session: &OwnSession, caller: &Subject) -> Value {
    let (slug, name, client_id) = &session.service;
    // What is noted is younger than what is written; a session that was never used since was used when it began.
    let last_used_at = app.last_used.of(session.id).or(session.last_used_at).unwrap_or(session.created_at);
    json!({
        "id": session.public_id,
        "current": session.id == caller.session_id,
        "service": slug,
        "service_name": name,
        "client_id": client_id,
        "provider": session.provider,
        "method": session.method,
        "scope": session.scope,
        "user_agent": session.user_agent,
        "ip_address": session.ip_address,
        "created_at": rfc3339(session.created_at),
        "last_used_at": rfc3339(last_used_at),
        "expires_at": rfc3339(session.expires_at),
    })
}

/// `DELETE /api/auth/sessions/{id}`
pub async fn end_one(
    app: Data<App>,
    request: HttpRequest,
    path: Path<String>,
    call: Call<SignedIn>,
) -> Answer {
    let subject = call.caller.subject;
    let end = EndOwnSession {
        owner: owner(&subject),
        public_id: path.into_inner(),
        audit: audit_context(&app, &request, Some(&subject)),
    };
    let ended = app.store.write(end).await;
    ended.map_err(|error| {
        Error::from_op(error, |NoSuchSession| Error::new(Code::NotFound, "You have no such session."))
    })?;
    Ok(HttpResponse::NoContent().finish())
}

/// `DELETE /api/auth/sessions`: all but the one that asks.
pub async fn end_others(app: Data<App>, request: HttpRequest, call: Call<SignedIn>) -> Answer {
    let subject = call.caller.subject;
    let end = EndOtherSessions {
        owner: owner(&subject),
        kept: subject.session_id,
        audit: audit_context(&app, &request, Some(&subject)),
        user_public_id: subject.user_public_id.clone(),
    };
    let ended = app.store.write(end).await;
    let ended = ended.map_err(|error| Error::from_op(error, |()| Error::internal("refused")))?;
    let message = format!("{ended} other session{} ended.", if ended == 1 { "" } else { "s" });
    Ok(HttpResponse::Ok().json(json!({ "message": message, "revoked_count": ended })))
}
