//! What every slice shares: who calls, what they sent, how answers and errors look.

pub mod access_token;
pub mod activation;
pub mod address;
pub mod body;
pub mod caller;
pub mod claims;
pub mod client;
pub mod connection;
pub mod cookie;
pub mod cors;
pub mod dialect;
pub mod email;
pub mod event;
pub mod fields;
pub mod headers;
pub mod input;
pub mod invitation;
<<<<<<< HEAD
pub mod linking;
=======
pub mod last_used;
>>>>>>> main
pub mod management;
pub mod objects;
pub mod observe;
pub mod origin;
pub mod page;
pub mod redirect;
pub mod resource;
pub mod scope;
pub mod slug;
