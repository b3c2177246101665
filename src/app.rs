//! The route table: every URL and its handler. Who may call it stands in the handler's signature.

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};

use crate::error::{Code, Error};
use crate::http::resource::at;
use crate::pages::assets;
use crate::{account, dev, device, health, login, oidc, services, sessions};

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
        .configure(service_routes)
        .default_service(web::to(nothing_here));
}

/// Services of an organization, their plans and secrets.
fn service_routes(cfg: &mut ServiceConfig) {
    cfg.service(
        at("/api/organizations/{org}/services")
            .post(services::handlers::create)
            .get(services::handlers::list)
            .done(),
    )
    .service(
        at("/api/organizations/{org}/services/{svc}")
            .get(services::handlers::show)
            .patch(services::handlers::update)
            .delete(services::handlers::delete)
            .done(),
    )
    .service(
        at("/api/organizations/{org}/services/{svc}/client-secret")
            .post(services::secrets::rotate)
            .delete(services::secrets::remove)
            .done(),
    )
    .service(
        at("/api/organizations/{org}/services/{svc}/plans")
            .post(services::plans::create)
            .get(services::plans::list)
            .done(),
    )
    .service(
        at("/api/organizations/{org}/services/{svc}/plans/{plan}")
            .patch(services::plans::update)
            .delete(services::plans::delete)
            .done(),
    );
}

/// What dev mode adds. Outside it these addresses do not exist.
pub fn dev_routes(cfg: &mut ServiceConfig) {
    cfg.configure(dev::provider::configure)
        .service(at("/dev").get(dev::demo::page).done())
        .service(at("/dev/callback").get(dev::demo::page).done())
        .service(at("/dev/app.js").get(assets::demo_script).done());
}

async fn nothing_here() -> Result<HttpResponse, Error> {
    Err(Error::new(Code::NotFound, "There is nothing at this address."))
}
