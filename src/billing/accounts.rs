//! An organization's own Stripe account: it sells through it, and its events come to an address of their own.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::stripe_accounts::{
    OwnStripeAccount, RemoveStripeAccount, SaveStripeAccount, StripeAccountOfOrganization,
};
use serde_json::{Value, json};

use super::rules;
use crate::config::billing::livemode_of;
use crate::error::{Code, Error};
use crate::http::caller::Call;
use crate::http::fields::Fields;
use crate::http::management::{Active, AnyMember, AtLeastAdmin, OrganizationCaller, audit_context};
use crate::state::{App, rfc3339};

type Answer = Result<HttpResponse, Error>;
type Admin<Input = ()> = Call<OrganizationCaller<AtLeastAdmin, Active>, Input>;

/// `POST /api/organizations/{org}/stripe-account`
pub async fn save(app: Data<App>, request: HttpRequest, call: Admin<Fields>) -> Answer {
    let organization = call.caller.organization;
    let new = rules::account(call.input)?;
    let unsealed = || Error::internal("cannot seal");
    let seal = |place, secret| app.stripe_keys.seal(&app.random, organization.id, place, secret);
    let save = SaveStripeAccount {
        org_id: organization.id,
        org_public_id: organization.public_id,
        secret_key_sealed: seal("secret key", &new.secret_key).ok_or_else(unsealed)?,
        webhook_secrets_sealed: seal("webhook secrets", &new.webhook_secrets).ok_or_else(unsealed)?,
        livemode: livemode_of(new.secret_key.expose()).unwrap_or(true),
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    let org_id = save.org_id;
    app.store.write(save).await.map_err(|error| Error::from_op(error, unrefused))?;
    let saved = app.store.read(StripeAccountOfOrganization { org_id }).await?.ok_or_else(none)?;
    Ok(HttpResponse::Created().json(view(&app, &saved)))
}

/// `GET /api/organizations/{org}/stripe-account`
pub async fn show(app: Data<App>, call: Call<OrganizationCaller<AnyMember>>) -> Answer {
    let org_id = call.caller.organization.id;
    let found = app.store.read(StripeAccountOfOrganization { org_id }).await?.ok_or_else(none)?;
    Ok(HttpResponse::Ok().json(view(&app, &found)))
}

/// `DELETE /api/organizations/{org}/stripe-account`
pub async fn remove(app: Data<App>, request: HttpRequest, call: Admin) -> Answer {
    let remove = RemoveStripeAccount {
        org_id: call.caller.organization.id,
        org_public_id: call.caller.organization.public_id,
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    let removed = app.store.write(remove).await.map_err(|error| Error::from_op(error, unrefused))?;
    if removed { Ok(HttpResponse::NoContent().finish()) } else { Err(none()) }
}

/// Never the secrets.
fn view(app: &App, account: &OwnStripeAccount) -> Value {
    json!({
        "org_id": account.org_public_id,
        "has_secret_key": true,
        "has_webhook_secret": true,
        "livemode": account.livemode,
        "webhook_url": format!("{}/webhooks/stripe/{}", app.base_url, account.org_public_id),
        "created_at": rfc3339(account.created_at),
        "updated_at": rfc3339(account.updated_at),
    })
}

fn none() -> Error {
    Error::new(Code::NotFound, "The organization has no Stripe account of its own.")
}

fn unrefused((): ()) -> Error {
    Error::internal("refused")
}
