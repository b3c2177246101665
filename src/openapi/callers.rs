//! What follows from who may call: the security scheme, a sentence, and the refusals of the guard.

use serde_json::{Value, json};

use super::operation::{Clients, Operation};
use crate::error::Code;

/// What a caller of the route table means in the document.
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    /// Who may call, for a person.
    pub who: &'static str,
    /// Whether an access token is needed, may be sent, or is of no use.
    pub token: Token,
    /// How it refuses.
    pub errors: &'static [Code],
}

/// The part of an access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// None is looked at.
    None,
    /// One may be sent.
    May,
    /// One must be sent.
    Must,
}

/// How the strictest guard refuses. A milder one has fewer ways: it leaves out the last of these.
const IN_ORGANIZATION: &[Code] = &[
    Code::BadRequest,
    Code::Unauthorized,
    Code::JwtError,
    Code::TokenExpired,
    Code::ServiceUnavailable,
    Code::OrganizationNotActive,
    Code::Forbidden,
    Code::NotFound,
];
const REALM: &[Code] = IN_ORGANIZATION.split_at(7).0;
const SIGNED_IN: &[Code] = IN_ORGANIZATION.split_at(6).0;
const HOLDER: &[Code] = IN_ORGANIZATION.split_at(5).0;

/// What a caller of the route table means; none for one that nobody described.
#[must_use]
pub fn guard(caller: &str, method: &str) -> Option<Guard> {
    let must = |who, errors| Some(Guard { who, token: Token::Must, errors });
    let reads = method == "GET";
    match caller {
        "Scraper" => Some(Guard {
            who: "Whoever the operator lets scrape; see docs/configuration.md.",
            token: Token::None,
            errors: &[Code::NotFound, Code::Unauthorized, Code::Forbidden],
        }),
        "Anonymous" => Some(Guard { who: "Anybody.", token: Token::None, errors: &[] }),
        "TokenHolder" => must(
            "The holder of a genuine access token that has not expired, even if its session ended.",
            HOLDER,
        ),
        "SignedIn" => must("Any signed-in user.", SIGNED_IN),
        "Bearer" => must(
            "The holder of an access token with the scope `openid`, in the header or in the form.",
            REALM,
        ),
        "ServiceUser" => {
            must("A user signed in to a service. A token of the management API is refused.", REALM)
        }
        "Administrator" => {
            must("Anybody signed in to the management API. A token made for a service is refused.", REALM)
        }
        "MaybeAdministrator" => Some(Guard {
            who: "Anybody, or somebody signed in to the management API.",
            token: Token::May,
            errors: REALM,
        }),
        "PlatformOwner" => must("Platform owners.", REALM),
        "AnyMember" if reads => {
            must("Members of the organization; platform owners, audited.", IN_ORGANIZATION)
        }
        "AnyMember" => must("Members of the organization.", IN_ORGANIZATION),
        "AnyMember, Active" if reads => must(
            "Members of the organization, while it is active; platform owners, audited.",
            IN_ORGANIZATION,
        ),
        "AnyMember, Active" => must("Members of the organization, while it is active.", IN_ORGANIZATION),
        "AtLeastAdmin" if reads => {
            must("Admins and the owner of the organization; platform owners, audited.", IN_ORGANIZATION)
        }
        "AtLeastAdmin" => must("Admins and the owner of the organization.", IN_ORGANIZATION),
        "AtLeastAdmin, Active" => {
            must("Admins and the owner of the organization, while it is active.", IN_ORGANIZATION)
        }
        "OnlyOwner" => must("The owner of the organization.", IN_ORGANIZATION),
        "OnlyOwner, Active" => must("The owner of the organization, while it is active.", IN_ORGANIZATION),
        _ => None,
    }
}

/// The `security` of an operation.
#[must_use]
pub fn security(guard: Guard, operation: &Operation) -> Value {
    let confidential = [
        json!({ "clientSecretBasic": [] }),
        json!({ "clientSecretPost": [] }),
        json!({ "privateKeyJwt": [] }),
    ];
    let [basic, by_post, by_key] = confidential;
    if operation.path.starts_with("/webhooks/stripe") {
        return json!([{ "stripeSignature": [] }]);
    }
    match (operation.clients, guard.token) {
        (Clients::Confidential, _) => json!([basic, by_post, by_key]),
        (Clients::Any | Clients::Optional, _) => json!([{}, basic, by_post, by_key]),
        (Clients::None, Token::Must) => json!([{ "accessToken": [] }, { "dpop": [], "dpopProof": [] }]),
        (Clients::None, Token::May) => json!([{}, { "accessToken": [] }, { "dpop": [], "dpopProof": [] }]),
        (Clients::None, Token::None) if uses_session(operation.path) => json!([{}, { "browserSession": [] }]),
        (Clients::None, Token::None) => json!([]),
    }
}

/// Pages that know the browser by its cookie.
fn uses_session(path: &str) -> bool {
    ["/oauth/authorize", "/oauth/consent", "/oauth/logout"].iter().any(|prefix| path.starts_with(prefix))
}

/// The security schemes.
#[must_use]
pub fn schemes() -> Value {
    json!({
        "accessToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT (RFC 9068)",
            "description": "An access token: `Authorization: Bearer …` (RFC 6750). It lives 15 minutes and is void as \
                soon as its session ends.",
        },
        "dpop": {
            "type": "http",
            "scheme": "DPoP",
            "description": "An access token that is bound to a key: `Authorization: DPoP …`, beside a proof (RFC 9449).",
        },
        "dpopProof": {
            "type": "apiKey",
            "in": "header",
            "name": "DPoP",
            "description": "A proof of the key: a JWT for this method and address, made now (RFC 9449, section 4).",
        },
        "clientSecretBasic": {
            "type": "http",
            "scheme": "basic",
            "description": "`client_id` and `client_secret` of a confidential client, both form-encoded (RFC 6749, \
                section 2.3.1).",
        },
        "clientSecretPost": {
            "type": "oauth2",
            "description": "`client_id` and `client_secret` as parameters of the body (RFC 6749, section 2.3.1).",
            "flows": { "clientCredentials": { "tokenUrl": "/oauth/token", "scopes": {} } },
        },
        "privateKeyJwt": {
            "type": "oauth2",
            "description": "`client_assertion_type` and `client_assertion` as parameters of the body: a JWT signed with \
                a registered key (RFC 7523).",
            "flows": { "clientCredentials": { "tokenUrl": "/oauth/token", "scopes": {} } },
        },
        "browserSession": {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-gatehouse-session",
            "description": "The session of a browser, set by hosted pages, one for each realm. No app ever sees it.",
        },
        "stripeSignature": {
            "type": "apiKey",
            "in": "header",
            "name": "Stripe-Signature",
            "description": "`t=…,v1=…`: HMAC-SHA256 of the moment and the body with the webhook's secret; 300 s old at \
                most.",
        },
    })
}
