//! The screens that people see: hosted pages for sign-in and device activation, and the demo app of dev mode.
//!
//! ```text
//! handler -> a struct of this module (plain data) -> respond() -> HTML with the headers of its Policy
//! ```
//! Askama escapes every value, so a page takes text as it is: callers never escape. Hosted pages hold no script,
//! and no inline style either, because their Content-Security-Policy would refuse both.
//!
//! A rule for handlers: never answer a form of these pages with a redirect to another origin. Browsers apply
//! `form-action` to the redirects that follow a submission, so it would be blocked. That is why providers are
//! chosen by links.

pub mod assets;
pub mod docs;
mod headers;
#[cfg(test)]
mod tests;
mod text;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::ContentType},
};
use askama::Template;

pub use headers::{Policy, page_headers};
pub use text::ago;
use text::filters;
pub(crate) use text::tame;

/// Answers with a hosted page: rendered HTML, `status`, and the headers of [`Policy::Hosted`].
pub fn respond(page: &impl Template, status: StatusCode) -> HttpResponse {
    respond_with(page, status, Policy::Hosted)
}

/// Like [`respond`], for the pages of dev mode that need another [`Policy`].
///
/// A page that does not render becomes a plain 500: the reader learns that it is our fault, the log says why.
pub fn respond_with(page: &impl Template, status: StatusCode, policy: Policy) -> HttpResponse {
    let (status, content_type, body) = match page.render() {
        Ok(html) => (status, ContentType::html(), html),
        Err(error) => {
            log::error!(error:% = error; "page does not render");
            let sentence = "This page could not be shown. Please try again in a moment.\n".to_owned();
            (StatusCode::INTERNAL_SERVER_ERROR, ContentType::plaintext(), sentence)
        }
    };
    let mut response = HttpResponse::build(status);
    for header in page_headers(policy) {
        response.insert_header(header);
    }
    response.insert_header(content_type).body(body)
}

/// `GET /activate`: asks for the user code of a waiting device (RFC 8628 section 3.3).
#[derive(Debug, Clone, Template)]
#[template(path = "enter_code.html")]
pub struct EnterCode {
    /// What the field holds at first: the code from `verification_uri_complete`, or what was typed before.
    pub prefilled: String,
    /// Why the last try did not work, as one sentence for the reader.
    pub error: Option<String>,
}

/// Where a request came from, as far as the server saw it. Helps a person to notice a stranger's device.
#[derive(Debug, Clone)]
pub struct Place {
    /// Network address of the asking device.
    pub address: String,
    /// What the device calls itself, already shortened; empty when it said nothing.
    pub user_agent: String,
    /// How long ago it asked, in words; see [`ago`].
    pub requested: String,
}

impl Place {
    /// Takes the values as the network delivered them: invisible and direction-changing characters are dropped
    /// and the length is bounded, because the asking device is the one party that may be hostile here.
    #[must_use]
    pub fn new(address: &str, user_agent: &str, requested: String) -> Self {
        Self { address: text::tame(address, 64), user_agent: text::tame(user_agent, 160), requested }
    }
}

/// One way to sign in, shown as a link.
#[derive(Debug, Clone)]
pub struct ProviderChoice {
    /// Where the link goes; on this origin.
    pub href: String,
    /// Which icon stands beside it: `github`, `google`, `microsoft`, `oidc` or `dev`. It is also the path
    /// segment of `/auth/{provider}` that the demo app uses.
    pub kind: &'static str,
    /// The provider's name, such as `GitHub`.
    pub label: String,
}

/// `GET /activate?user_code=`: shows who asks and from where, and lets the person choose how to sign in.
#[derive(Debug, Clone, Template)]
#[template(path = "choose_device_provider.html")]
pub struct ChooseDeviceProvider {
    /// The service that the device will be signed in to.
    pub service_name: String,
    /// The organization that runs the service.
    pub organization_name: String,
    /// The user code as it is shown, in two groups of four, to be compared with the device (RFC 8628 section 3.3.1).
    pub user_code: String,
    /// Where the device asked from.
    pub place: Place,
    /// The ways to sign in; none means that the service has no provider configured.
    pub providers: Vec<ProviderChoice>,
    /// Whether to offer typing another code.
    pub can_change_code: bool,
}

