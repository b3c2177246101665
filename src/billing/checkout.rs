//! Buying, and managing what was bought: pages at Stripe, opened for one buyer at a time.
//!
//! ```text
//! BeginCheckout (write) -> Open: the page is there
//!                       -> Close: another plan's page is closed at Stripe, then begin again
//!                       -> Make: Stripe makes the page (idempotency key of the purchase) -> CheckoutIsOpen (write)
//! ```

use std::collections::HashMap;
use std::time::Duration;

use actix_web::rt::time::sleep;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::checkouts::{
    AbandonCheckout, BeginCheckout, Checkout, CheckoutBuyer, CheckoutIsClosed, CheckoutIsOpen,
    CheckoutRefusal, CustomerOfBuyer,
};
use gatehouse_actors::data::services::ServiceById;
use gatehouse_actors::stripe_event_actor::StripeAccount;
use serde_json::json;

use super::rules::{self, Wish};
use crate::config::secret::Secret;
use crate::error::{Code, Error};
use crate::http::caller::{Call, ServiceUser};
use crate::http::fields::Fields;
use crate::http::management::{Active, AtLeastAdmin, OrganizationCaller};
use crate::http::throttle;
use crate::state::App;
use crate::stripe::sale::{self, Sale};
use crate::stripe::{Stripe, StripeError};
use crate::upstream::HttpClient;

type Answer = Result<HttpResponse, Error>;
type Admin = Call<OrganizationCaller<AtLeastAdmin, Active>, Fields>;

const ATTEMPTS: usize = 6;
const BEHIND_A_TWIN: Duration = Duration::from_millis(400);

/// Who buys, and what is written on the purchase.
struct Buyer {
    who: CheckoutBuyer,
    labels: HashMap<String, String>,
    email: Option<String>,
}

/// `POST /api/billing/checkout`
pub async fn checkout(app: Data<App>, request: HttpRequest, call: Call<ServiceUser, Fields>) -> Answer {
    let subject = call.caller.subject;
    throttle::call_outside(&app, subject.user_id)?;
    let gone = || Error::new(Code::NotFound, "The service is gone.");
    let service = app.store.read(ServiceById { id: subject.service_id }).await?.ok_or_else(gone)?;
    let wish = rules::wish(call.input, "plan_id", &service.redirect_uris, &app.base_url)?;
    let labels = [("user_id", &subject.user_public_id), ("plan_id", &wish.wanted)];
    let mut labels: HashMap<_, _> =
        labels.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
    labels.insert("service_id".to_owned(), subject.service_public_id.clone());
    let buyer = Buyer {
        who: CheckoutBuyer::User {
            user_id: subject.user_id,
            service_id: subject.service_id,
            org_id: subject.org_id,
        },
        labels,
        email: subject.email.clone(),
    };
    let url = open(&app, http_client(&request)?, &buyer, &wish).await?;
    Ok(HttpResponse::Ok().json(json!({ "url": url })))
}

/// `POST /api/billing/portal`
pub async fn portal(app: Data<App>, request: HttpRequest, call: Call<ServiceUser, Fields>) -> Answer {
    let subject = call.caller.subject;
    throttle::call_outside(&app, subject.user_id)?;
    let gone = || Error::new(Code::NotFound, "The service is gone.");
    let service = app.store.read(ServiceById { id: subject.service_id }).await?.ok_or_else(gone)?;
    let return_url = rules::return_url(call.input, &service.redirect_uris, &app.base_url)?;
    let buyer = CheckoutBuyer::User {
        user_id: subject.user_id,
        service_id: subject.service_id,
        org_id: subject.org_id,
    };
    let url = manage(&app, http_client(&request)?, buyer, &return_url).await?;
    Ok(HttpResponse::Ok().json(json!({ "url": url })))
}

/// `POST /api/organizations/{org}/billing/checkout`
pub async fn organization_checkout(app: Data<App>, request: HttpRequest, call: Admin) -> Answer {
    throttle::call_outside(&app, call.caller.subject.user_id)?;
    let organization = call.caller.organization;
    let wish = rules::wish(call.input, "tier_id", &app.platform_redirect_uris(), &app.base_url)?;
    let buyer = Buyer {
        who: CheckoutBuyer::Organization(organization.id),
        labels: HashMap::from([
            ("organization_id".to_owned(), organization.public_id),
            ("tier_id".to_owned(), wish.wanted.clone()),
        ]),
        email: call.caller.subject.email.clone(),
    };
    let url = open(&app, http_client(&request)?, &buyer, &wish).await?;
    Ok(HttpResponse::Ok().json(json!({ "url": url })))
}

/// `POST /api/organizations/{org}/billing/portal`
pub async fn organization_portal(app: Data<App>, request: HttpRequest, call: Admin) -> Answer {
    throttle::call_outside(&app, call.caller.subject.user_id)?;
    let return_url = rules::return_url(call.input, &app.platform_redirect_uris(), &app.base_url)?;
    let buyer = CheckoutBuyer::Organization(call.caller.organization.id);
    let url = manage(&app, http_client(&request)?, buyer, &return_url).await?;
    Ok(HttpResponse::Ok().json(json!({ "url": url })))
}

