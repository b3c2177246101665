//! The route table: every URL and its handler. Who may call it stands in the handler's signature.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};

use crate::analytics;
use crate::dev::provider::DevProvider;
use crate::error::{Code, Error};
use crate::http::resource::{At, Entry, at, mount};
use crate::metrics::requests::{Requests, UNMATCHED};
use crate::openapi::document::Chapter;
use crate::openapi::probes;
use crate::pages::assets;
use crate::{
    account, audit, billing, credentials, dev, device, end_users, events, health, invitations, linking,
    login, logout, members, metrics, oidc, orgs, platform, provider_tokens, reference, services, sessions,
    tokens, webhooks,
};

/// Every route of the product. Literal paths stand before the patterns that would swallow them.
#[must_use]
pub fn routes() -> Vec<At> {
    let mut routes = of_sign_in();
    routes.extend(of_administration());
    routes
}

/// What apps, terminals and the people who sign in use.
fn of_sign_in() -> Vec<At> {
    vec![
        at("/health/live").get(health::live),
        at("/health/ready").get(health::ready),
        at("/health").get(health::ready),
        at("/metrics").get(metrics::endpoint::show),
        at("/.well-known/jwks.json").get(oidc::jwks),
        at("/.well-known/openid-configuration").get(oidc::metadata),
        at("/.well-known/oauth-authorization-server").get(oidc::metadata),
        at("/assets/gatehouse.css").get(assets::stylesheet),
        // The API document.
        at("/openapi.json").get(reference::document),
        at("/docs").get(reference::overview),
        // What machines call again and again: addresses are tried in this order, and patterns cost most.
        at("/auth/token").post(sessions::handlers::token),
        at("/oauth/token").post(sessions::handlers::token),
        at("/auth/device/code").post(device::handlers::issue),
        at("/oauth/device_authorization").post(device::handlers::issue),
        at("/webhooks/stripe").post(billing::webhooks::of_platform),
        at("/api/user").get(account::user).patch(account::change),
        // Tokens.
        at("/oauth/logout").get(logout::handlers::by_query).post(logout::handlers::by_form),
        at("/oauth/logout/confirm").post(logout::handlers::confirm),
        at("/oauth/userinfo").get(tokens::handlers::userinfo).post(tokens::handlers::userinfo),
        at("/oauth/introspect").post(tokens::handlers::introspect),
        at("/oauth/revoke").post(tokens::handlers::revoke),
        at("/api/auth/refresh").post(sessions::handlers::refresh),
        at("/api/auth/logout").post(sessions::handlers::logout),
        at("/api/auth/sessions").get(sessions::own::list).delete(sessions::own::end_others),
        at("/api/auth/sessions/{id}").delete(sessions::own::end_one),
        // Devices.
        at("/auth/device/verify").post(device::handlers::verify),
        at("/activate").get(device::handlers::activate),
        at("/activate/confirm").get(device::handlers::confirm).post(device::handlers::decide),
        // Sign-in in the browser.
        at("/oauth/authorize").get(login::handlers::authorize).post(login::handlers::authorize_by_form),
        at("/oauth/par").post(login::par::push),
        at("/oauth/consent").get(login::consent::show).post(login::consent::decide),
        at("/auth/link/confirm").get(linking::confirm).post(linking::decide),
        at("/auth/link/prove/{provider}").get(login::linking::prove),
        at("/auth/link/{provider}").get(login::linking::start_link),
        at("/auth/admin/{provider}").get(login::handlers::start_admin),
        at("/auth/admin/{provider}/callback").get(login::handlers::callback_admin),
        at("/auth/{provider}").get(login::handlers::start),
        at("/auth/{provider}/callback").get(login::handlers::callback),
        at("/auth/{provider}/callback/{org}").get(login::handlers::callback_own),
        // Chapters of the API document.
        at("/docs/{topic}").get(reference::topic),
        // The signed-in user.
        at("/api/provider-token/{provider}").get(provider_tokens::read),
        at("/api/user/consents").get(account::consents::list),
        at("/api/user/consents/{service_id}").delete(account::consents::withdraw),
        at("/api/user/identities").get(account::identities::list),
        at("/api/user/identities/{provider}").delete(account::identities::unlink),
        at("/api/user/identities/{provider}/link").post(account::identities::link),
        // Billing.
        at("/webhooks/stripe/{org}").post(billing::webhooks::of_organization),
        at("/internal/billing/reconcile").post(billing::operations::reconcile),
        at("/internal/billing/replay").post(billing::operations::replay),
        at("/api/billing/checkout").post(billing::checkout::checkout),
        at("/api/billing/portal").post(billing::checkout::portal),
        at("/api/subscription").get(billing::handlers::subscription),
    ]
}

