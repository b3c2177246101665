//! The organization that dev mode starts with.

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::organizations::{SeedOrganization, SeedService};

use crate::crypto::random::Random;
use crate::http::email;

/// Slug of the seeded organization.
pub const ORGANIZATION: &str = "demo";
/// Slug of the seeded web service.
pub const WEB_SERVICE: &str = "web";
/// Client id of the seeded web service.
pub const WEB_CLIENT: &str = "demo-web";
/// Client id of the seeded terminal service.
pub const TERMINAL_CLIENT: &str = "demo-cli";

/// An active organization with a web service and a terminal service. The platform owner also owns it: one sign-in as
/// that address shows everything there is to administer.
#[must_use]
pub fn organization(
    random: &Random,
    base_url: &str,
    platform_owner_email: Option<&str>,
    now: Millis,
) -> SeedOrganization {
    let service = |slug: &str, name: &str, service_type, client_id: &str, redirect_uris| SeedService {
        public_id: random.uuid(now),
        plan_public_id: random.uuid(now),
        slug: slug.to_owned(),
        name: name.to_owned(),
        service_type,
        client_id: client_id.to_owned(),
        redirect_uris,
    };
    // Loopback addresses take any port (RFC 8252, section 7.3), so an app under development needs no registration.
    let web_uris = vec![
        format!("{base_url}/dev/callback"),
        "http://127.0.0.1/callback".to_owned(),
        "http://[::1]/callback".to_owned(),
    ];
    SeedOrganization {
        public_id: random.uuid(now),
        slug: ORGANIZATION.to_owned(),
        name: "Demo organization".to_owned(),
        claim_email: platform_owner_email.and_then(email::normalize),
        services: vec![
            service(WEB_SERVICE, "Demo web app", "web", WEB_CLIENT, web_uris),
            service("cli", "Demo terminal", "desktop", TERMINAL_CLIENT, Vec::new()),
        ],
        now,
    }
}
