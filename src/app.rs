//! The route table: every URL and its handler. Who may call it stands in the handler's signature.

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};

use crate::error::{Code, Error};
use crate::http::resource::at;
use crate::pages::assets;
use crate::{account, audit, dev, device, end_users, health, login, members, oidc, orgs, platform, sessions};

/// Every route of the product. Literal paths stand before the patterns that would swallow them.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(at("/health/live").get(health::live).done())
        .service(at("/health/ready").get(health::ready).done())
        .service(at("/health").get(health::ready).done())
        .service(at("/.well-known/jwks.json").get(oidc::jwks).done())
        .service(at("/.well-known/openid-configuration").get(oidc::metadata).done())
        .service(at("/.well-known/oauth-authorization-server").get(oidc::metadata).done())
        .service(at("/assets/gatehouse.css").get(assets::stylesheet).done())
        // Tokens.
        .service(at("/auth/token").post(sessions::handlers::token).done())
        .service(at("/oauth/token").post(sessions::handlers::token).done())
        .service(at("/api/auth/refresh").post(sessions::handlers::refresh).done())
        .service(at("/api/auth/logout").post(sessions::handlers::logout).done())
        // Devices.
        .service(at("/auth/device/code").post(device::handlers::issue).done())
        .service(at("/oauth/device_authorization").post(device::handlers::issue).done())
        .service(at("/auth/device/verify").post(device::handlers::verify).done())
        .service(at("/activate").get(device::handlers::activate).done())
        .service(at("/activate/confirm").get(device::handlers::confirm).post(device::handlers::decide).done())
        // Sign-in in the browser.
        .service(
            at("/oauth/authorize")
                .get(login::handlers::authorize)
                .post(login::handlers::authorize_by_form)
                .done(),
        )
        .service(at("/auth/admin/{provider}").get(login::handlers::start_admin).done())
        .service(at("/auth/admin/{provider}/callback").get(login::handlers::callback_admin).done())
        .service(at("/auth/{provider}").get(login::handlers::start).done())
        .service(at("/auth/{provider}/callback").get(login::handlers::callback).done())
        // The signed-in user.
        .service(at("/api/user").get(account::user).done())
        .configure(organizations)
        .configure(platform_owners)
        .default_service(web::to(nothing_here));
}

/// Organizations, their teams and their users.
fn organizations(cfg: &mut ServiceConfig) {
    cfg.service(at("/api/organizations").get(orgs::handlers::list).post(orgs::handlers::register).done())
        .service(
            at("/api/organizations/{org}").get(orgs::handlers::show).patch(orgs::handlers::rename).done(),
        )
        .service(at("/api/organizations/{org}/transfer-ownership").post(members::handlers::transfer).done())
        .service(at("/api/organizations/{org}/members").get(members::handlers::list).done())
        .service(
            at("/api/organizations/{org}/members/transfer-ownership")
                .post(members::handlers::transfer)
                .done(),
        )
        .service(
            at("/api/organizations/{org}/members/{user_id}")
                .patch(members::handlers::change_role)
                .post(members::handlers::remove)
                .delete(members::handlers::remove)
                .done(),
        )
        .service(at("/api/organizations/{org}/users").get(end_users::handlers::list).done())
        .service(
            at("/api/organizations/{org}/users/{user_id}")
                .get(end_users::handlers::show)
                .delete(end_users::handlers::erase)
                .done(),
        )
        .service(
            at("/api/organizations/{org}/users/{user_id}/sessions")
                .delete(end_users::handlers::sign_out)
                .done(),
        );
}

/// The platform, for its owners, and the audit log.
fn platform_owners(cfg: &mut ServiceConfig) {
    use platform::{handlers, owners};
    cfg.service(at("/api/platform/tiers").get(handlers::tiers).done())
        .service(at("/api/platform/organizations").get(handlers::list).done())
        .service(at("/api/platform/organizations/{id}/approve").post(handlers::approve).done())
        .service(at("/api/platform/organizations/{id}/reject").post(handlers::reject).done())
        .service(at("/api/platform/organizations/{id}/suspend").post(handlers::suspend).done())
        .service(at("/api/platform/organizations/{id}/activate").post(handlers::activate).done())
        .service(at("/api/platform/organizations/{id}/tier").patch(handlers::set_tier).done())
        .service(at("/api/platform/owners").post(owners::appoint).done())
        .service(at("/api/platform/owners/{user_id}").delete(owners::demote).done())
        .service(at("/api/platform/audit-log").get(audit::handlers::of_platform).done())
        .service(at("/api/organizations/{org}/audit-log").get(audit::handlers::of_organization).done());
}

/// What dev mode adds. Outside it these addresses do not exist.
pub fn dev_routes(cfg: &mut ServiceConfig) {
    cfg.configure(dev::provider::configure)
        .service(at("/").get(dev::demo::welcome).done())
        .service(at("/dev").get(dev::demo::page).done())
        .service(at("/dev/callback").get(dev::demo::page).done())
        .service(at("/dev/app.js").get(assets::demo_script).done());
}

async fn nothing_here() -> Result<HttpResponse, Error> {
    Err(Error::new(Code::NotFound, "There is nothing at this address."))
}
