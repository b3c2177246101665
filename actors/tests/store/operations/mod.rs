//! Every operation, every refusal, every constraint.

mod access_tokens;
mod authorization_codes;
mod browser_sessions;
mod consents;
mod device_codes;
mod device_grant;
mod end_users;
mod events;
mod identities;
mod installation;
mod invitations;
mod login_counts;
mod login_events;
mod members;
mod oauth_credentials;
mod organizations;
mod own_sessions;
mod plans;
mod platform;
mod proofs;
mod redirect_origins;
mod refresh_tokens;
mod registration;
mod services;
mod signing_keys;
mod webhooks;
