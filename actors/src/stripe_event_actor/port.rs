//! What the actor needs from outside: a look at Stripe.

use std::sync::Arc;

use futures_util::future::{LocalBoxFuture, ready};
use thiserror::Error;

use crate::data::PLATFORM_ORG_ID;
use crate::stripe::object::Subscription;

/// Whose Stripe account to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeAccount {
    /// The organization; the platform's own is organization 1.
    pub org_id: i64,
    /// The sealed secret key of an organization. The platform's key is a setting.
    pub secret_key_sealed: Option<Vec<u8>>,
}

impl StripeAccount {
    /// The platform's own account.
    #[must_use]
    pub fn of_platform() -> Self {
        Self { org_id: PLATFORM_ORG_ID, secret_key_sealed: None }
    }
}

/// Why Stripe could not be asked. Fit for a log: no secret, nothing of a body.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("Stripe: {0}")]
pub struct StripeFailure(pub String);

/// A page of an account's subscriptions.
#[derive(Debug, Clone, Default)]
pub struct SubscriptionPage {
    /// The subscriptions, newest first.
    pub subscriptions: Vec<Subscription>,
    /// Whether there are more after the last one.
    pub has_more: bool,
}

/// Asks Stripe. Lives on the actor's thread and need not be `Send`.
pub trait StripePort {
    /// Whether there is a key to ask with. Without one, events are taken at their word.
    fn can_ask(&self, account: &StripeAccount) -> bool;

    /// A subscription as it is now; none when Stripe knows no such one.
    fn subscription<'a>(
        &'a self,
        account: &'a StripeAccount,
        id: &'a str,
    ) -> LocalBoxFuture<'a, Result<Option<Box<Subscription>>, StripeFailure>>;

    /// A page of all subscriptions, whatever their status, after the one named.
    fn subscriptions<'a>(
        &'a self,
        account: &'a StripeAccount,
        after: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<SubscriptionPage, StripeFailure>>;
}

/// Makes a port on the thread that it is used on.
pub type StripePortFactory = Arc<dyn Fn() -> Box<dyn StripePort> + Send + Sync>;

/// A port without a key.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadsNothing;

impl StripePort for ReadsNothing {
    fn can_ask(&self, _: &StripeAccount) -> bool {
        false
    }

    fn subscription<'a>(
        &'a self,
        _: &'a StripeAccount,
        _: &'a str,
    ) -> LocalBoxFuture<'a, Result<Option<Box<Subscription>>, StripeFailure>> {
        Box::pin(ready(Err(StripeFailure("there is no key".to_owned()))))
    }

    fn subscriptions<'a>(
        &'a self,
        _: &'a StripeAccount,
        _: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<SubscriptionPage, StripeFailure>> {
        Box::pin(ready(Err(StripeFailure("there is no key".to_owned()))))
    }
}
