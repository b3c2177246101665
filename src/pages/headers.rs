//! The security headers of every page, in one place.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};

const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");

/// Shared by all policies: nothing is allowed but our own stylesheet and inline pictures.
macro_rules! csp {
    ($($more:literal),*) => {
        concat!(
            "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
            $(, "; ", $more)*
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
    /// A form whose answer leads to an app. Browsers hold `form-action` also against the redirects that follow, those
    /// of the app among them, and a list could name neither them nor the schemes of native apps; so there is none.
    Handover,
    /// The form that posts an answer to an app: the same, and the one script that sends it, by its hash.
    FormPost,
}

impl Policy {
    fn content_security(self) -> &'static str {
        match self {
            Self::Hosted => csp!("form-action 'self'"),
            Self::Demo => csp!(
                "form-action 'self'",
                "script-src 'self'",
                "connect-src 'self'",
                "require-trusted-types-for 'script'",
                "trusted-types 'none'"
            ),
            Self::DevProvider => csp!("form-action 'self' http: https:"),
            Self::Handover => csp!(),
            Self::FormPost => csp!("script-src 'sha256-ePniVEkSivX/c7XWBGafqh8tSpiRrKiqYeqbG7N1TOE='"),
        }
    }

    fn referrer(self) -> &'static str {
        match self {
            // Tells other origins nothing, as `no-referrer` would; but under `no-referrer` browsers send `Origin: null`
            // with our own forms (Fetch, "append a request `Origin` header"), and the Origin check would refuse them.
            Self::Hosted | Self::Demo | Self::DevProvider | Self::Handover => "same-origin",
            // The form goes to another origin, which may want to see ours, and no more than that.
            Self::FormPost => "strict-origin",
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
        (REFERRER_POLICY, policy.referrer()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // For browsers that do not know frame-ancestors: a framed approve button can be clicked unknowingly.
        (X_FRAME_OPTIONS, "DENY"),
        (PERMISSIONS, "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()"),
        (COOP, "same-origin"),
    ]
}
