//! Answers that are kept in memory and are never older than the database.
//!
//! ```text
//! ask: on the shelf, nothing it rests on changed, and we looked lately for changes of other processes -> the answer
//!      else -> read it -> nothing was committed meanwhile? -> onto the shelf
//! change: the writer's connection notes each row it touches -> COMMIT -> those facts count up -> answers to callers
//! ```
//! So whoever was told that a session ended finds it ended: the count was raised before they were told.

mod freshness;
pub mod halves;
mod shelf;

use std::hash::Hash;
use std::sync::Arc;

pub(crate) use freshness::{Changes, Freshness, Lease};
pub use shelf::Shelf;

use crate::data::access_tokens::AccessTokenStanding;
use crate::data::client_secrets::ClientSecretById;
use crate::data::oauth_credentials::OwnOauthCredential;
use crate::data::services::{ServiceByClientId, ServiceBySlugs};
use crate::message::ReadOp;

/// Something that an answer rests on: a row, or a table whose rows change seldom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// The session in this row.
    Session(i64),
    /// The user in this row.
    User(i64),
    /// The organization in this row.
    Organization(i64),
    /// The service in this row.
    Service(i64),
    /// Any plan.
    Plans,
    /// Any subscription.
    Subscriptions,
    /// Any secret of a client.
    ClientSecrets,
    /// Any revocation of a single access token.
    RevokedTokens,
    /// Any client of an organization at a provider.
    OauthCredentials,
}

/// A question that is asked so often that its answer is kept. What is not there is not kept.
pub trait Recall: ReadOp<Output = Option<Self::Answer>> + Clone + Eq + Hash + Sync {
    /// What is kept.
    type Answer: Send + Sync + 'static;

    /// All that the answer rests on. A table that the question reads and that is not named here is a stale answer.
    fn facts(answer: &Self::Answer) -> Vec<Fact>;

    /// Where its answers are kept.
    fn shelf(memory: &Memory) -> &Shelf<Self>;
}

/// What is kept.
#[derive(Default)]
pub struct Memory {
    pub(crate) freshness: Arc<Freshness>,
    pub(crate) tokens: Shelf<AccessTokenStanding>,
    pub(crate) services: Shelf<ServiceByClientId>,
    pub(crate) services_by_slugs: Shelf<ServiceBySlugs>,
    pub(crate) client_secrets: Shelf<ClientSecretById>,
    pub(crate) oauth_credentials: Shelf<OwnOauthCredential>,
}
