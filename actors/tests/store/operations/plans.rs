//! Plans of a service: a name of its own, an exact price, and always one default.

use futures_util::future::join_all;
use gatehouse_actors::data::plans::{
    CreatePlan, DeletePlan, Plan, PlanChanges, PlanRefusal, PlansOfService, Price, UpdatePlan,
};
use gatehouse_actors::data::service_admin::ServiceReference;

use super::services::{actions, audit, named, subscribe};
use crate::support::{World, code_for, person, public_id, refusal, spawn_write, tenant};

fn plan(name: &str) -> PlanChanges {
    PlanChanges { name: Some(name.to_owned()), ..PlanChanges::default() }
}

fn create_plan(world: &World, service: &ServiceReference, plan: PlanChanges) -> CreatePlan {
    CreatePlan { service: service.clone(), public_id: public_id(), plan, audit: audit(world) }
}

fn update_plan(world: &World, service: &ServiceReference, plan: &Plan, changes: PlanChanges) -> UpdatePlan {
    UpdatePlan {
        service: service.clone(),
        plan_public_id: plan.public_id.clone(),
        changes,
        audit: audit(world),
    }
}

fn delete_plan(world: &World, service: &ServiceReference, plan: &Plan) -> DeletePlan {
    DeletePlan { service: service.clone(), plan_public_id: plan.public_id.clone(), audit: audit(world) }
}

const DEFAULTS: &str = "SELECT COUNT(*) FROM plans p JOIN services s ON s.id = p.service_id \
    WHERE s.client_id = 'acme-web' AND p.is_default";

#[actix::test]
async fn there_is_exactly_one_default_plan_always() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let service = named(acme.org_id, "web");
    let make_default = || PlanChanges { is_default: Some(true), ..PlanChanges::default() };
    let first =
        world.store.read(PlansOfService { service: service.clone() }).await.unwrap().unwrap().remove(0);
    let pro = PlanChanges { is_default: Some(true), ..plan("pro") };
    let pro = world.store.write(create_plan(&world, &service, pro)).await.unwrap();
    assert_eq!((pro.is_default, world.number(DEFAULTS)), (true, 1));
    let refused = refusal(world.store.write(delete_plan(&world, &service, &pro)).await);
    assert_eq!(refused, PlanRefusal::DefaultNeeded);
    let unset = PlanChanges { is_default: Some(false), ..PlanChanges::default() };
    let refused = refusal(world.store.write(update_plan(&world, &service, &pro, unset)).await);
    assert_eq!(refused, PlanRefusal::DefaultNeeded);
    let back = world.store.write(update_plan(&world, &service, &first, make_default())).await.unwrap();
    assert_eq!((back.is_default, world.number(DEFAULTS)), (true, 1));
    // Both at once, many times: whoever is last wins, and there is always one.
    let switches = (0..10).map(|n| {
        let target = if n % 2 == 0 { &pro } else { &first };
        spawn_write(&world.store, update_plan(&world, &service, target, make_default()))
    });
    assert!(join_all(switches).await.iter().all(Result::is_ok));
    assert_eq!(world.number(DEFAULTS), 1);
    world.stop().await;
}

#[actix::test]
async fn a_plan_has_a_name_of_its_own_and_an_exact_price() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let service = named(acme.org_id, "web");
    let taken = refusal(world.store.write(create_plan(&world, &service, plan("free"))).await);
    assert_eq!(taken, PlanRefusal::NameTaken);
    let decimal = |text: &str| Some(Price::Decimal(text.to_owned()));
    let pro = PlanChanges { price: decimal("19.99"), features: Some(vec!["sso".to_owned()]), ..plan("pro") };
    let pro = world.store.write(create_plan(&world, &service, pro)).await.unwrap();
    assert_eq!((pro.terms.price_cents, pro.terms.currency.as_str()), (1999, "USD"));
    let too_exact = PlanChanges { price: decimal("19.999"), ..PlanChanges::default() };
    let refused = refusal(world.store.write(update_plan(&world, &service, &pro, too_exact)).await);
    assert_eq!(refused, PlanRefusal::PriceNotExact);
    let yen =
        PlanChanges { price: decimal("500"), currency: Some("JPY".to_owned()), ..PlanChanges::default() };
    let pro = world.store.write(update_plan(&world, &service, &pro, yen)).await.unwrap();
    assert_eq!((pro.terms.price_cents, pro.terms.features.len()), (500, 1));
    let renamed = refusal(world.store.write(update_plan(&world, &service, &pro, plan("free"))).await);
    assert_eq!(renamed, PlanRefusal::NameTaken);
    let elsewhere = named(acme.org_id, "terminal");
    let foreign = refusal(world.store.write(delete_plan(&world, &elsewhere, &pro)).await);
    assert_eq!(foreign, PlanRefusal::UnknownPlan, "the plan of another service");
    world.store.write(delete_plan(&world, &service, &pro)).await.unwrap();
    assert_eq!(actions(&world, acme.org_id), ["plan.created", "plan.updated", "plan.deleted"]);
    world.stop().await;
}

#[actix::test]
async fn a_plan_that_somebody_has_is_not_deleted() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let service = named(acme.org_id, "web");
    code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let pro = world.store.write(create_plan(&world, &service, plan("pro"))).await.unwrap();
    subscribe(&world, &pro, "ann", "canceled");
    let refused = refusal(world.store.write(delete_plan(&world, &service, &pro)).await);
    assert_eq!(refused, PlanRefusal::HasSubscriptions);
    world.stop().await;
}