/// What administrators of organizations and platform owners use.
fn of_administration() -> Vec<At> {
    vec![
        // Invitations.
        at("/api/organizations/{org}/invitations")
            .get(invitations::handlers::list)
            .post(invitations::handlers::create),
        at("/api/organizations/{org}/invitations/{invitation}")
            .post(invitations::handlers::cancel)
            .delete(invitations::handlers::cancel),
        at("/api/invitations").get(invitations::handlers::mine),
        at("/api/invitations/accept").post(invitations::handlers::accept),
        at("/api/invitations/decline").post(invitations::handlers::decline),
        at("/invitations/accept").get(invitations::acceptance::show),
        at("/invitations/confirm")
            .get(invitations::acceptance::confirm)
            .post(invitations::acceptance::decide),
        // Organizations, their teams and their users.
        at("/api/organizations").get(orgs::handlers::list).post(orgs::handlers::register),
        at("/api/organizations/{org}").get(orgs::handlers::show).patch(orgs::handlers::rename),
        at("/api/organizations/{org}/transfer-ownership").post(members::handlers::transfer),
        at("/api/organizations/{org}/members").get(members::handlers::list),
        at("/api/organizations/{org}/members/transfer-ownership").post(members::handlers::transfer),
        at("/api/organizations/{org}/members/{user_id}")
            .patch(members::handlers::change_role)
            .post(members::handlers::remove)
            .delete(members::handlers::remove),
        at("/api/organizations/{org}/users").get(end_users::handlers::list),
        at("/api/organizations/{org}/users/{user_id}")
            .get(end_users::handlers::show)
            .delete(end_users::handlers::erase),
        at("/api/organizations/{org}/users/{user_id}/sessions").delete(end_users::handlers::sign_out),
        at("/api/organizations/{org}/oauth-credentials").get(credentials::handlers::list),
        at("/api/organizations/{org}/oauth-credentials/{provider}")
            .get(credentials::handlers::show)
            .post(credentials::handlers::save)
            .delete(credentials::handlers::delete),
        at("/api/organizations/{org}/billing/checkout").post(billing::checkout::organization_checkout),
        at("/api/organizations/{org}/billing/portal").post(billing::checkout::organization_portal),
        at("/api/organizations/{org}/stripe-account")
            .get(billing::accounts::show)
            .post(billing::accounts::save)
            .delete(billing::accounts::remove),
        at("/api/organizations/{org}/audit-log").get(audit::handlers::of_organization),
        at("/api/organizations/{org}/analytics/login-trends").get(analytics::handlers::trends),
        at("/api/organizations/{org}/analytics/logins-by-service").get(analytics::handlers::by_service),
        at("/api/organizations/{org}/analytics/logins-by-provider").get(analytics::handlers::by_provider),
        at("/api/organizations/{org}/analytics/recent-logins").get(analytics::handlers::recent),
        at("/api/organizations/{org}/analytics/export").get(analytics::export::export),
        // What happens in an organization, for those who want to hear of it.
        at("/api/organizations/{org}/events").get(events::handlers::follow),
        at("/api/organizations/{org}/webhooks")
            .get(webhooks::handlers::list)
            .post(webhooks::handlers::create),
        at("/api/organizations/{org}/webhooks/{webhook}")
            .get(webhooks::handlers::show)
            .patch(webhooks::handlers::update)
            .delete(webhooks::handlers::delete),
        at("/api/organizations/{org}/webhooks/{webhook}/secret").post(webhooks::handlers::rotate),
        at("/api/organizations/{org}/webhooks/{webhook}/ping").post(webhooks::deliveries::ping),
        at("/api/organizations/{org}/webhooks/{webhook}/deliveries").get(webhooks::deliveries::list),
        at("/api/organizations/{org}/webhooks/{webhook}/deliveries/{event}/replay")
            .post(webhooks::deliveries::replay),
        // Platform owners.
        at("/api/platform/tiers").get(platform::handlers::tiers),
        at("/api/platform/tiers/{id}").patch(platform::tiers::set_price),
        at("/api/platform/organizations").get(platform::handlers::list),
        at("/api/platform/organizations/{id}/approve").post(platform::handlers::approve),
        at("/api/platform/organizations/{id}/reject").post(platform::handlers::reject),
        at("/api/platform/organizations/{id}/suspend").post(platform::handlers::suspend),
        at("/api/platform/organizations/{id}/activate").post(platform::handlers::activate),
        at("/api/platform/organizations/{id}/tier").patch(platform::handlers::set_tier),
        at("/api/platform/owners").post(platform::owners::appoint),
        at("/api/platform/owners/{user_id}").delete(platform::owners::demote),
        at("/api/platform/audit-log").get(audit::handlers::of_platform),
        at("/api/platform/analytics/overview").get(analytics::platform::overview),
        at("/api/platform/analytics/organization-status").get(analytics::platform::statuses),
        at("/api/platform/analytics/growth-trends").get(analytics::platform::growth),
        at("/api/platform/analytics/login-activity").get(analytics::platform::activity),
        at("/api/platform/analytics/top-organizations").get(analytics::platform::top),
        at("/api/platform/analytics/recent-organizations").get(analytics::platform::recent),
        // Services, their secrets and plans.
        at("/api/organizations/{org}/services")
            .get(services::handlers::list)
            .post(services::handlers::create),
        at("/api/organizations/{org}/services/{svc}")
            .get(services::handlers::show)
            .patch(services::handlers::update)
            .delete(services::handlers::delete),
        at("/api/organizations/{org}/services/{svc}/client-secret")
            .post(services::secrets::rotate)
            .delete(services::secrets::remove),
        at("/api/organizations/{org}/services/{svc}/plans")
            .get(services::plans::list)
            .post(services::plans::create),
        at("/api/organizations/{org}/services/{svc}/plans/{plan}")
            .patch(services::plans::update)
            .delete(services::plans::delete),
    ]
}

