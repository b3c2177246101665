//! Every route of the table, one row each: method, path, guard as the handler's signature says, and what a caller that
//! is let in gets. A new route is a new row; a new guard is two lines in `guards.rs`; a new kind of `{parameter}` is an
//! arm in `Tenant::fill`.

use super::guards::{Status, Who};

/// One route.
pub(crate) struct Row {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) guard: &'static str,
    /// What is sent. Nothing to GET; else an empty JSON object under `/api/`, an empty form elsewhere.
    pub(crate) body: Option<&'static str>,
    /// The status for a caller that is let in, while A is pending, active, suspended, rejected.
    pub(crate) let_in: [u16; 4],
    /// Callers that the guard lets in and the handler answers otherwise.
    pub(crate) others: &'static [Who],
    pub(crate) status_of_others: u16,
}

impl Row {
    pub(crate) fn status_when_let_in(&self, who: Who, status: Status) -> u16 {
        if self.others.contains(&who) { self.status_of_others } else { self.let_in[status as usize] }
    }

    /// Sends this JSON.
    fn sending(self, body: &'static str) -> Self {
        Self { body: Some(body), ..self }
    }

    /// The status depends on the state that A is in: pending, active, suspended, rejected.
    fn by_status(self, let_in: [u16; 4]) -> Self {
        Self { let_in, ..self }
    }

    /// The handler answers these callers otherwise.
    fn but(self, others: &'static [Who], status_of_others: u16) -> Self {
        Self { others, status_of_others, ..self }
    }
}

fn row(method: &'static str, path: &'static str, guard: &'static str, let_in: u16) -> Row {
    Row { method, path, guard, body: None, let_in: [let_in; 4], others: &[], status_of_others: 0 }
}

/// Open to everybody, whatever token comes with the request.
fn public(method: &'static str, path: &'static str, let_in: u16) -> Row {
    row(method, path, "Anonymous", let_in)
}

/// Everybody who sends an Authorization header.
const WITH_TOKEN: &[Who] = &[
    Who::Garbage,
    Who::Expired,
    Who::Ended,
    Who::WebUserOfA,
    Who::DeviceUserOfA,
    Who::EndUserOfB,
    Who::MemberOfA,
    Who::AdminOfA,
    Who::OwnerOfA,
    Who::FormerOwnerOfA,
    Who::FormerAdminOfA,
    Who::MemberOfB,
    Who::AdminOfB,
    Who::OwnerOfB,
    Who::PlatformOwner,
    Who::FormerPlatformOwner,
];

const INVITE: &str = r#"{"email": "new@example.com", "role": "member"}"#;
const HEIR: &str = r#"{"new_owner_email": "quiet-in-demo@example.com"}"#;
const CREDENTIALS: &str = r#"{"client_id": "another", "client_secret": "a secret of the matrix"}"#;
const WEBHOOK: &str = r#"{"url": "http://127.0.0.1:9/hook"}"#;
const STRIPE_ACCOUNT: &str =
    r#"{"secret_key": "sk_test_of_the_matrix", "webhook_secret": "whsec_of_the_matrix_0123"}"#;
const RENAME: &str = r#"{"name": "Another name"}"#;
const SERVICE: &str = r#"{"slug": "another", "name": "Another", "service_type": "api"}"#;

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = rows_of_sign_in();
    rows.extend(rows_of_administration());
    rows
}

