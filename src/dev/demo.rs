//! The demo app: a small relying party in the browser.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::seed::{ORGANIZATION, TERMINAL_CLIENT, WEB_CLIENT, WEB_SERVICE};
use crate::http::caller::{Anonymous, Call};
use crate::http::redirect::see_other;
use crate::pages::{DevDemo, Policy, ProviderChoice, respond_with};
use crate::state::App;

/// `GET /dev`, `GET /dev/callback`: one page, its script tells the two apart.
pub async fn page(app: Data<App>, _call: Call<Anonymous>) -> HttpResponse {
    let providers = app.providers.keys().map(|kind| ProviderChoice {
        href: String::new(),
        kind: kind.as_str(),
        label: kind.display_name().to_owned(),
    });
    let page = DevDemo {
        base_url: app.base_url.clone(),
        organization: ORGANIZATION.to_owned(),
        service: WEB_SERVICE.to_owned(),
        client_id: WEB_CLIENT.to_owned(),
        terminal_client_id: TERMINAL_CLIENT.to_owned(),
        providers: providers.collect(),
    };
    respond_with(&page, StatusCode::OK, Policy::Demo)
}

/// `GET /`: the address that the log names, so the one that a newcomer opens.
pub async fn welcome(_call: Call<Anonymous>) -> HttpResponse {
    see_other("/dev")
}
