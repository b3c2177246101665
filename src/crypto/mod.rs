//! Randomness, derived keys, sealing, opaque tokens and JSON Web Tokens.
//!
//! What leaves this module for the database is a hash or ciphertext.

pub mod client_keys;
pub mod jwt;
pub mod random;
pub mod root;
pub mod sealed;
pub mod token;
