//! The request id, the one log line per request, and its place in the metrics.

use std::rc::Rc;
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage};

use crate::error::Error as OwnError;
use crate::http::address::client_address;
use crate::metrics::requests::{Route, UNMATCHED};
use crate::state::App;
use crate::telemetry;

/// The header that carries the request id, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, for the log, the answer and error bodies.
#[derive(Debug, Clone)]
pub struct RequestId(pub Rc<str>);

/// Gives the request an id and writes its line. Never the query: codes and states travel there.
pub async fn request_line(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let app = request.app_data::<Data<App>>().cloned();
    let id = request_id(&request, app.as_deref().map(|app| &**app));
    request.extensions_mut().insert(RequestId(Rc::clone(&id)));
    let method = request.method().clone();
    let mut response = telemetry::in_request(Rc::clone(&id), next.call(request)).await?;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let route = response.request().app_data::<Route>().cloned();
    let elapsed = started.elapsed();
    let error = response.response().error().and_then(|error| error.as_error::<OwnError>());
    if let (Some(app), Some(route)) = (&app, &route) {
        route.answered(&method, response.status(), elapsed.as_secs_f64());
        if let Some(error) = error {
            app.meters.error(error.code);
            if error.for_load {
                app.overload.refused();
            }
        }
    }
    let route = route.as_ref().map_or(UNMATCHED, Route::template);
    let status = response.status().as_u16();
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let address = app
        .and_then(|app| client_address(response.request(), &app.config.trusted_proxies))
        .map(|address| address.to_string())
        .unwrap_or_default();
    let (id, method, address) = (&*id, method.as_str(), address.as_str());
    match error {
        None => log::info!(request = id, method = method, route = route, status = status, micros = micros,
            address = address; "request"),
        Some(error) => {
            let failed = status >= 500 && !error.for_load;
            let level = if failed { log::Level::Error } else { log::Level::Info };
            let detail = error.internal.as_deref().unwrap_or(&error.message);
            log::log!(level, request = id, method = method, route = route, status = status, micros = micros,
                address = address, code = error.code.row().0, detail = detail; "request refused");
        }
    }
    Ok(response)
}

/// The caller's own id when it is harmless, else a new one.
fn request_id(request: &ServiceRequest, app: Option<&App>) -> Rc<str> {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let harmless = |text: &&str| {
        (8..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match (given.filter(harmless), app) {
        (Some(id), _) => id.into(),
        (None, Some(app)) => app.random.label(app.clock.now()).into(),
        (None, None) => "".into(),
    }
}
