//! Every operation, every refusal, every constraint.

mod access_tokens;
mod authorization_codes;
mod device_codes;
mod device_grant;
mod end_users;
mod events;
mod identities;
mod installation;
mod invitations;
mod linking;
mod login_counts;
mod login_events;
mod members;
mod oauth_credentials;
mod organizations;
mod own_sessions;
mod plans;
mod platform;
mod provider_grants;
mod redirect_origins;
mod refresh_tokens;
mod registration;
mod services;
mod webhooks;
