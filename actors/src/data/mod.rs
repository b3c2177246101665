//! Questions and changes, one file per table family. SQL lives here and nowhere else.

pub mod access_tokens;
pub mod analytics;
pub mod audit;
pub mod audit_log;
pub mod authorization_codes;
pub mod browser_sessions;
pub mod checkouts;
pub mod client_registration;
pub mod client_secrets;
pub mod consents;
pub mod dev_buyers;
pub mod device_codes;
pub mod device_redemption;
pub mod due_grants;
pub mod end_users;
pub mod ended_sessions;
pub mod entitlements;
pub mod events;
pub(crate) mod growth;
pub mod housekeeping;
pub mod identities;
pub mod installation;
pub mod invitation_answers;
pub mod invitations;
pub(crate) mod login_counts;
pub mod login_events;
pub mod login_proof;
pub(crate) mod login_users;
pub mod members;
pub mod memberships;
pub mod oauth_credentials;
pub mod organizations;
pub mod outbox;
pub mod own_profile;
pub mod own_sessions;
pub mod plans;
pub mod platform;
pub mod platform_analytics;
pub mod platform_owners;
pub mod presented_refresh;
pub mod provider_grants;
pub mod provider_revocations;
pub mod pushed_requests;
pub mod redirect_origins;
pub mod refresh_tokens;
pub mod sealed_columns;
pub mod service_admin;
pub mod service_settings;
pub mod services;
pub mod sessions;
pub mod sign_in;
pub mod sign_out;
pub mod signing_keys;
pub mod stripe_accounts;
pub mod stripe_compare;
pub mod stripe_effects;
pub mod stripe_entitlements;
pub mod stripe_inbox;
pub mod stripe_subscriptions;
pub(crate) mod subscription_events;
pub mod tier_prices;
pub mod token_binding;
pub mod used_assertions;
pub mod users;
pub mod waiting_grants;
pub mod webhook_deliveries;
pub mod webhooks;

use crate::engine::Statement;

/// Every statement of the crate, for the tests that check them all.
#[must_use]
pub fn statements() -> Vec<&'static Statement> {
    [
        access_tokens::STATEMENTS,
        analytics::STATEMENTS,
        audit::STATEMENTS,
        audit_log::STATEMENTS,
        authorization_codes::STATEMENTS,
        browser_sessions::STATEMENTS,
        client_registration::STATEMENTS,
        client_secrets::STATEMENTS,
        consents::STATEMENTS,
        checkouts::STATEMENTS,
        dev_buyers::STATEMENTS,
        device_codes::STATEMENTS,
        device_redemption::STATEMENTS,
        due_grants::STATEMENTS,
        end_users::STATEMENTS,
        ended_sessions::STATEMENTS,
        events::STATEMENTS,
        growth::STATEMENTS,
        housekeeping::STATEMENTS,
        identities::STATEMENTS,
        installation::STATEMENTS,
        invitation_answers::STATEMENTS,
        invitations::STATEMENTS,
        login_counts::STATEMENTS,
        login_events::STATEMENTS,
        login_proof::STATEMENTS,
        login_users::STATEMENTS,
        members::STATEMENTS,
        memberships::STATEMENTS,
        oauth_credentials::STATEMENTS,
        organizations::STATEMENTS,
        outbox::STATEMENTS,
        own_profile::STATEMENTS,
        platform::STATEMENTS,
        platform_analytics::STATEMENTS,
        platform_owners::STATEMENTS,
        own_sessions::STATEMENTS,
        plans::STATEMENTS,
        provider_grants::STATEMENTS,
        provider_revocations::STATEMENTS,
        pushed_requests::STATEMENTS,
        redirect_origins::STATEMENTS,
        refresh_tokens::STATEMENTS,
        sealed_columns::STATEMENTS,
        service_admin::STATEMENTS,
        service_settings::STATEMENTS,
        services::STATEMENTS,
        sessions::STATEMENTS,
        sign_in::STATEMENTS,
        presented_refresh::STATEMENTS,
        sign_out::STATEMENTS,
        signing_keys::STATEMENTS,
        stripe_accounts::STATEMENTS,
        stripe_compare::STATEMENTS,
        stripe_entitlements::STATEMENTS,
        stripe_inbox::STATEMENTS,
        stripe_subscriptions::STATEMENTS,
        tier_prices::STATEMENTS,
        token_binding::STATEMENTS,
        used_assertions::STATEMENTS,
        subscription_events::STATEMENTS,
        users::STATEMENTS,
        waiting_grants::STATEMENTS,
        webhook_deliveries::STATEMENTS,
        webhooks::STATEMENTS,
    ]
    .concat()
}

/// The row of the platform realm, created by the first migration.
pub const PLATFORM_ORG_ID: i64 = 1;
/// The built-in client of the platform realm, created by the first migration.
pub const PLATFORM_SERVICE_ID: i64 = 1;

/// Reads a JSON array of strings. What is not one is a row that should not exist.
fn string_list(
    table: &'static str,
    column: &'static str,
    json: &str,
) -> Result<Vec<String>, crate::error::StoreError> {
    serde_json::from_str(json).map_err(|error| crate::error::StoreError::Inconsistent {
        table,
        column,
        found: error.to_string(),
    })
}

/// Writes a JSON array of strings.
fn json_list(list: &[String]) -> String {
    serde_json::Value::from(list).to_string()
}

/// Whether a path names a thing by its public id; else it is a slug, which never looks like this.
#[must_use]
pub fn looks_like_public_id(text: &str) -> bool {
    text.len() == 36 && text.matches('-').count() == 4
}
