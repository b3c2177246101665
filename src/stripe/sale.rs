//! Pages at Stripe: where somebody buys, and where they manage what they bought.

use std::collections::HashMap;

use gatehouse_actors::stripe::object::CheckoutSession;
use serde::Deserialize;
use stripe_billing::billing_portal_session::CreateBillingPortalSession;
use stripe_checkout::CheckoutSessionMode;
use stripe_checkout::checkout_session::{
    CreateCheckoutSession, CreateCheckoutSessionLineItems, CreateCheckoutSessionSubscriptionData,
    ExpireCheckoutSession,
};
use stripe_client_core::StripeRequest;

use super::client::{Stripe, StripeError};

/// What is sold, to whom.
pub struct Sale<'s> {
    /// The price at Stripe.
    pub price: &'s str,
    /// Seats.
    pub quantity: u64,
    /// Ties the subscription to its buyer: written on the checkout and on the subscription.
    pub labels: HashMap<String, String>,
    /// The customer, when the buyer is one already.
    pub customer: Option<&'s str>,
    /// Filled in for a new customer.
    pub email: Option<&'s str>,
    /// Where the buyer goes afterwards.
    pub success_url: &'s str,
    /// Where the buyer goes who changes their mind.
    pub cancel_url: &'s str,
}

/// Opens a checkout. The same idempotency key gives the same one.
pub async fn open(
    stripe: &Stripe<'_>,
    sale: Sale<'_>,
    idempotency_key: &str,
) -> Result<CheckoutSession, StripeError> {
    let mut item = CreateCheckoutSessionLineItems::new();
    item.price = Some(sale.price.to_owned());
    item.quantity = Some(sale.quantity);
    let mut data = CreateCheckoutSessionSubscriptionData::new();
    data.metadata = Some(sale.labels.clone());
    let request = CreateCheckoutSession::new()
        .mode(CheckoutSessionMode::Subscription)
        .line_items(vec![item])
        .metadata(sale.labels)
        .subscription_data(data)
        .success_url(sale.success_url)
        .cancel_url(sale.cancel_url);
    let request = match (sale.customer, sale.email) {
        (Some(customer), _) => request.customer(customer),
        (None, Some(email)) => request.customer_email(email),
        (None, None) => request,
    };
    stripe.call(request.build(), Some(idempotency_key)).await
}

/// Closes a checkout, so that nothing is bought there any more.
pub async fn close(stripe: &Stripe<'_>, session_id: &str) -> Result<CheckoutSession, StripeError> {
    stripe.call(ExpireCheckoutSession::new(session_id).build(), None).await
}

#[derive(Deserialize)]
struct Portal {
    url: String,
}

/// Opens the page where a customer manages what they bought.
pub async fn portal(stripe: &Stripe<'_>, customer: &str, return_url: &str) -> Result<String, StripeError> {
    let request = CreateBillingPortalSession::new().customer(customer).return_url(return_url);
    let portal: Portal = stripe.call(request.build(), None).await?;
    Ok(portal.url)
}
