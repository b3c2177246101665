//! What Stripe says, read tolerantly, and what it means. Pure: no database, no clock, no network.
//!
//! ```text
//! body of a webhook, or an answer of the API -> event / object (tolerant structs)
//!   -> facts (what is known of one subscription; any order of arrival ends in the same)
//!   -> standing (status, period, until when it grants)
//! ```

pub mod event;
pub mod facts;
pub mod object;