#[rustfmt::skip]
fn rows_of_sign_in() -> Vec<Row> {
    vec![
        public("GET",  "/health/live", 200),
        public("GET",  "/health/ready", 200),
        public("GET",  "/health", 200),
        row("GET",     "/metrics", "Scraper", 200),
        public("GET",  "/.well-known/jwks.json", 200),
        public("GET",  "/.well-known/openid-configuration", 200),
        public("GET",  "/.well-known/oauth-authorization-server", 200),
        public("GET",  "/assets/gatehouse.css", 200),
        public("POST", "/auth/token", 400),
        public("POST", "/oauth/token", 400),
        public("POST", "/api/auth/refresh", 400),
        row("POST", "/api/auth/logout", "TokenHolder", 204),
        // A bearer token is no way for a client to authenticate (RFC 6749, section 2.3).
        public("POST", "/auth/device/code", 400).but(WITH_TOKEN, 401),
        public("POST", "/oauth/device_authorization", 400).but(WITH_TOKEN, 401),
        public("POST", "/auth/device/verify", 400),
        public("GET",  "/activate", 200),
        public("GET",  "/activate/confirm", 400),
        public("POST", "/activate/confirm", 400),
        public("GET",  "/oauth/authorize", 400),
        public("POST", "/oauth/authorize", 400),
        public("POST", "/oauth/par", 401),
        public("GET",  "/oauth/consent", 400),
        public("POST", "/oauth/consent", 400),
        public("GET",  "/oauth/logout", 200),
        public("POST", "/oauth/logout", 200),
        public("POST", "/oauth/logout/confirm", 400),
        public("GET",  "/auth/admin/{provider}", 400),
        public("GET",  "/auth/admin/{provider}/callback", 400),
        public("GET",  "/auth/{provider}", 400),
        public("GET",  "/auth/link/confirm", 400),
        public("POST", "/auth/link/confirm", 400),
        public("GET",  "/auth/link/prove/{provider}", 400),
        public("GET",  "/auth/link/{provider}", 400),
        public("GET",  "/auth/{provider}/callback", 400),
        public("GET",  "/auth/{provider}/callback/{org}", 400),
        // Clients authenticate, or present a token of their own: no bearer token of a user opens these.
        public("POST", "/oauth/introspect", 401),
        public("POST", "/oauth/revoke", 401),
        row("GET",  "/oauth/userinfo", "Bearer", 200),
        row("POST", "/oauth/userinfo", "Bearer", 200),
        public("POST", "/webhooks/stripe", 415),
        public("POST", "/webhooks/stripe/{org}", 415),
        // Nobody but the command of the operator, which signs its requests.
        row("POST",   "/internal/billing/reconcile", "Operator", 401),
        row("POST",   "/internal/billing/replay", "Operator", 401),
        row("POST",   "/api/billing/checkout", "ServiceUser", 400),
        row("POST",   "/api/billing/portal", "ServiceUser", 400),
        row("GET",    "/api/user", "SignedIn", 200),
        row("PATCH",  "/api/user", "SignedIn", 200).sending(RENAME),
        row("GET",    "/api/auth/sessions", "SignedIn", 200),
        row("DELETE", "/api/auth/sessions", "SignedIn", 200),
        // The session of somebody who calls nothing: to everybody else there is no such session.
        row("DELETE", "/api/auth/sessions/{id}", "SignedIn", 404),
        row("GET",    "/api/subscription", "ServiceUser", 200),
        // The service asks for nothing at this provider.
        row("GET",    "/api/provider-token/{provider}", "ServiceUser", 404),
        row("GET",    "/api/user/identities", "SignedIn", 200),
        row("POST",   "/api/user/identities/{provider}/link", "SignedIn", 200),
        // The only account that the caller signs in with.
        row("DELETE", "/api/user/identities/{provider}", "SignedIn", 400),
    ]
}

