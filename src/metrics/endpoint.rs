//! `GET /metrics`, and who may read it: figures of a whole installation are nobody else's business.
//!
//! ```text
//! METRICS_ADDR set     at that address only; with METRICS_TOKEN for who presents it, without one on loopback alone
//! METRICS_TOKEN alone  at the public port, for who presents it
//! neither              nowhere; in dev mode at the service's own port, which is on loopback
//! ```

use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App as ActixApp, HttpRequest, HttpResponse, HttpServer};
use subtle::ConstantTimeEq;

use crate::config::Mode;
use crate::crypto::token::sha256;
use crate::error::{Code, Error};
use crate::http::caller::{Call, Caller};
use crate::http::{body, dialect, headers, observe};
use crate::state::App;

/// A scraper comes every few seconds and keeps its connection; more than a handful are not scrapers.
const CONNECTIONS: usize = 16;

/// Marks the listener that is for scrapers alone.
#[derive(Debug, Clone, Copy)]
struct OwnListener;

/// Who may read the figures.
pub struct Scraper;

impl Caller for Scraper {
    const NAME: &'static str = "Scraper";

    async fn identify(request: &HttpRequest) -> Result<Self, Error> {
        let app = request.app_data::<Data<App>>().ok_or_else(|| Error::internal("no application state"))?;
        let settings = &app.config.metrics;
        let on_own_listener = request.app_data::<OwnListener>().is_some();
        let elsewhere = settings.address.is_some() && !on_own_listener;
        match (&settings.token, app.config.mode) {
            _ if elsewhere => Err(Error::new(Code::NotFound, "There is nothing at this address.")),
            (Some(token), _) if presents(request, token.expose()) => Ok(Self),
            (Some(_), _) => {
                let message = "The token of the metrics is needed: Authorization: Bearer …";
                Err(Error::new(Code::Unauthorized, message))
            }
            (None, Mode::Dev) => Ok(Self),
            (None, Mode::Production) if on_own_listener => Ok(Self),
            (None, Mode::Production) => Err(Error::new(Code::NotFound, "There is nothing at this address.")),
        }
    }
}

/// RFC 6750, section 2.1.
fn presents(request: &HttpRequest, token: &str) -> bool {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let presented = header.and_then(|header| header.split_once(' '));
    presented.is_some_and(|(scheme, presented)| {
        // Hashes are compared, so that the time tells nothing of the length either.
        let same = sha256(presented.trim_start().as_bytes()).ct_eq(&sha256(token.as_bytes()));
        scheme.eq_ignore_ascii_case("bearer") && bool::from(same)
    })
}

/// `GET /metrics`
pub async fn show(app: Data<App>, _call: Call<Scraper>) -> Result<HttpResponse, Error> {
    let text = super::text(&app).await.map_err(Error::internal)?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, super::TEXT_FORMAT)).body(text))
}

/// Serves `/metrics` and nothing else.
pub fn serve(app: Data<App>, listener: TcpListener) -> std::io::Result<Server> {
    let factory = move || {
        ActixApp::new()
            .app_data(app.clone())
            .app_data(OwnListener)
            .app_data(app.meters.requests.route(super::requests::UNMATCHED))
            .wrap(from_fn(headers::defaults))
            .wrap(from_fn(observe::request_line))
            .wrap(from_fn(dialect::render_errors))
            .wrap(from_fn(body::bounded))
            .service(
                web::resource("/metrics")
                    .app_data(app.meters.requests.route("/metrics"))
                    .route(web::get().to(show)),
            )
            .default_service(web::to(crate::app::nothing_here))
    };
    let server = HttpServer::new(factory).workers(1).max_connections(CONNECTIONS).disable_signals();
    Ok(server.shutdown_timeout(1).listen(listener)?.run())
}