/// What the API document says about the routes, by slice, in the order of its reader.
#[must_use]
pub fn chapters() -> Vec<Chapter> {
    vec![
        login::api::chapter(),
        device::api::chapter(),
        sessions::api::chapter(),
        tokens::api::chapter(),
        logout::api::chapter(),
        oidc::api::chapter(),
        account::api::chapter(),
        linking::api::chapter(),
        provider_tokens::api::chapter(),
        orgs::api::chapter(),
        members::api::chapter(),
        invitations::api::chapter(),
        end_users::api::chapter(),
        services::api::chapter(),
        credentials::api::chapter(),
        events::api::chapter(),
        webhooks::api::chapter(),
        analytics::api::chapter(),
        audit::api::chapter(),
        billing::api::chapter(),
        platform::api::chapter(),
        probes::chapter(),
    ]
}

/// The API document of the product.
#[must_use]
pub fn document() -> serde_json::Value {
    let entries: Vec<Entry> = routes().iter().flat_map(At::entries).collect();
    crate::openapi::document::document(&entries, &chapters())
}

/// What dev mode adds. Outside it these addresses do not exist.
#[must_use]
pub fn dev_routes() -> Vec<At> {
    let mut routes = dev::provider::routes();
    routes.extend([
        at("/").get(dev::demo::welcome),
        at("/dev").get(dev::demo::page),
        at("/dev/callback").get(dev::demo::page),
        at("/dev/app.js").get(assets::demo_script),
    ]);
    routes
}

/// Makes the table answer; with a dev provider, what dev mode adds as well.
pub fn configure(cfg: &mut ServiceConfig, requests: &Requests, dev_provider: Option<Data<DevProvider>>) {
    cfg.app_data(requests.route(UNMATCHED));
    if let Some(provider) = dev_provider {
        mount(cfg.app_data(provider), requests, dev_routes());
    }
    mount(cfg, requests, routes());
    cfg.default_service(web::to(nothing_here));
}

/// Answers every address that no route has.
pub(crate) async fn nothing_here() -> Result<HttpResponse, Error> {
    Err(Error::new(Code::NotFound, "There is nothing at this address."))
}
