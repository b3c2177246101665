//! Bodies of services and plans. Both kinds of client exist, so what is nested is there flat as well.

use gatehouse_actors::data::memberships::Organization;
use gatehouse_actors::data::plans::Plan;
use gatehouse_actors::data::service_admin::{ListedService, ServiceRecord, Usage};
use gatehouse_actors::money;
use serde_json::{Value, json};

use crate::state::rfc3339;

pub(super) fn service(service: &ServiceRecord, organization: &Organization) -> Value {
    let settings = &service.settings;
    let method = settings.registration.auth_method(service.has_client_secret);
    let mut object = json!({
        "id": service.public_id,
        "org_id": organization.public_id,
        "slug": service.slug,
        "name": settings.name,
        "service_type": settings.service_type,
        "client_id": service.client_id,
        "has_client_secret": service.has_client_secret,
        "github_scopes": settings.github_scopes,
        "google_scopes": settings.google_scopes,
        "microsoft_scopes": settings.microsoft_scopes,
        "redirect_uris": settings.redirect_uris,
        "post_logout_redirect_uris": settings.post_logout_redirect_uris,
        "device_activation_uri": settings.device_activation_uri,
        "created_at": rfc3339(service.created_at),
    });
    if let Some(members) = object.as_object_mut() {
        members.extend(settings.registration.members());
    }
    // What holds, also when nothing was chosen.
    with(object, [("token_endpoint_auth_method", json!(method.as_str()))])
}

pub(super) fn listed(listed: &ListedService, organization: &Organization) -> Value {
    let counts =
        [("plan_count", json!(listed.plan_count)), ("subscription_count", json!(listed.subscription_count))];
    with(service(&listed.service, organization), counts)
}

pub(super) fn detail(found: &(ServiceRecord, Vec<Plan>), organization: &Organization) -> Value {
    let flat = service(&found.0, organization);
    let plans: Vec<Value> = found.1.iter().map(plan_answer).collect();
    let nested = [("service", flat.clone()), ("plans", json!(plans)), ("provider_grants", json!([]))];
    with(flat, nested)
}

pub(super) fn usage(usage: &Usage) -> Value {
    json!({
        "current_services": usage.current_services,
        "max_services": usage.max_services,
        "tier": usage.tier,
    })
}

pub(super) fn plan(plan: &Plan) -> Value {
    let terms = &plan.terms;
    // The text of an exact decimal number is a JSON number.
    let price_monthly: Value =
        serde_json::from_str(&money::to_decimal(terms.price_cents, &terms.currency)).unwrap_or_default();
    json!({
        "id": plan.public_id,
        "service_id": plan.service_public_id,
        "name": terms.name,
        "description": terms.description,
        "price_cents": terms.price_cents,
        "currency": terms.currency,
        "price_monthly": price_monthly,
        "features": terms.features,
        "is_default": plan.is_default,
        "stripe_price_id": terms.stripe_price_id,
        "created_at": rfc3339(plan.created_at),
    })
}

pub(super) fn plan_answer(answered: &Plan) -> Value {
    let flat = plan(answered);
    let nested = [("plan", flat.clone()), ("subscription_count", json!(answered.subscription_count))];
    with(flat, nested)
}

fn with<const N: usize>(mut object: Value, more: [(&str, Value); N]) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    object
}
