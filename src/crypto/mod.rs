//! Randomness, derived keys, sealing, opaque tokens and JSON Web Tokens.
//!
//! What leaves this module for the database is a hash or ciphertext.

pub mod claims;
pub mod client_keys;
pub mod jwt;
pub mod random;
pub mod reseal;
pub mod root;
pub mod sealed;
pub mod signing_key;
pub mod thumbprint;
pub mod token;
pub mod user_codes;
mod verified;
