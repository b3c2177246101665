//! Webhooks: which events go where, secrets in rotation, the log, the replay, and when one is switched off.

use gatehouse_actors::data::audit::AuditContext;
use gatehouse_actors::data::organizations::RenameOrganization;
use gatehouse_actors::data::webhook_deliveries::{
    DISABLE_AFTER, PingWebhook, ReplayDelivery, SendRefusal, WebhookDeliveries, WebhookForDelivery,
};
use gatehouse_actors::data::webhooks::{
    CreateWebhook, DeleteWebhook, MAX_WEBHOOKS, RotateWebhookSecret, TooManyWebhooks, UnknownWebhook,
    UpdateWebhook, WEBHOOK_SECRET_GRACE, Webhook, WebhookChanges, WebhookReference, WebhookSettings,
    Webhooks,
};
use gatehouse_actors::outbox::Outcome;

use crate::support::{Receivers, World, audit, public_id, refusal, tenant};

fn new_webhook(world: &World, org_id: i64, event_types: Option<&[&str]>) -> CreateWebhook {
    CreateWebhook {
        org_id,
        public_id: public_id(),
        settings: WebhookSettings {
            url: "https://app.example/hook".to_owned(),
            description: String::new(),
            event_types: event_types.map(|words| words.iter().map(ToString::to_string).collect()),
            enabled: true,
        },
        secret_sealed: b"first".to_vec(),
        audit: audit(world),
    }
}

async fn webhook(world: &World, org_id: i64, event_types: Option<&[&str]>) -> Webhook {
    world.store.write(new_webhook(world, org_id, event_types)).await.unwrap()
}

fn reference(webhook: &Webhook) -> WebhookReference {
    WebhookReference { org_id: webhook.org_id, public_id: webhook.public_id.clone() }
}

async fn rename(world: &World, id: i64, name: &str) {
    let audit = audit(world);
    world.store.write(RenameOrganization { id, name: name.to_owned(), audit }).await.unwrap();
}

async fn log(world: &World, webhook: &Webhook) -> Vec<(i64, String)> {
    let question = WebhookDeliveries { webhook: reference(webhook), before: None, limit: 10 };
    let log = world.store.read(question).await.unwrap().unwrap();
    log.into_iter().map(|one| (one.sequence, one.status)).collect()
}

#[actix::test]
async fn an_event_goes_to_the_webhooks_of_its_organization_that_want_its_type() {
    let world = World::new();
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    let all = webhook(&world, acme.org_id, None).await;
    let renames = webhook(&world, acme.org_id, Some(&["organization.renamed", "user.created"])).await;
    let sessions = webhook(&world, acme.org_id, Some(&["session.created"])).await;
    let foreign = webhook(&world, other.org_id, None).await;
    rename(&world, acme.org_id, "Acme").await;
    let mut logs = Vec::new();
    for one in [&all, &renames, &sessions, &foreign] {
        logs.push(log(&world, one).await.len());
    }
    assert_eq!(logs, [1, 1, 0, 0]);
    let off = WebhookChanges { enabled: Some(false), ..WebhookChanges::default() };
    let update = UpdateWebhook { webhook: reference(&all), changes: off, audit: audit(&world) };
    assert!(!world.store.write(update).await.unwrap().settings.enabled);
    rename(&world, acme.org_id, "Acme 2").await;
    assert_eq!((log(&world, &all).await.len(), log(&world, &renames).await.len()), (1, 2));
    world.stop().await;
}

#[actix::test]
async fn an_organization_has_ten_at_most_and_sees_its_own_only() {
    let world = World::new();
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    let first = webhook(&world, acme.org_id, None).await;
    for _ in 1..MAX_WEBHOOKS {
        webhook(&world, acme.org_id, None).await;
    }
    let one_more = new_webhook(&world, acme.org_id, None);
    assert_eq!(refusal(world.store.write(one_more.clone()).await), TooManyWebhooks);
    assert_eq!(world.store.read(Webhooks { org_id: other.org_id }).await.unwrap(), []);
    let foreign = WebhookReference { org_id: other.org_id, public_id: first.public_id.clone() };
    assert_eq!(world.store.read(foreign.clone()).await.unwrap(), None);
    let delete = |webhook| DeleteWebhook { webhook, audit: audit(&world) };
    assert_eq!(refusal(world.store.write(delete(foreign)).await), UnknownWebhook);
    world.store.write(delete(reference(&first))).await.unwrap();
    world.store.write(one_more).await.unwrap();
    assert_eq!(refusal(world.store.write(delete(reference(&first))).await), UnknownWebhook);
    assert_eq!(world.number("SELECT COUNT(*) FROM webhooks WHERE secret_sealed IS NULL AND url = ''"), 1);
    world.stop().await;
}

#[actix::test]
async fn two_secrets_sign_while_one_is_replaced() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let hook = webhook(&world, acme.org_id, None).await;
    rename(&world, acme.org_id, "Acme").await;
    let secrets = async || {
        let question =
            WebhookForDelivery { webhook_id: hook.id, org_id: acme.org_id, sequence: 1, now: world.now() };
        world.store.read(question).await.unwrap().unwrap().secrets_sealed
    };
    assert_eq!(secrets().await, [b"first"]);
    let rotate = |secret: &[u8]| RotateWebhookSecret {
        webhook: reference(&hook),
        secret_sealed: secret.to_vec(),
        audit: audit(&world),
    };
    let until = world.store.write(rotate(b"second")).await.unwrap();
    assert_eq!(until, world.now() + WEBHOOK_SECRET_GRACE);
    assert_eq!(secrets().await, [b"second".to_vec(), b"first".to_vec()]);
    world.store.write(rotate(b"third")).await.unwrap();
    assert_eq!(secrets().await, [b"third".to_vec(), b"second".to_vec()], "never more than two");
    world.clock.advance(WEBHOOK_SECRET_GRACE);
    assert_eq!(secrets().await, [b"third"]);
    world.stop().await;
}

