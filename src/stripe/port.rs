//! The actor's way to Stripe.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use gatehouse_actors::stripe::object::Subscription;
use gatehouse_actors::stripe_event_actor::{
    StripeAccount, StripeFailure, StripePort, StripePortFactory, SubscriptionPage,
};
use serde::Deserialize;
use stripe_billing::subscription::{ListSubscription, ListSubscriptionStatus, RetrieveSubscription};
use stripe_client_core::{RequestBuilder, StripeRequest};

use super::client::{Stripe, StripeError};
use super::keys::StripeKeys;
use crate::upstream::HttpClient;

/// As many as Stripe gives in one answer.
const PAGE: i64 = 100;

/// Makes the port on the actor's thread.
#[must_use]
pub fn port_factory(keys: StripeKeys, base: String) -> StripePortFactory {
    Arc::new(move || Box::new(Port { keys: keys.clone(), base: base.clone(), http: HttpClient::new() }))
}

struct Port {
    keys: StripeKeys,
    base: String,
    http: HttpClient,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Subscription>,
    #[serde(default)]
    has_more: bool,
}

impl Port {
    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        account: &StripeAccount,
        request: RequestBuilder,
    ) -> Result<T, StripeError> {
        let no_key = || StripeError::Refused { status: 401, code: "no_key".to_owned() };
        let key = self.keys.of(account).ok_or_else(no_key)?;
        Stripe { http: &self.http, base: &self.base, key: &key }.call(request, None).await
    }
}

fn failure(error: &StripeError) -> StripeFailure {
    StripeFailure(error.to_string())
}

/// An id goes into the path of a request: one that could change the path is none of Stripe's.
fn is_id(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl StripePort for Port {
    fn can_ask(&self, account: &StripeAccount) -> bool {
        self.keys.of(account).is_some()
    }

    fn subscription<'a>(
        &'a self,
        account: &'a StripeAccount,
        id: &'a str,
    ) -> LocalBoxFuture<'a, Result<Option<Box<Subscription>>, StripeFailure>> {
        Box::pin(async move {
            if !is_id(id) {
                return Ok(None);
            }
            match self.ask::<Box<Subscription>>(account, RetrieveSubscription::new(id).build()).await {
                Ok(found) if found.id == id => Ok(Some(found)),
                Ok(_) => Err(StripeFailure("another subscription than the one asked for".to_owned())),
                Err(error) if error.is_missing() => Ok(None),
                Err(error) => Err(failure(&error)),
            }
        })
    }

    fn subscriptions<'a>(
        &'a self,
        account: &'a StripeAccount,
        after: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<SubscriptionPage, StripeFailure>> {
        Box::pin(async move {
            let list = ListSubscription::new().status(ListSubscriptionStatus::All).limit(PAGE);
            let list = match after {
                Some(after) => list.starting_after(after),
                None => list,
            };
            let page: Page = self.ask(account, list.build()).await.map_err(|error| failure(&error))?;
            Ok(SubscriptionPage { subscriptions: page.data, has_more: page.has_more })
        })
    }
}
