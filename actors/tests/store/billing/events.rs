//! What follows from which event.

use std::sync::Arc;

use gatehouse_actors::data::PLATFORM_ORG_ID;
use gatehouse_actors::stripe::facts::RENEWAL_SLACK;
use serde_json::{Value, json};

use super::stage::{Buyer, Shop, StandIn, deliver, event, fate, happen, settled, shop, subscription};
use crate::support::{GRACE, World, administrator, public_id, registered};

const DAY: i64 = 24 * 60 * 60 * 1000;
const PRO: &str = "price_acme-web_pro";
const PLUS: &str = "price_acme-web_plus";

async fn stage() -> (World, Shop, Buyer) {
    let world = World::new();
    let shop = shop(&world, "acme").await;
    let buyer = shop.buyer(&world, "ada").await;
    (world, shop, buyer)
}

#[actix::test]
async fn a_subscription_grants_its_plan_until_it_lapses_by_itself() {
    let (world, shop, buyer) = stage().await;
    assert_eq!(buyer.plan(&world).await, "free");
    let bought = subscription("sub_1", &buyer, &shop.web, PRO, &world);
    happen(&world, &event("customer.subscription.created", 0, &bought, &world)).await;
    let subject = buyer.subject(&world).await;
    let entitlement = subject.entitlement(world.now());
    assert_eq!(entitlement.plan_name(), Some("pro"));
    assert_eq!(entitlement.features(), ["pro-feature"]);
    let end = world.now() + 30 * DAY;
    assert_eq!((entitlement.expires_at, entitlement.version()), (Some(end + RENEWAL_SLACK), 1));
    // Nothing is heard any more.
    assert_eq!(subject.entitlement(end + RENEWAL_SLACK - 1).plan_name(), Some("pro"));
    assert_eq!(subject.entitlement(end + RENEWAL_SLACK).plan_name(), Some("free"));
}

#[actix::test]
async fn a_cancelled_period_ends_on_time_and_a_failed_payment_has_its_grace() {
    let (world, shop, buyer) = stage().await;
    let mut bought = subscription("sub_1", &buyer, &shop.web, PRO, &world);
    bought["cancel_at_period_end"] = json!(true);
    happen(&world, &event("customer.subscription.created", 0, &bought, &world)).await;
    let end = world.now() + 30 * DAY;
    assert_eq!(buyer.subject(&world).await.entitlement(world.now()).expires_at, Some(end));

    bought["cancel_at_period_end"] = json!(false);
    bought["status"] = json!("past_due");
    happen(&world, &event("customer.subscription.updated", 10, &bought, &world)).await;
    let subject = buyer.subject(&world).await;
    assert_eq!(subject.entitlement(world.now()).expires_at, Some(world.now() + 10_000 + GRACE));
    // Another attempt to collect does not begin the grace anew.
    happen(&world, &event("customer.subscription.updated", 500, &bought, &world)).await;
    assert_eq!(buyer.subject(&world).await.subscription, subject.subscription);
}

#[actix::test]
async fn the_plan_follows_the_price_and_every_change_has_a_version() {
    let (world, shop, buyer) = stage().await;
    let mut bought = subscription("sub_1", &buyer, &shop.web, PLUS, &world);
    happen(&world, &event("customer.subscription.created", 0, &bought, &world)).await;
    assert_eq!(buyer.plan(&world).await, "plus");
    // Two plans at once: the dearer one, with its seats.
    bought["items"]["data"].as_array_mut().unwrap().push(json!({ "price": { "id": PRO }, "quantity": 5 }));
    happen(&world, &event("customer.subscription.updated", 1, &bought, &world)).await;
    let subject = buyer.subject(&world).await;
    let grant = subject.subscription.as_ref().unwrap();
    assert_eq!((grant.plan.name.as_str(), grant.quantity, grant.version), ("pro", 5, 2));
    // A price that no plan names: nothing is granted any more.
    bought["items"] = json!({ "data": [{ "price": { "id": "price_of_somebody" } }] });
    let unknown = event("customer.subscription.updated", 2, &bought, &world);
    happen(&world, &unknown).await;
    assert_eq!(buyer.plan(&world).await, "free");
    let reason = Some("no plan of the service names the price".to_owned());
    assert_eq!(fate(&world, &unknown), ("ignored".to_owned(), reason));
    assert_eq!(buyer.subject(&world).await.entitlement(world.now()).version(), 3);
}

