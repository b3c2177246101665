//! Sign-ins that led to nothing, noted for the organization's analytics.

use actix_web::HttpRequest;
use gatehouse_actors::data::device_codes::DeviceCodeRefusal;
use gatehouse_actors::data::login_events::NoteFailedSignIn;
use gatehouse_actors::data::sign_in::SignInRefusal;

use super::state::{LoginState, Purpose};
use crate::http::address::seen_from;
use crate::state::App;
use crate::upstream::UpstreamError;

/// Notes that a sign-in failed. What the browser is told does not depend on whether this succeeds.
pub(super) async fn note(app: &App, request: &HttpRequest, login: &LoginState, reason: &'static str) {
    app.meters.sign_ins.failed(&login.provider, reason);
    let now = app.clock.now();
    let note = NoteFailedSignIn {
        public_id: app.random.uuid(now),
        org_id: login.org_id,
        service_id: login.service_id,
        provider: login.provider.clone(),
        method: match login.purpose {
            Purpose::Device { .. } => "device",
            Purpose::Web(_) | Purpose::Invitation { .. } | Purpose::Link { .. } | Purpose::LinkProof => "web",
        },
        seen_from: seen_from(app, request),
        reason,
        now,
    };
    if let Err(error) = app.store.write(note).await {
        log::warn!(reason:% = error; "a failed sign-in was not noted");
    }
}

/// The provider came back with an error instead of a code (RFC 6749, section 4.1.2.1).
pub(super) fn of_provider_error(error: Option<&str>) -> &'static str {
    match error {
        None | Some("access_denied") => "cancelled",
        Some(_) => "provider_refused",
    }
}

/// The provider could not be asked, or did not confirm.
pub(super) fn of_upstream(error: &UpstreamError) -> &'static str {
    match error {
        UpstreamError::Refused { .. } | UpstreamError::IdToken(_) | UpstreamError::WrongIssuer => {
            "provider_refused"
        }
        _ => "provider_failed",
    }
}

/// The person is known to the provider and is not let in here.
pub(super) fn of_refusal(refusal: &SignInRefusal) -> &'static str {
    match refusal {
        SignInRefusal::ServiceGone => "service_gone",
        SignInRefusal::OrganizationNotActive(_)
        | SignInRefusal::DeviceCode(DeviceCodeRefusal::OrganizationNotActive) => "organization_not_active",
        SignInRefusal::CredentialChanged => "credential_changed",
        SignInRefusal::EmailInUse(_) => "email_in_use",
        SignInRefusal::OtherUser => "other_user",
        SignInRefusal::DeviceCode(DeviceCodeRefusal::Expired) => "code_expired",
        SignInRefusal::DeviceCode(DeviceCodeRefusal::Decided) => "code_used",
        SignInRefusal::DeviceCode(DeviceCodeRefusal::ClaimedByOther) => "code_claimed_by_other",
    }
}
