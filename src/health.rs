//! Is it alive, and should it get traffic?

use actix_web::HttpResponse;
use actix_web::web::Data;
use gatehouse_actors::data::installation::ProbeWrites;
use gatehouse_actors::data::organizations::Ping;
use gatehouse_actors::message::Snapshot;
use serde_json::{Map, Value, json};

use crate::error::{Code, Error};
use crate::http::caller::{Anonymous, Call};
use crate::state::App;

/// `GET /health/live`: the process answers.
pub async fn live(_call: Call<Anonymous>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// `GET /health/ready`, `GET /health`: the database answers, every actor lives, and nobody asked the process to stop.
pub async fn ready(app: Data<App>, _call: Call<Anonymous>) -> Result<HttpResponse, Error> {
    let not_ready = |reason: String| Error {
        internal: Some(reason),
        ..Error::new(Code::ServiceUnavailable, "Not ready for traffic.").retry_after(2)
    };
    if app.is_draining() {
        return Err(not_ready("draining".to_owned()));
    }
    if let Some(actor) = app.store.dead_actor() {
        return Err(not_ready(format!("the {actor} died")));
    }
    if app.store.writes_hang() {
        // A probe would hang as well.
        return Err(not_ready("a write hangs".to_owned()));
    }
    if app.store.writes_failing() {
        // Reads go on while the disk is full or broken; a probe finds out when it is not any more.
        let probe = app.store.write(ProbeWrites { now: app.clock.now() }).await;
        probe.map_err(|_| not_ready("writes fail".to_owned()))?;
    }
    app.store.read(Ping).await.map_err(|error| not_ready(error.to_string()))?;
    let actors: Map<String, Value> = app
        .store
        .observe()
        .await
        .into_iter()
        .map(|snapshot| (snapshot.actor.to_owned(), figures(&snapshot)))
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "status": "ready", "actors": actors })))
}

fn figures(snapshot: &Snapshot) -> Value {
    snapshot.figures.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
}