/// The last step of device activation: approve or deny, naming service, organization, account and place.
#[derive(Clone, Template)]
#[template(path = "confirm_device.html")]
pub struct ConfirmDevice {
    /// The service that the device will be signed in to.
    pub service_name: String,
    /// The organization that runs the service.
    pub organization_name: String,
    /// The user code as it is shown, in two groups of four.
    pub user_code: String,
    /// The account that the device will act as, by e-mail or name.
    pub account: String,
    /// The provider that the person just signed in with.
    pub account_provider: String,
    /// Where the device asked from.
    pub place: Place,
    /// The anti-forgery value of the hidden field `csrf`. A secret of this browser, hence no `Debug`.
    pub csrf: String,
}

/// What became of a device request.
#[derive(Debug, Clone, Template)]
#[template(path = "device_outcome.html")]
pub struct DeviceOutcome {
    /// True when the device was let in, false when it was turned away.
    pub approved: bool,
    /// The service that the request was for.
    pub service_name: String,
}

/// `GET /oauth/authorize` with several providers and no hint which: the person chooses.
#[derive(Debug, Clone, Template)]
#[template(path = "choose_provider.html")]
pub struct ChooseProvider {
    /// The service to sign in to.
    pub service_name: String,
    /// The organization that runs the service.
    pub organization_name: String,
    /// The ways to sign in.
    pub providers: Vec<ProviderChoice>,
}

/// One word of a scope and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeRow {
    /// The word itself.
    pub name: String,
    /// What it lets the service do, as the organization or this server describes it; may be empty.
    pub description: String,
}

/// `GET /oauth/consent`: may this service have what it asks for? Answer it with [`Policy::Handover`].
#[derive(Clone, Template)]
#[template(path = "consent.html")]
pub struct Consent {
    /// The service that asks.
    pub service_name: String,
    /// The organization that runs the service.
    pub organization_name: String,
    /// The account, by e-mail or name.
    pub account: String,
    /// The provider that the person signed in with.
    pub account_provider: String,
    /// What the service asks for.
    pub scopes: Vec<ScopeRow>,
    /// Whether it belongs to somebody else than the organization.
    pub is_third_party: bool,
    /// Where the person goes afterwards, as a host.
    pub destination: String,
    /// Names the question in the form.
    pub ticket: String,
    /// The anti-forgery value of the hidden field `csrf`. A secret of this browser, hence no `Debug`.
    pub csrf: String,
}

/// The script of [`FormPost`]. Its hash stands in [`Policy::FormPost`].
pub(crate) const FORM_POST_SCRIPT: &str = "document.forms[0].submit()";