#[actix::test]
async fn a_delivery_is_replayed_under_the_same_id_and_only_when_it_is_finished() {
    let (world, receivers) = (World::new(), Receivers::default());
    let acme = tenant(&world, "acme").await;
    let hook = webhook(&world, acme.org_id, None).await;
    let refused = Outcome::Refused { status: Some(400), reason: "answered 400".to_owned() };
    receivers.plan(hook.id, &[refused]);
    rename(&world, acme.org_id, "Acme").await;
    let replay = |sequence, context: AuditContext| ReplayDelivery {
        webhook: reference(&hook),
        sequence,
        audit: context,
    };
    assert_eq!(refusal(world.store.write(replay(1, audit(&world))).await), SendRefusal::Pending);
    assert_eq!(refusal(world.store.write(replay(9, audit(&world))).await), SendRefusal::UnknownDelivery);
    world.deliver_to(&receivers).await;
    world.until("outbox", "dead", 1).await;
    world.until("outbox", "busy", 0).await;
    assert_eq!(log(&world, &hook).await, [(1, "dead".to_owned())]);
    world.store.write(replay(1, audit(&world))).await.unwrap();
    world.until("outbox", "delivered", 1).await;
    world.until("outbox", "busy", 0).await;
    assert_eq!(log(&world, &hook).await, [(1, "delivered".to_owned())]);
    let seen = receivers.seen();
    assert_eq!((seen[0].id, seen[0].subject_id), (seen[1].id, seen[1].subject_id));

    let ping = PingWebhook { webhook: reference(&hook), audit: audit(&world) };
    let event = world.store.write(ping).await.unwrap();
    assert_eq!((event.sequence, event.event_type.as_str()), (2, "webhook.ping"));
    world.until("outbox", "delivered", 2).await;
    world.stop().await;
}

#[actix::test]
async fn one_that_fails_for_days_is_switched_off_and_the_organization_hears_of_it() {
    let (world, receivers) = (World::new(), Receivers::default());
    let acme = tenant(&world, "acme").await;
    let (down, up) = (webhook(&world, acme.org_id, None).await, webhook(&world, acme.org_id, None).await);
    receivers
        .always(down.id, Outcome::Failed { status: None, reason: "no connection".to_owned(), wait: None });
    world.deliver_to(&receivers).await;
    rename(&world, acme.org_id, "Acme").await;
    world.until("outbox", "failed", 1).await;
    world.until("outbox", "busy", 0).await;
    let found = world.store.read(reference(&down)).await.unwrap().unwrap();
    assert!(found.settings.enabled && found.failing_since.is_some());
    world.clock.advance(DISABLE_AFTER);
    rename(&world, acme.org_id, "Acme 2").await;
    // To the one that is up: both renames, and that the other is off.
    world.until("outbox", "delivered", 3).await;
    let found = world.store.read(reference(&down)).await.unwrap().unwrap();
    assert!(!found.settings.enabled);
    assert_eq!(found.disabled_reason.as_deref(), Some("its receiver failed for three days"));
    let noted = "SELECT COUNT(*) FROM audit_log WHERE action = 'webhook.disabled' AND actor_user_id IS NULL";
    assert_eq!(world.number(noted), 1);
    assert_eq!(log(&world, &up).await.len(), 3);
    // Somebody who mended it begins with a clean slate.
    let on = WebhookChanges { enabled: Some(true), ..WebhookChanges::default() };
    let update = UpdateWebhook { webhook: reference(&down), changes: on, audit: audit(&world) };
    world.until("outbox", "busy", 0).await;
    world.store.write(update).await.unwrap();
    let found = world.store.read(reference(&down)).await.unwrap().unwrap();
    assert_eq!((found.disabled_reason, found.failing_since), (None, None));
    world.stop().await;
}

#[actix::test]
async fn a_receiver_that_says_it_is_gone_is_believed() {
    let (world, receivers) = (World::new(), Receivers::default());
    let acme = tenant(&world, "acme").await;
    let hook = webhook(&world, acme.org_id, None).await;
    receivers.plan(hook.id, &[Outcome::Gone { reason: "its receiver answered 410".to_owned() }]);
    rename(&world, acme.org_id, "Acme").await;
    rename(&world, acme.org_id, "Acme 2").await;
    world.deliver_to(&receivers).await;
    world.until("outbox", "dead", 1).await;
    world.until("outbox", "busy", 0).await;
    let found = world.store.read(reference(&hook)).await.unwrap().unwrap();
    assert_eq!(found.disabled_reason.as_deref(), Some("its receiver answered 410"));
    assert_eq!(log(&world, &hook).await.iter().filter(|(_, status)| status == "dead").count(), 2);
    let ping = PingWebhook { webhook: reference(&hook), audit: audit(&world) };
    assert_eq!(refusal(world.store.write(ping).await), SendRefusal::Disabled);
    world.stop().await;
}