/// The page for a purchase, whichever request of its buyer asks for it.
async fn open(app: &App, http: &HttpClient, buyer: &Buyer, wish: &Wish) -> Result<String, Error> {
    // The second time around there is nothing left to close. More often only behind a twin of this request.
    for _ in 0..ATTEMPTS {
        let now = app.clock.now();
        let begin = BeginCheckout {
            buyer: buyer.who,
            wanted: wish.wanted.clone(),
            quantity: i64::try_from(wish.quantity).unwrap_or(1),
            success_url: wish.success_url.clone(),
            cancel_url: wish.cancel_url.clone(),
            idempotency_key: app.random.uuid(now),
            now,
        };
        match app.store.write(begin).await.map_err(|error| Error::from_op(error, refused))? {
            Checkout::Open { url } => return Ok(url),
            Checkout::Make { account, idempotency_key, price, customer } => {
                let key = key_of(app, &account)?;
                let stripe = stripe(app, http, &key);
                let sale = Sale {
                    price: &price,
                    quantity: wish.quantity,
                    labels: buyer.labels.clone(),
                    customer: customer.as_deref(),
                    email: buyer.email.as_deref(),
                    success_url: &wish.success_url,
                    cancel_url: &wish.cancel_url,
                };
                let session = match sale::open(&stripe, sale, &idempotency_key).await {
                    Ok(session) => session,
                    // Stripe is answering the twin of this request: then its page will be there.
                    Err(StripeError::Refused { status: 409, .. }) => {
                        sleep(BEHIND_A_TWIN).await;
                        continue;
                    }
                    Err(error) => {
                        if let StripeError::Refused { .. } = error {
                            let abandon = AbandonCheckout { buyer: buyer.who, idempotency_key };
                            app.store
                                .write(abandon)
                                .await
                                .map_err(|error| Error::from_op(error, unrefused))?;
                        }
                        return Err(failed(&error));
                    }
                };
                let expires_at = session.expires_at.map_or(now + 60_000, |seconds| seconds * 1000);
                let url = session.url.ok_or_else(|| failed_with("the checkout has no address"))?;
                let is_open = CheckoutIsOpen {
                    buyer: buyer.who,
                    idempotency_key,
                    session_id: session.id,
                    url: url.clone(),
                    expires_at,
                };
                app.store.write(is_open).await.map_err(|error| Error::from_op(error, unrefused))?;
                return Ok(url);
            }
            Checkout::Close { account, session_id } => {
                let key = key_of(app, &account)?;
                match sale::close(&stripe(app, http, &key), &session_id).await {
                    Ok(_) => {}
                    Err(error) if error.is_missing() => {}
                    // Stripe closes an open page only: this one was just bought, or closed by itself.
                    Err(StripeError::Refused { status: 400, .. }) => {
                        let message =
                            "Another purchase is being completed. Look at your subscription in a moment.";
                        return Err(Error::new(Code::Conflict, message));
                    }
                    Err(error) => return Err(failed(&error)),
                }
                let closed = CheckoutIsClosed { buyer: buyer.who, session_id };
                app.store.write(closed).await.map_err(|error| Error::from_op(error, unrefused))?;
            }
        }
    }
    Err(Error::new(Code::Conflict, "Another purchase is under way. Try again in a moment."))
}

async fn manage(
    app: &App,
    http: &HttpClient,
    buyer: CheckoutBuyer,
    return_url: &str,
) -> Result<String, Error> {
    let (account, customer) = app.store.read(CustomerOfBuyer { buyer }).await?;
    let key = key_of(app, &account)?;
    let nothing = || Error::new(Code::Conflict, "Nothing was bought yet, so there is nothing to manage.");
    let customer = customer.ok_or_else(nothing)?;
    sale::portal(&stripe(app, http, &key), &customer, return_url).await.map_err(|error| failed(&error))
}

fn key_of(app: &App, account: &StripeAccount) -> Result<Secret<String>, Error> {
    let message = "Nothing can be bought here: no Stripe key is configured (STRIPE_SECRET_KEY).";
    app.stripe_keys.of(account).ok_or_else(|| Error::new(Code::ServiceUnavailable, message).retry_after(3600))
}

fn stripe<'s>(app: &'s App, http: &'s HttpClient, key: &'s Secret<String>) -> Stripe<'s> {
    Stripe { http, base: &app.config.billing.api_base, key }
}

fn http_client(request: &HttpRequest) -> Result<&HttpClient, Error> {
    request.app_data::<HttpClient>().ok_or_else(|| Error::internal("no http client"))
}

fn failed(error: &StripeError) -> Error {
    failed_with(&error.to_string())
}

fn failed_with(detail: &str) -> Error {
    let message = "Stripe did not answer as expected. Nothing was bought; try again in a moment.";
    Error { internal: Some(detail.to_owned()), ..Error::new(Code::OAuthError, message) }
}

fn unrefused((): ()) -> Error {
    Error::internal("refused")
}

fn refused(reason: CheckoutRefusal) -> Error {
    match reason {
        CheckoutRefusal::Unknown => Error::new(Code::NotFound, "There is no such plan."),
        CheckoutRefusal::NotForSale => {
            Error::new(Code::Conflict, "This plan is not for sale: it names no price at Stripe.")
        }
        CheckoutRefusal::AlreadySubscribed => {
            let message =
                "There is a subscription already. Change it in the portal (POST /api/billing/portal).";
            Error::new(Code::Conflict, message)
        }
        CheckoutRefusal::UnderWay => {
            Error::new(Code::Conflict, "Another purchase is under way. Try again in a moment.")
        }
    }
}
