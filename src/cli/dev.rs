//! `gatehouse dev stripe`: a stand-in for Stripe. It sends a running dev server events that are signed as Stripe signs
//! them, so that entitlements can be seen to move without an account at Stripe.

use std::time::Duration;

use actix_web::rt::System;
use clap::{Args, Subcommand, ValueEnum};
use gatehouse_actors::clock::{Clock, Millis, SystemClock};
use gatehouse_actors::data::dev_buyers::{DevBuyer, DevBuyerByEmail, DevPlan};
use gatehouse_actors::engine::ReadOnly;
use gatehouse_actors::error::StoreError;
use serde_json::{Value, json};
use url::Url;

use super::http::Http;
use super::{Failure, healthcheck, print};
use crate::billing::signature::sign;
use crate::config::secret::Secret;
use crate::config::{Config, Environment, Mode};
use crate::crypto::random::Random;

const PATIENCE: Duration = Duration::from_secs(10);
const MONTH: i64 = 30 * 86_400;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send the running dev server the events of a purchase, as Stripe would
    Stripe(StripeArguments),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// A checkout is completed, the first payment succeeds
    Subscribe,
    /// The plan changes to the one that --plan names
    Upgrade,
    /// A renewal cannot be paid: past due
    FailPayment,
    /// The subscription ends at once
    Cancel,
}

#[derive(Debug, Args)]
struct StripeArguments {
    /// What happens
    scenario: Scenario,
    /// Who buys: the address of a user who signed in to the service before
    #[arg(long, value_name = "ADDRESS")]
    email: String,
    /// The plan's name [default: the first plan that is not the default one]
    #[arg(long, value_name = "NAME")]
    plan: Option<String>,
    /// The organization's slug
    #[arg(long, value_name = "SLUG", default_value = "demo")]
    org: String,
    /// The service's slug
    #[arg(long, value_name = "SLUG", default_value = "web")]
    service: String,
    /// The dev server [default: this machine, at `SERVER_PORT`]
    #[arg(long)]
    url: Option<Url>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Command::Stripe(arguments) = &arguments.command;
    let config = Config::check(&Environment::read(), Mode::Dev)?;
    let missing = || {
        Failure::failed("there is no webhook secret yet: start `gatehouse serve --dev` in this folder first")
    };
    let secret = config.billing.webhook_secrets.first().ok_or_else(missing)?;
    let failed = |error: StoreError| {
        Failure::failed(format!("cannot read {}: {error}", config.database_path.display()))
    };
    let question = DevBuyerByEmail {
        org_slug: arguments.org.clone(),
        service_slug: arguments.service.clone(),
        email: arguments.email.to_lowercase(),
    };
    let buyer = ReadOnly::open(&config.database_path)
        .and_then(|mut database| database.ask(&question))
        .map_err(failed)?;
    let nobody = || {
        let DevBuyerByEmail { org_slug, service_slug, email } = &question;
        Failure::failed(format!("{email} never signed in to {org_slug}/{service_slug}: sign in there first"))
    };
    let buyer = buyer.ok_or_else(nobody)?;
    let plan = plan(&buyer, arguments.plan.as_deref())?;
    let mut url = match &arguments.url {
        Some(url) => url.clone(),
        None => healthcheck::own_address()?,
    };
    url.set_path("/webhooks/stripe");
    let events = events(arguments.scenario, &buyer, plan, SystemClock.now());
    System::new().block_on(async {
        for event in events {
            send(&url, secret, &event).await?;
        }
        Ok(())
    })
}

fn plan<'b>(buyer: &'b DevBuyer, name: Option<&str>) -> Result<&'b DevPlan, Failure> {
    let found = match name {
        Some(name) => buyer.plans.iter().find(|plan| plan.name == name),
        None => buyer.plans.iter().find(|plan| !plan.is_default),
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = buyer.plans.iter().map(|plan| plan.name.as_str()).collect();
        let wanted =
            name.map_or_else(|| "that is not the default one".to_owned(), |name| format!("called {name}"));
        Failure::failed(format!("the service has no plan {wanted}; it has: {}", names.join(", ")))
    })
}

