//! Every operation, every refusal, every constraint.

mod authorization_codes;
mod device_codes;
mod device_grant;
mod identities;
mod installation;
mod refresh_tokens;
mod services;