#[actix::test]
async fn what_is_older_changes_nothing() {
    let (world, shop, buyer) = stage().await;
    let bought = subscription("sub_1", &buyer, &shop.web, PRO, &world);
    let created = event("customer.subscription.created", 0, &bought, &world);
    let deleted = event("customer.subscription.deleted", 50, &bought, &world);
    happen(&world, &deleted).await;
    happen(&world, &created).await;
    happen(&world, &event("customer.subscription.updated", 49, &bought, &world)).await;
    // In one second, what ends a subscription counts.
    happen(&world, &event("customer.subscription.updated", 50, &bought, &world)).await;
    assert_eq!(buyer.plan(&world).await, "free");
    assert_eq!(world.text("SELECT status FROM subscriptions").as_deref(), Some("canceled"));
    // The same again after it was applied.
    assert!(!deliver(&world, PLATFORM_ORG_ID, &created).await);
    world.store.replay_stripe(gatehouse_actors::data::stripe_inbox::Replay::Since(0)).await.unwrap();
    settled(&world).await;
    assert_eq!(buyer.plan(&world).await, "free");
}

#[actix::test]
async fn a_new_subscription_is_not_ended_by_the_end_of_an_old_one() {
    let (world, shop, buyer) = stage().await;
    let old = subscription("sub_old", &buyer, &shop.web, PLUS, &world);
    happen(&world, &event("customer.subscription.created", 0, &old, &world)).await;
    let mut new = subscription("sub_new", &buyer, &shop.web, PRO, &world);
    new["created"] = json!(world.now() / 1000 + 100);
    happen(&world, &event("customer.subscription.created", 100, &new, &world)).await;
    happen(&world, &event("customer.subscription.deleted", 200, &old, &world)).await;
    assert_eq!(buyer.plan(&world).await, "pro");
    happen(&world, &event("customer.subscription.deleted", 300, &new, &world)).await;
    assert_eq!(buyer.plan(&world).await, "free");
    let told = "SELECT group_concat(type) FROM (SELECT type FROM events WHERE type LIKE 'subscription.%' \
        ORDER BY org_id, sequence)";
    let expected = "subscription.created,subscription.updated,subscription.ended";
    assert_eq!(world.text(told).as_deref(), Some(expected), "the end of the old one changed nothing");
}

#[actix::test]
async fn an_invoice_and_a_checkout_count_whichever_comes_first() {
    let (world, shop, buyer) = stage().await;
    // The labels are on the checkout alone, and it is completed before or after the subscription is seen.
    for (id, checkout_first) in [("sub_1", true), ("sub_2", false)] {
        let mut bought = subscription(id, &buyer, &shop.web, PRO, &world);
        bought["metadata"] = json!({});
        let session = json!({ "id": "cs_1", "object": "checkout.session", "mode": "subscription",
            "customer": bought["customer"], "subscription": id,
            "metadata": { "user_id": buyer.user, "service_id": shop.web } });
        let mut events = [
            event("checkout.session.completed", 5, &session, &world),
            event("customer.subscription.created", 4, &bought, &world),
        ];
        if !checkout_first {
            events.reverse();
        }
        for one in &events {
            happen(&world, one).await;
        }
        assert_eq!(buyer.plan(&world).await, "pro", "{id}");
        let invoice = json!({ "id": "in_1", "customer": bought["customer"],
            "parent": { "subscription_details": { "subscription": id } } });
        happen(&world, &event("invoice.payment_failed", 60, &invoice, &world)).await;
        assert_eq!(buyer.subject(&world).await.subscription.unwrap().status, "past_due");
        happen(&world, &event("invoice.paid", 61, &invoice, &world)).await;
        assert_eq!(buyer.subject(&world).await.subscription.unwrap().status, "active");
        happen(&world, &event("customer.subscription.deleted", 90, &bought, &world)).await;
        assert_eq!(buyer.plan(&world).await, "free", "{id}");
    }
}

