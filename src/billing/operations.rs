//! What the operator's commands ask a running service to do.

use actix_web::HttpResponse;
use actix_web::web::Data;
use gatehouse_actors::data::stripe_inbox::Replay;
use gatehouse_actors::stripe_event_actor::ReconcileReport;
use serde_json::{Value, json};

use crate::error::Error;
use crate::http::caller::Call;
use crate::http::input::Query;
use crate::http::operator::Operator;
use crate::state::App;

type Answer = Result<HttpResponse, Error>;

/// `POST /internal/billing/reconcile`
pub async fn reconcile(app: Data<App>, _call: Call<Operator>) -> Answer {
    Ok(HttpResponse::Ok().json(report(&app.store.reconcile_stripe().await?)))
}

/// `POST /internal/billing/replay?event=…`, `?since=…` (unix milliseconds) or `?dead=true`
pub async fn replay(app: Data<App>, call: Call<Operator, Query>) -> Answer {
    let params = call.input.0;
    let which = match (params.get("event"), params.get("since"), params.get("dead")) {
        (Some(event), None, None) => Replay::Event(event.to_owned()),
        (None, Some(since), None) => {
            let wrong = |_| Error::invalid("since", "since must be in unix milliseconds.");
            Replay::Since(since.parse().map_err(wrong)?)
        }
        (None, None, Some("true")) => Replay::Dead,
        _ => return Err(Error::bad_request("Name one of event, since and dead=true.")),
    };
    let count = app.store.replay_stripe(which).await?;
    Ok(HttpResponse::Ok().json(json!({ "replayed": count })))
}

/// A report as the command prints it.
#[must_use]
pub fn report(report: &ReconcileReport) -> Value {
    let repairs: Vec<Value> = report
        .repairs
        .iter()
        .map(|repair| {
            json!({ "subscription": repair.stripe_id, "before": repair.before, "after": repair.after })
        })
        .collect();
    json!({
        "accounts": report.accounts,
        "compared": report.compared,
        "repaired": report.repaired,
        "repairs": repairs,
        "failures": report.failures,
    })
}
