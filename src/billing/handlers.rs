//! Handlers for the users of services.

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::view;
use crate::http::caller::{Call, ServiceUser};
use crate::state::App;

/// `GET /api/subscription`
pub async fn subscription(app: Data<App>, call: Call<ServiceUser>) -> HttpResponse {
    HttpResponse::Ok().json(view::subscription(&call.caller.subject, app.clock.now()))
}
