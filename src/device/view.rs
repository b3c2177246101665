//! Bodies and pages of device authorization.

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::device_codes::DeviceCode;
use serde::Serialize;

use crate::config::provider::ProviderKind;
use crate::http::redirect::with_params;
use crate::pages::{Place, ProviderChoice, ago};

/// RFC 8628, section 3.2.
#[derive(Serialize)]
pub(super) struct DeviceAuthorization {
    pub(super) device_code: String,
    pub(super) user_code: String,
    pub(super) verification_uri: String,
    pub(super) verification_uri_complete: String,
    pub(super) expires_in: i64,
    pub(super) interval: u32,
}

/// Who waits behind a user code, for tenants with an activation page of their own.
#[derive(Serialize)]
pub(super) struct Verified {
    pub(super) org_slug: String,
    pub(super) service_slug: String,
    pub(super) service_name: String,
    pub(super) client_id: String,
    pub(super) available_providers: Vec<&'static str>,
    pub(super) expires_in: i64,
}

pub(super) fn place(code: &DeviceCode, now: Millis) -> Place {
    Place::new(&code.requested_from, &code.user_agent, ago(now - code.created_at))
}

/// Links to every provider of the code's realm, each carrying the code.
pub(super) fn provider_choices(
    kinds: &[ProviderKind],
    code: &DeviceCode,
    user_code: &str,
) -> Vec<ProviderChoice> {
    let is_platform = code.org_id == gatehouse_actors::data::PLATFORM_ORG_ID;
    let link = |kind: &str| {
        if is_platform {
            with_params(&format!("/auth/admin/{kind}"), &[("user_code", user_code)])
        } else {
            let params =
                [("org", &*code.org_slug), ("service", &*code.service_slug), ("user_code", user_code)];
            with_params(&format!("/auth/{kind}"), &params)
        }
    };
    kinds
        .iter()
        .map(|kind| ProviderChoice {
            href: link(kind.as_str()),
            kind: kind.as_str(),
            label: kind.display_name().to_owned(),
        })
        .collect()
}