/// What Stripe would send. One user and service have one subscription, so that scenarios follow on each other.
fn events(scenario: Scenario, buyer: &DevBuyer, plan: &DevPlan, now: Millis) -> Vec<Value> {
    let seconds = now.div_euclid(1000);
    let tail: String =
        buyer.user_id.chars().chain(buyer.service_id.chars()).filter(char::is_ascii_alphanumeric).collect();
    let (id, customer) = (format!("sub_dev{tail}"), format!("cus_dev{tail}"));
    let metadata = json!({ "user_id": buyer.user_id, "service_id": buyer.service_id, "plan_id": plan.id });
    let status = match scenario {
        Scenario::Subscribe | Scenario::Upgrade => "active",
        Scenario::FailPayment => "past_due",
        Scenario::Cancel => "canceled",
    };
    let subscription = json!({
        "id": id, "object": "subscription", "customer": customer, "status": status, "created": seconds,
        "livemode": false, "metadata": metadata, "cancel_at": null, "cancel_at_period_end": false,
        "items": { "object": "list", "data": [{
            "id": "si_dev", "object": "subscription_item", "quantity": 1,
            "current_period_start": seconds, "current_period_end": seconds + MONTH,
            "price": { "id": plan.stripe_price_id.as_deref().unwrap_or("price_dev"), "object": "price" },
        }] },
    });
    let invoice = json!({
        "id": "in_dev", "object": "invoice", "customer": customer,
        "parent": { "type": "subscription_details", "subscription_details": { "subscription": id } },
        "lines": { "object": "list", "data": [{ "period": { "start": seconds, "end": seconds + MONTH } }] },
    });
    let session = json!({
        "id": "cs_dev", "object": "checkout.session", "mode": "subscription", "status": "complete",
        "customer": customer, "subscription": id, "metadata": metadata,
    });
    let happened = match scenario {
        Scenario::Subscribe => vec![
            ("checkout.session.completed", session),
            ("customer.subscription.created", subscription),
            ("invoice.paid", invoice),
        ],
        Scenario::Upgrade => vec![("customer.subscription.updated", subscription)],
        Scenario::FailPayment => {
            vec![("invoice.payment_failed", invoice), ("customer.subscription.updated", subscription)]
        }
        Scenario::Cancel => vec![("customer.subscription.deleted", subscription)],
    };
    let random = Random::default();
    let event = |(event_type, object): (&str, Value)| {
        json!({
            "id": format!("evt_dev{}", random.uuid(now).replace('-', "")), "object": "event",
            "api_version": "2025-06-30.basil", "created": seconds, "livemode": false, "type": event_type,
            "data": { "object": object },
        })
    };
    happened.into_iter().map(event).collect()
}

async fn send(url: &Url, secret: &Secret<String>, event: &Value) -> Result<(), Failure> {
    let body = event.to_string().into_bytes();
    let signature = sign(secret, &body, SystemClock.now());
    let answer = Http::new(PATIENCE)
        .post_json(url, body, ("stripe-signature", &signature))
        .await
        .map_err(Failure::failed)?;
    let event_type = event.get("type").and_then(Value::as_str).unwrap_or_default();
    if answer.status != 200 {
        return Err(Failure::failed(format!("{url} answered {event_type} with status {}", answer.status)));
    }
    print(&format_args!("{event_type}  received\n"))
}

#[cfg(test)]
mod tests {
    use gatehouse_actors::stripe::event::Event;

    use super::*;

    #[test]
    fn every_scenario_is_about_the_same_subscription() {
        let plan = DevPlan { id: "p".into(), name: "pro".into(), is_default: false, stripe_price_id: None };
        let buyer = DevBuyer { user_id: "u-1".into(), service_id: "s-1".into(), plans: Vec::new() };
        for scenario in [Scenario::Subscribe, Scenario::Upgrade, Scenario::FailPayment, Scenario::Cancel] {
            for event in events(scenario, &buyer, &plan, 5_000) {
                let event = Event::parse(event.to_string().as_bytes()).unwrap();
                assert_eq!(event.subscription_id().as_deref(), Some("sub_devu1s1"), "{}", event.event_type);
                assert_eq!(event.queue_key(), "cus_devu1s1");
            }
        }
    }
}
