//! One table of errors. Which rendering a client gets is decided by `http::dialect`.

use std::borrow::Cow;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use gatehouse_actors::error::{OpError, StoreError};

/// Declares the codes and their table in one, so that neither can lack what the other has.
macro_rules! codes {
    ($($code:ident: $status:ident, $name:literal, $oauth:literal;)+) => {
        /// The stable code of an error. Clients rely on it; `docs/errors.md` explains each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)] // the names are the documentation; docs/errors.md has the table
        pub enum Code {
            $($code),+
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$code),+];

            /// Name, status and the RFC 6749 / RFC 8628 error code.
            #[must_use]
            pub fn row(self) -> (&'static str, StatusCode, &'static str) {
                match self {
                    $(Self::$code => ($name, StatusCode::$status, $oauth)),+
                }
            }
        }
    };
}

codes! {
    BadRequest: BAD_REQUEST, "BAD_REQUEST", "invalid_request";
    ValidationFailed: BAD_REQUEST, "VALIDATION_FAILED", "invalid_request";
    DeviceCodePending: BAD_REQUEST, "DEVICE_CODE_PENDING", "authorization_pending";
    SlowDown: BAD_REQUEST, "SLOW_DOWN", "slow_down";
    DeviceCodeExpired: BAD_REQUEST, "DEVICE_CODE_EXPIRED", "expired_token";
    AccessDenied: BAD_REQUEST, "ACCESS_DENIED", "access_denied";
    InvalidGrant: BAD_REQUEST, "INVALID_GRANT", "invalid_grant";
    UnsupportedGrantType: BAD_REQUEST, "UNSUPPORTED_GRANT_TYPE", "unsupported_grant_type";
    InvitationExpired: BAD_REQUEST, "INVITATION_EXPIRED", "invalid_request";
    ServiceLimitExceeded: BAD_REQUEST, "SERVICE_LIMIT_EXCEEDED", "invalid_request";
    TeamLimitExceeded: BAD_REQUEST, "TEAM_LIMIT_EXCEEDED", "invalid_request";
    Unauthorized: UNAUTHORIZED, "UNAUTHORIZED", "invalid_token";
    TokenExpired: UNAUTHORIZED, "TOKEN_EXPIRED", "invalid_token";
    JwtError: UNAUTHORIZED, "JWT_ERROR", "invalid_token";
    InvalidClient: UNAUTHORIZED, "INVALID_CLIENT", "invalid_client";
    Forbidden: FORBIDDEN, "FORBIDDEN", "access_denied";
    OrganizationNotActive: FORBIDDEN, "ORGANIZATION_NOT_ACTIVE", "access_denied";
    NotFound: NOT_FOUND, "NOT_FOUND", "invalid_request";
    MethodNotAllowed: METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "invalid_request";
    Conflict: CONFLICT, "CONFLICT", "invalid_request";
    ReauthorizationRequired: CONFLICT, "REAUTHORIZATION_REQUIRED", "interaction_required";
    RequestTimeout: REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "invalid_request";
    PayloadTooLarge: PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", "invalid_request";
    UriTooLong: URI_TOO_LONG, "URI_TOO_LONG", "invalid_request";
    UnsupportedMediaType: UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", "invalid_request";
    RateLimited: TOO_MANY_REQUESTS, "RATE_LIMITED", "invalid_request";
    HeadersTooLarge: REQUEST_HEADER_FIELDS_TOO_LARGE, "HEADERS_TOO_LARGE", "invalid_request";
    InternalServerError: INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR", "server_error";
    OAuthError: BAD_GATEWAY, "OAUTH_ERROR", "server_error";
    ServiceUnavailable: SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", "temporarily_unavailable";
}

/// What goes wrong while a request is served.
#[derive(Debug, Clone)]
pub struct Error {
    /// The stable code.
    pub code: Code,
    /// A sentence that a person can act on. Never internal text, never a secret.
    pub message: Cow<'static, str>,
    /// Where the RFC asks for a more precise code than the table's.
    pub oauth_error: Option<&'static str>,
    /// The fields at fault, for `VALIDATION_FAILED`.
    pub fields: Vec<&'static str>,
    /// Seconds after which it makes sense to try again.
    pub retry_after: Option<u32>,
    /// Nothing failed: more came than there is room for.
    pub for_load: bool,
    /// What few errors have. Boxed, so that every result stays small.
    pub more: Option<Box<More>>,
    /// What the log should say beyond the code. Never sent.
    pub internal: Option<String>,
}

/// What few errors have.
#[derive(Debug, Clone, Default)]
pub struct More {
    /// The methods that the resource has, for 405.
    pub allow: Option<String>,
    /// One more member of the body, such as an address to go on at.
    pub member: Option<(&'static str, String)>,
}

impl Error {
    /// An error with the table's own status and RFC code.
    #[must_use]
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            oauth_error: None,
            fields: Vec::new(),
            retry_after: None,
            for_load: false,
            more: None,
            internal: None,
        }
    }

    /// A malformed request: `invalid_request` on OAuth routes.
    #[must_use]
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// Fields that are missing or wrong.
    #[must_use]
    pub fn invalid(field: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { fields: vec![field], ..Self::new(Code::ValidationFailed, message) }
    }

    /// A grant that leads to nothing. One sentence for all causes: which one it was is no business of the presenter.
    #[must_use]
    pub fn invalid_grant(message: &'static str) -> Self {
        Self::new(Code::InvalidGrant, message)
    }

    /// The organization is not active.
    #[must_use]
    pub fn not_active(status: &str) -> Self {
        Self::new(Code::OrganizationNotActive, format!("The organization is {status}, not active."))
    }

    /// A defect of ours. The client learns nothing but the request id.
    #[must_use]
    pub fn internal(detail: impl fmt::Display) -> Self {
        let message = "Something went wrong on our side. The request id helps us to find out what.";
        Self { internal: Some(detail.to_string()), ..Self::new(Code::InternalServerError, message) }
    }

    /// Says when to come back.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Says that nothing failed but that there was no room, which the log tells in sum (`http::overload`).
    #[must_use]
    pub fn for_load(self) -> Self {
        Self { for_load: true, ..self }
    }

    /// Names the RFC's own code.
    #[must_use]
    pub fn oauth(self, oauth_error: &'static str) -> Self {
        Self { oauth_error: Some(oauth_error), ..self }
    }

    /// The `error` member of an OAuth answer.
    #[must_use]
    pub fn oauth_code(&self) -> &'static str {
        self.oauth_error.unwrap_or(self.code.row().2)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.row().0, self.message)
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        self.code.row().1
    }

    /// The body comes from `http::dialect`, which knows the route.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy
            | StoreError::Locked
            | StoreError::Closed
            | StoreError::Failed(_)
            | StoreError::Conflict(_) => Self {
                for_load: error == StoreError::Busy,
                internal: Some(error.to_string()),
                ..Self::new(Code::ServiceUnavailable, "The service is busy. Try again in a moment.")
                    .retry_after(2)
            },
            StoreError::Panicked | StoreError::Constraint(_) | StoreError::Inconsistent { .. } => {
                Self::internal(error)
            }
        }
    }
}

impl Error {
    /// Turns the failure of a write into an error, with the caller's words for each refusal.
    pub fn from_op<R>(error: OpError<R>, refused: impl FnOnce(R) -> Self) -> Self {
        match error {
            OpError::Refused(reason) => refused(reason),
            OpError::Store(error) => error.into(),
        }
    }
}