#[actix::test]
async fn nobody_is_entitled_across_organizations_or_services() {
    let (world, acme, ada) = stage().await;
    let other = shop(&world, "other").await;
    let bob = other.buyer(&world, "bob").await;
    let foreign = "price_other-web_pro";
    let terminal_plan = "price_acme-terminal_pro";
    let plan_of_terminal = world.text(&format!(
        "SELECT public_id FROM plans WHERE service_id = {} AND name = 'free'",
        acme.tenant.terminal.id
    ));
    let base = |user: &Buyer, service: &str, price: &str| subscription("sub_x", user, service, price, &world);
    let with = |mut object: Value, name: &str, value: Value| {
        object["metadata"][name] = value;
        object
    };
    let cases = [
        (PLATFORM_ORG_ID, base(&ada, &other.web, foreign), "of another organization"),
        (PLATFORM_ORG_ID, base(&ada, &acme.web, foreign), "names the price"),
        (PLATFORM_ORG_ID, base(&ada, &acme.web, terminal_plan), "names the price"),
        (PLATFORM_ORG_ID, base(&ada, &public_id(), PRO), "names no service"),
        (PLATFORM_ORG_ID, with(base(&ada, &acme.web, PRO), "user_id", json!(public_id())), "names no user"),
        (PLATFORM_ORG_ID, with(base(&ada, &acme.web, PRO), "user_id", json!(17)), "user_id is missing"),
        (PLATFORM_ORG_ID, with(base(&ada, &acme.web, PRO), "user_id", json!("' OR 1=1")), "names no user"),
        (
            PLATFORM_ORG_ID,
            with(base(&ada, &acme.web, "x"), "plan_id", json!(plan_of_terminal)),
            "another service",
        ),
        (PLATFORM_ORG_ID, with(base(&ada, &acme.web, "x"), "plan_id", json!(public_id())), "names no plan"),
        // An organization's own account sells that organization's services and nothing else.
        (other.tenant.org_id, base(&ada, &acme.web, PRO), "of another organization"),
        (other.tenant.org_id, with(base(&bob, &acme.web, PRO), "x", json!("y")), "of another organization"),
        (
            other.tenant.org_id,
            with(base(&bob, &other.web, foreign), "organization_id", json!(public_id())),
            "platform's own",
        ),
    ];
    for (number, (account, mut object, reason)) in cases.into_iter().enumerate() {
        object["id"] = json!(format!("sub_{number}"));
        let body = event("customer.subscription.created", 0, &object, &world);
        deliver(&world, account, &body).await;
        settled(&world).await;
        let (status, found) = fate(&world, &body);
        assert_eq!(status, "ignored", "{number}");
        assert!(
            found.as_deref().is_some_and(|found| found.contains(reason)),
            "{number}: {found:?}, not {reason}"
        );
    }
    for buyer in [&ada, &bob] {
        assert_eq!(buyer.plan(&world).await, "free");
    }
    // And what is right is right, in both accounts, whatever the other service of the organization sells.
    let right = event("customer.subscription.created", 0, &base(&bob, &other.web, foreign), &world);
    deliver(&world, other.tenant.org_id, &right).await;
    settled(&world).await;
    assert_eq!((bob.plan(&world).await.as_str(), ada.plan(&world).await.as_str()), ("pro", "free"));
    assert_eq!(world.number("SELECT COUNT(*) FROM subscriptions"), 1);
}

#[actix::test]
async fn events_that_are_no_use_are_kept_with_the_reason() {
    let (world, shop, buyer) = stage().await;
    let bought = subscription("sub_1", &buyer, &shop.web, PRO, &world);
    let mut connected = event("customer.subscription.created", 0, &bought, &world);
    connected["account"] = json!("acct_1");
    for (body, reason) in [
        (event("charge.refunded", 0, &json!({ "id": "ch_1" }), &world), "this type"),
        (event("customer.subscription.created", 0, &json!("text"), &world), "not what its type promises"),
        (event("customer.subscription.created", 0, &Value::Null, &world), "not what its type promises"),
        (event("invoice.paid", 0, &json!({ "id": "in_1" }), &world), "no subscription"),
        (connected, "connected account"),
    ] {
        happen(&world, &body).await;
        let (status, found) = fate(&world, &body);
        assert_eq!(status, "ignored");
        assert!(found.as_deref().is_some_and(|found| found.contains(reason)), "{found:?}");
    }
    // A status that nobody knows yet grants nothing and breaks nothing.
    let mut odd = bought;
    odd["status"] = json!("hibernating");
    happen(&world, &event("customer.subscription.created", 0, &odd, &world)).await;
    assert_eq!(buyer.plan(&world).await, "free");
    assert_eq!(world.text("SELECT status FROM subscriptions").as_deref(), Some("hibernating"));
}

#[actix::test]
async fn an_organization_is_on_the_tier_that_it_pays_for() {
    let stand_in = Arc::<StandIn>::default();
    let world = World::with_stripe(stand_in.port());
    let owner = administrator(&world, "olga").await;
    let organization = registered(&world, "acme", owner.user_id).await;
    let tier = || world.text("SELECT tier_id FROM organizations WHERE slug = 'acme'").unwrap();
    world.execute("UPDATE tiers SET stripe_price_id = 'price_tier_pro' WHERE id = 'tier_pro'");
    let id = world.text("SELECT public_id FROM organizations WHERE slug = 'acme'").unwrap();
    let mut paid = json!({ "id": "sub_t", "customer": "cus_t", "status": "active", "created": world.now() / 1000,
        "metadata": { "organization_id": id }, "current_period_end": world.now() / 1000 + 86_400,
        "items": { "data": [{ "price": { "id": "price_tier_pro" } }] } });
    happen(&world, &event("customer.subscription.created", 0, &paid, &world)).await;
    assert_eq!(tier(), "tier_pro");
    paid["status"] = json!("canceled");
    happen(&world, &event("customer.subscription.deleted", 9, &paid, &world)).await;
    assert_eq!(tier(), "tier_free");
    let changes = "SELECT COUNT(*) FROM audit_log WHERE action = 'organization.tier_changed'";
    assert_eq!(world.number(changes), 2);
    // A tier that the platform gave stays when something is not paid for.
    world.execute("UPDATE organizations SET tier_id = 'tier_enterprise' WHERE slug = 'acme'");
    happen(&world, &event("customer.subscription.updated", 10, &paid, &world)).await;
    assert_eq!(tier(), "tier_enterprise");
    assert!(organization.organization.id > 1);
}
