//! One table of errors. Which rendering a client gets is decided by `http::dialect`.

use std::borrow::Cow;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use gatehouse_actors::error::{OpError, StoreError};

/// The stable code of an error, as in the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the documentation; the contract has the table
pub enum Code {
    BadRequest,
    ValidationFailed,
    DeviceCodePending,
    SlowDown,
    DeviceCodeExpired,
    AccessDenied,
    InvalidGrant,
    UnsupportedGrantType,
    Unauthorized,
    TokenExpired,
    JwtError,
    InvalidClient,
    Forbidden,
    OrganizationNotActive,
    NotFound,
    MethodNotAllowed,
    Conflict,
    ServiceLimitExceeded,
    PayloadTooLarge,
    UnsupportedMediaType,
    RateLimited,
    InternalServerError,
    OAuthError,
    ServiceUnavailable,
}

impl Code {
    /// Name, status and the RFC 6749 / RFC 8628 error code: the whole table.
    #[must_use]
    pub fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::BadRequest => ("BAD_REQUEST", StatusCode::BAD_REQUEST, "invalid_request"),
            Self::ValidationFailed => ("VALIDATION_FAILED", StatusCode::BAD_REQUEST, "invalid_request"),
            Self::DeviceCodePending => {
                ("DEVICE_CODE_PENDING", StatusCode::BAD_REQUEST, "authorization_pending")
            }
            Self::SlowDown => ("SLOW_DOWN", StatusCode::BAD_REQUEST, "slow_down"),
            Self::DeviceCodeExpired => ("DEVICE_CODE_EXPIRED", StatusCode::BAD_REQUEST, "expired_token"),
            Self::AccessDenied => ("ACCESS_DENIED", StatusCode::BAD_REQUEST, "access_denied"),
            Self::InvalidGrant => ("INVALID_GRANT", StatusCode::BAD_REQUEST, "invalid_grant"),
            Self::UnsupportedGrantType => {
                ("UNSUPPORTED_GRANT_TYPE", StatusCode::BAD_REQUEST, "unsupported_grant_type")
            }
            Self::Unauthorized => ("UNAUTHORIZED", StatusCode::UNAUTHORIZED, "invalid_token"),
            Self::TokenExpired => ("TOKEN_EXPIRED", StatusCode::UNAUTHORIZED, "invalid_token"),
            Self::JwtError => ("JWT_ERROR", StatusCode::UNAUTHORIZED, "invalid_token"),
            Self::InvalidClient => ("INVALID_CLIENT", StatusCode::UNAUTHORIZED, "invalid_client"),
            Self::Forbidden => ("FORBIDDEN", StatusCode::FORBIDDEN, "access_denied"),
            Self::OrganizationNotActive => {
                ("ORGANIZATION_NOT_ACTIVE", StatusCode::FORBIDDEN, "access_denied")
            }
            Self::NotFound => ("NOT_FOUND", StatusCode::NOT_FOUND, "invalid_request"),
            Self::MethodNotAllowed => {
                ("METHOD_NOT_ALLOWED", StatusCode::METHOD_NOT_ALLOWED, "invalid_request")
            }
            Self::Conflict => ("CONFLICT", StatusCode::CONFLICT, "invalid_request"),
            Self::ServiceLimitExceeded => {
                ("SERVICE_LIMIT_EXCEEDED", StatusCode::BAD_REQUEST, "invalid_request")
            }
            Self::PayloadTooLarge => ("PAYLOAD_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE, "invalid_request"),
            Self::UnsupportedMediaType => {
                ("UNSUPPORTED_MEDIA_TYPE", StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request")
            }
            Self::RateLimited => ("RATE_LIMITED", StatusCode::TOO_MANY_REQUESTS, "slow_down"),
            Self::InternalServerError => {
                ("INTERNAL_SERVER_ERROR", StatusCode::INTERNAL_SERVER_ERROR, "server_error")
            }
            Self::OAuthError => ("OAUTH_ERROR", StatusCode::BAD_GATEWAY, "server_error"),
            Self::ServiceUnavailable => {
                ("SERVICE_UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
            }
        }
    }
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
    /// The methods that the resource has, for 405.
    pub allow: Option<Box<str>>,
    /// What the log should say beyond the code. Never sent.
    pub internal: Option<String>,
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
            allow: None,
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
            StoreError::Busy | StoreError::Closed | StoreError::Failed(_) | StoreError::Conflict(_) => Self {
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