/// The answer to an app as a form that posts itself, or is posted by a button where scripts do not run. Answer it with
/// [`Policy::FormPost`]. Holds codes, hence no `Debug`.
#[derive(Clone, Template)]
#[template(path = "form_post.html")]
pub struct FormPost {
    /// The app's redirect URI.
    pub action: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

/// `GET /invitations/accept?token=`: who invites whom to what, and how to go on.
#[derive(Debug, Clone, Template)]
#[template(path = "invitation.html")]
pub struct InvitationPage {
    /// The organization that invites.
    pub organization_name: String,
    /// `admin` or `member`.
    pub role: &'static str,
    /// The address of who invites.
    pub inviter: String,
    /// The address that is invited.
    pub email: String,
    /// When the invitation ends, in words.
    pub expires: String,
    /// The ways to sign in.
    pub providers: Vec<ProviderChoice>,
}

/// The last step: accept or decline, naming organization, role, inviter and account.
#[derive(Clone, Template)]
#[template(path = "confirm_invitation.html")]
pub struct ConfirmInvitation {
    /// The organization that invites.
    pub organization_name: String,
    /// `admin` or `member`.
    pub role: &'static str,
    /// The address of who invites.
    pub inviter: String,
    /// The verified address of the account that will be the member.
    pub account: String,
    /// The anti-forgery value of the hidden field `csrf`. A secret of this browser, hence no `Debug`.
    pub csrf: String,
}

/// 403: the account that signed in is not the one that is invited.
#[derive(Debug, Clone, Template)]
#[template(path = "invitation_wrong_account.html")]
pub struct InvitationWrongAccount {
    /// The organization that invites.
    pub organization_name: String,
    /// The address that is invited.
    pub email: String,
    /// The verified address of the account that signed in; none when it has none.
    pub account: Option<String>,
}

/// What became of an invitation.
#[derive(Debug, Clone, Template)]
#[template(path = "invitation_outcome.html")]
pub struct InvitationOutcome {
    /// True when it was accepted, false when it was declined.
    pub accepted: bool,
    /// The organization that invited.
    pub organization_name: String,
    /// `admin` or `member`.
    pub role: &'static str,
}

/// Linking, step 2: sign in once more as the user to link to.
#[derive(Debug, Clone, Template)]
#[template(path = "prove_link.html")]
pub struct ProveLink {
    /// What the new account is known by.
    pub new_account: String,
    /// The provider that it is at.
    pub new_provider: String,
    /// What the user to link to is known by.
    pub account: String,
    /// The organization that the user belongs to.
    pub organization: String,
    /// The ways in which the user signs in.
    pub providers: Vec<ProviderChoice>,
}

/// Linking, step 3: link or not, naming both accounts.
#[derive(Clone, Template)]
#[template(path = "confirm_link.html")]
pub struct ConfirmLink {
    /// What the new account is known by.
    pub new_account: String,
    /// The provider that it is at.
    pub new_provider: String,
    /// What the user to link to is known by.
    pub account: String,
    /// The organization that the user belongs to.
    pub organization: String,
    /// The anti-forgery value of the hidden field `csrf`. A secret of this browser, hence no `Debug`.
    pub csrf: String,
}

/// What became of linking.
#[derive(Debug, Clone, Template)]
#[template(path = "link_outcome.html")]
pub struct LinkOutcome {
    /// Whether the accounts are linked.
    pub linked: bool,
    /// The provider of the new account.
    pub provider: String,
    /// What the user is known by.
    pub account: String,
}

/// `GET /oauth/logout` when nothing proves that the person asked: do you want to sign out? Answer it with
/// [`Policy::Handover`].
#[derive(Clone, Template)]
#[template(path = "sign_out.html")]
pub struct SignOutQuestion {
    /// The service that sent the person here, if one did.
    pub service_name: Option<String>,
    /// The anti-forgery value of the hidden field `csrf`. A secret of this browser, hence no `Debug`.
    pub csrf: String,
}

/// The person is signed out, or chose to stay.
#[derive(Debug, Clone, Template)]
#[template(path = "signed_out.html")]
pub struct SignedOut {
    /// False when the person chose to stay signed in.
    pub signed_out: bool,
}

/// Any failure that a person sees, such as a redirect URI that is not registered or a login that expired.
#[derive(Debug, Clone, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    /// HTTP status of the answer.
    pub status: u16,
    /// What happened, in a few words.
    pub title: String,
    /// What it means and what to do, in one or two sentences.
    pub message: String,
    /// The request id, to be quoted to support.
    pub request_id: String,
    /// A way on: link target on this origin, and its text.
    pub action: Option<(String, String)>,
}

/// 409: another account of this organization already proved this e-mail address (docs/adr/0008). The two
/// are not merged, because whoever controls the second provider would take over the first account.
#[derive(Debug, Clone, Template)]
#[template(path = "email_in_use.html")]
pub struct EmailInUse {
    /// The verified address that both sign-ins share.
    pub email: String,
    /// Name of the provider that the existing account signs in with.
    pub existing_provider: String,
    /// Name of the provider that was tried just now.
    pub attempted_provider: String,
}

/// `GET /dev` and `GET /dev/callback`, dev mode only: a small relying party that runs in the browser.
/// Answer it with [`Policy::Demo`].
#[derive(Debug, Clone, Template)]
#[template(path = "dev_demo.html")]
pub struct DevDemo {
    /// The issuer, `BASE_URL`, without a trailing slash.
    pub base_url: String,
    /// Slug of the seeded organization.
    pub organization: String,
    /// Slug of the seeded web service.
    pub service: String,
    /// `client_id` of the seeded web service.
    pub client_id: String,
    /// `client_id` of the seeded terminal service.
    pub terminal_client_id: String,
    /// The ways to sign in; `href` is unused, the script builds the address with PKCE.
    pub providers: Vec<ProviderChoice>,
}