#[rustfmt::skip]
fn rows_of_administration() -> Vec<Row> {
    vec![
        // Organizations, their teams and their users.
        row("GET",    "/api/organizations", "Administrator", 200),
        row("POST",   "/api/organizations", "MaybeAdministrator", 400),
        row("GET",    "/api/organizations/{org}", "AnyMember", 200),
        row("PATCH",  "/api/organizations/{org}", "AtLeastAdmin", 200).sending(RENAME),
        row("POST",   "/api/organizations/{org}/transfer-ownership", "OnlyOwner", 200).sending(HEIR),
        row("POST",   "/api/organizations/{org}/members/transfer-ownership", "OnlyOwner", 200).sending(HEIR),
        row("GET",    "/api/organizations/{org}/members", "AnyMember", 200),
        row("PATCH",  "/api/organizations/{org}/members/{user_id}", "OnlyOwner", 200).sending(r#"{"role": "admin"}"#),
        // Every member may leave, so the guard lets them in and the operation looks whom they remove.
        row("POST",   "/api/organizations/{org}/members/{user_id}", "AnyMember", 204).but(&[Who::MemberOfA], 403),
        row("DELETE", "/api/organizations/{org}/members/{user_id}", "AnyMember", 204).but(&[Who::MemberOfA], 403),
        row("GET",    "/api/organizations/{org}/analytics/login-trends", "AnyMember", 200),
        row("GET",    "/api/organizations/{org}/analytics/logins-by-service", "AnyMember", 200),
        row("GET",    "/api/organizations/{org}/analytics/logins-by-provider", "AnyMember", 200),
        row("GET",    "/api/organizations/{org}/analytics/recent-logins", "AnyMember", 200),
        row("GET",    "/api/organizations/{org}/analytics/export", "AtLeastAdmin", 200),
        row("GET",    "/api/organizations/{org}/users", "AnyMember, Active", 200),
        row("GET",    "/api/organizations/{org}/users/{user_id}", "AnyMember", 200),
        row("DELETE", "/api/organizations/{org}/users/{user_id}", "OnlyOwner", 204),
        row("DELETE", "/api/organizations/{org}/users/{user_id}/sessions", "AtLeastAdmin", 200),
        row("GET",    "/api/organizations/{org}/oauth-credentials", "AnyMember", 200),
        row("GET",    "/api/organizations/{org}/oauth-credentials/{provider}", "AnyMember", 200),
        row("POST",   "/api/organizations/{org}/oauth-credentials/{provider}", "AtLeastAdmin, Active", 200).sending(CREDENTIALS),
        row("DELETE", "/api/organizations/{org}/oauth-credentials/{provider}", "AtLeastAdmin, Active", 204),
        row("GET",    "/api/organizations/{org}/audit-log", "AtLeastAdmin", 200),
        // Billing.
        row("POST",   "/api/organizations/{org}/billing/checkout", "AtLeastAdmin, Active", 400),
        row("POST",   "/api/organizations/{org}/billing/portal", "AtLeastAdmin, Active", 400),
        row("GET",    "/api/organizations/{org}/stripe-account", "AnyMember", 404),
        row("POST",   "/api/organizations/{org}/stripe-account", "AtLeastAdmin, Active", 201).sending(STRIPE_ACCOUNT),
        row("DELETE", "/api/organizations/{org}/stripe-account", "AtLeastAdmin, Active", 404),
        // Events and webhooks.
        row("GET",    "/api/organizations/{org}/events", "AtLeastAdmin", 200),
        row("GET",    "/api/organizations/{org}/webhooks", "AtLeastAdmin", 200),
        row("POST",   "/api/organizations/{org}/webhooks", "AtLeastAdmin, Active", 201).sending(WEBHOOK),
        row("GET",    "/api/organizations/{org}/webhooks/{webhook}", "AtLeastAdmin", 200),
        row("PATCH",  "/api/organizations/{org}/webhooks/{webhook}", "AtLeastAdmin, Active", 200)
            .sending(r#"{"description": "Another"}"#),
        row("DELETE", "/api/organizations/{org}/webhooks/{webhook}", "AtLeastAdmin, Active", 204),
        row("POST",   "/api/organizations/{org}/webhooks/{webhook}/secret", "AtLeastAdmin, Active", 201),
        row("POST",   "/api/organizations/{org}/webhooks/{webhook}/ping", "AtLeastAdmin, Active", 202),
        row("GET",    "/api/organizations/{org}/webhooks/{webhook}/deliveries", "AtLeastAdmin", 200),
        // No event was delivered yet.
        row("POST",   "/api/organizations/{org}/webhooks/{webhook}/deliveries/{event}/replay", "AtLeastAdmin, Active", 404),
        // Invitations.
        row("GET",    "/api/organizations/{org}/invitations", "AtLeastAdmin", 200),
        row("POST",   "/api/organizations/{org}/invitations", "AtLeastAdmin, Active", 201).sending(INVITE),
        row("POST",   "/api/organizations/{org}/invitations/{invitation}", "AtLeastAdmin", 204),
        row("DELETE", "/api/organizations/{org}/invitations/{invitation}", "AtLeastAdmin", 204),
        row("GET",    "/api/invitations", "Administrator", 200),
        row("POST",   "/api/invitations/accept", "Administrator", 400),
        row("POST",   "/api/invitations/decline", "Administrator", 400),
        public("GET",  "/invitations/accept", 400),
        public("GET",  "/invitations/confirm", 400),
        public("POST", "/invitations/confirm", 400),
        // Services, their secrets and plans.
        row("GET",    "/api/organizations/{org}/services", "AnyMember, Active", 200),
        row("POST",   "/api/organizations/{org}/services", "AtLeastAdmin, Active", 201).sending(SERVICE),
        row("GET",    "/api/organizations/{org}/services/{svc}", "AnyMember, Active", 200),
        row("PATCH",  "/api/organizations/{org}/services/{svc}", "AtLeastAdmin, Active", 200).sending(RENAME),
        row("DELETE", "/api/organizations/{org}/services/{svc}", "OnlyOwner, Active", 204),
        row("POST",   "/api/organizations/{org}/services/{svc}/client-secret", "AtLeastAdmin, Active", 201),
        row("DELETE", "/api/organizations/{org}/services/{svc}/client-secret", "AtLeastAdmin, Active", 204),
        row("GET",    "/api/organizations/{org}/services/{svc}/plans", "AnyMember, Active", 200),
        row("POST",   "/api/organizations/{org}/services/{svc}/plans", "AtLeastAdmin, Active", 201).sending(RENAME),
        row("PATCH",  "/api/organizations/{org}/services/{svc}/plans/{plan}", "AtLeastAdmin, Active", 200).sending(RENAME),
        row("DELETE", "/api/organizations/{org}/services/{svc}/plans/{plan}", "AtLeastAdmin, Active", 204),
        // Platform owners.
        row("GET",    "/api/platform/tiers", "PlatformOwner", 200),
        // No tier has the id of an organization.
        row("PATCH",  "/api/platform/tiers/{id}", "PlatformOwner", 404).sending(r#"{"stripe_price_id": "price_1"}"#),
        row("GET",    "/api/platform/organizations", "PlatformOwner", 200),
        row("GET",    "/api/platform/analytics/overview", "PlatformOwner", 200),
        row("GET",    "/api/platform/analytics/organization-status", "PlatformOwner", 200),
        row("GET",    "/api/platform/analytics/growth-trends", "PlatformOwner", 200),
        row("GET",    "/api/platform/analytics/login-activity", "PlatformOwner", 200),
        row("GET",    "/api/platform/analytics/top-organizations", "PlatformOwner", 200),
        row("GET",    "/api/platform/analytics/recent-organizations", "PlatformOwner", 200),
        row("POST",   "/api/platform/organizations/{id}/approve", "PlatformOwner", 0).by_status([200, 409, 409, 409]),
        row("POST",   "/api/platform/organizations/{id}/reject", "PlatformOwner", 0).by_status([200, 409, 409, 409])
            .sending(r#"{"reason": "Not now"}"#),
        row("POST",   "/api/platform/organizations/{id}/suspend", "PlatformOwner", 0).by_status([409, 200, 409, 409]),
        row("POST",   "/api/platform/organizations/{id}/activate", "PlatformOwner", 0).by_status([409, 409, 200, 409]),
        row("PATCH",  "/api/platform/organizations/{id}/tier", "PlatformOwner", 200)
            .sending(r#"{"tier_id": "tier_pro", "max_users": 7}"#),
        row("POST",   "/api/platform/owners", "PlatformOwner", 201).sending(r#"{"email": "admin-a@example.com"}"#),
        row("DELETE", "/api/platform/owners/{user_id}", "PlatformOwner", 204),
        row("GET",    "/api/platform/audit-log", "PlatformOwner", 200),
    ]
}

/// What dev mode adds.
#[rustfmt::skip]
pub(crate) fn rows_of_dev_mode() -> Vec<Row> {
    vec![
        public("GET",  "/dev/provider/.well-known/openid-configuration", 200),
        public("GET",  "/dev/provider/jwks.json", 200),
        public("GET",  "/dev/provider/authorize", 400),
        public("POST", "/dev/provider/authorize", 400),
        // A provider of its own: it knows its own client and its own tokens only.
        public("POST", "/dev/provider/token", 401),
        public("GET",  "/dev/provider/userinfo", 401),
        public("POST", "/dev/provider/userinfo", 401),
        public("GET",  "/", 303),
        public("GET",  "/dev", 200),
        public("GET",  "/dev/callback", 200),
        public("GET",  "/dev/app.js", 200),
    ]
}
