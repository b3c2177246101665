//! The security headers of every page, in one place.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};

const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");

/// Shared by the three policies: nothing is allowed but our own stylesheet and inline pictures.
macro_rules! csp {
    ($form_action:literal $(, $more:literal)*) => {
        concat!(
            "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action ", $form_action,
            "; base-uri 'none'; frame-ancestors 'none'" $(, "; ", $more)*
        )
    };
}

/// What a page may do in the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Hosted pages: no script at all, forms only to this origin.
    Hosted,
    /// The demo app of dev mode: also its own script, and requests to this origin.
    Demo,
    /// The sign-in form of the dev provider. Its submission ends, after redirects, at the app that is being
    /// developed, which is another origin; browsers hold `form-action` against those redirects, so it is open to
    /// any http or https address (a host list could not name `[::1]`).
    DevProvider,
}

impl Policy {
    fn content_security(self) -> &'static str {
        match self {
            Self::Hosted => csp!("'self'"),
            Self::Demo => csp!(
                "'self'",
                "script-src 'self'",
                "connect-src 'self'",
                "require-trusted-types-for 'script'",
                "trusted-types 'none'"
            ),
            Self::DevProvider => csp!("'self' http: https:"),
        }
    }
}

/// The headers that every page carries, whatever its status. Content-Type is not among them.
#[must_use]
pub fn page_headers(policy: Policy) -> [(HeaderName, &'static str); 7] {
    [
        // Pages show codes, accounts and anti-forgery values: RFC 9111 section 5.2.2.5.
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, policy.content_security()),
        // Tells other origins nothing, as `no-referrer` would; but under `no-referrer` browsers send `Origin: null`
        // with our own forms (Fetch, "append a request `Origin` header"), and the Origin check would refuse them.
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // For browsers that do not know frame-ancestors: a framed approve button can be clicked unknowingly.
        (X_FRAME_OPTIONS, "DENY"),
        (PERMISSIONS, "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()"),
        (COOP, "same-origin"),
    ]
}
