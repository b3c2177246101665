//! Handlers of services.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::data::service_admin::{
    CreateService, CreateServiceRefusal, DeleteService, DeleteServiceRefusal, ListServices, ServiceReference,
    ServiceWithPlans, UpdateService, UpdateServiceRefusal,
};
use serde_json::json;

use super::{registration, rules, view};
use crate::error::{Code, Error};
use crate::http::caller::Call;
use crate::http::fields::Fields;
use crate::http::input::Query;
use crate::http::management::{
    Active, AnyMember, AtLeastAdmin, OnlyOwner, OrganizationCaller, audit_context,
};
use crate::http::page::Page;
use crate::state::App;

type Answer = Result<HttpResponse, Error>;

pub(super) fn unknown_service() -> Error {
    Error::new(Code::NotFound, "There is no such service.")
}

/// `POST /api/organizations/{org}/services`
pub async fn create(
    app: Data<App>,
    request: HttpRequest,
    call: Call<OrganizationCaller<AtLeastAdmin, Active>, Fields>,
) -> Answer {
    let new = rules::new_service(call.input, &app.base_url)?;
    let now = app.clock.now();
    let create = CreateService {
        org_id: call.caller.organization.id,
        public_id: app.random.uuid(now),
        plan_public_id: app.random.uuid(now),
        slug: new.slug,
        client_id: URL_SAFE_NO_PAD.encode(app.random.bytes::<24>()),
        settings: new.settings,
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    let created = app.store.write(create).await.map_err(|error| {
        Error::from_op(error, |refusal| match refusal {
            CreateServiceRefusal::LimitReached(max) => Error::new(
                Code::ServiceLimitExceeded,
                format!("The organization's tier allows {max} services. Delete one or change the tier."),
            ),
            CreateServiceRefusal::SlugTaken => {
                Error::new(Code::Conflict, "Another service of the organization has this slug.")
            }
            CreateServiceRefusal::OrganizationNotActive(status) => Error::not_active(&status),
        })
    })?;
    let organization = &call.caller.organization;
    Ok(HttpResponse::Created().json(json!({
        "service": view::service(&created.service, organization),
        "default_plan": view::plan(&created.default_plan),
        "usage": view::usage(&created.usage),
        "provider_grants": [],
    })))
}

/// `GET /api/organizations/{org}/services`
pub async fn list(app: Data<App>, call: Call<OrganizationCaller<AnyMember, Active>, Query>) -> Answer {
    let params = call.input.0;
    let page = Page::parse(&params)?;
    let question = ListServices {
        org_id: call.caller.organization.id,
        service_type: rules::service_type_filter(&params)?,
        limit: page.limit,
        offset: page.offset,
    };
    let (services, usage) = app.store.read(question).await?;
    let organization = &call.caller.organization;
    let services: Vec<_> = services.iter().map(|listed| view::listed(listed, organization)).collect();
    Ok(HttpResponse::Ok().json(json!({ "services": services, "usage": view::usage(&usage) })))
}

/// `GET /api/organizations/{org}/services/{svc}`
pub async fn show(
    app: Data<App>,
    path: Path<(String, String)>,
    call: Call<OrganizationCaller<AnyMember, Active>>,
) -> Answer {
    let organization = &call.caller.organization;
    let service = ServiceReference { org_id: organization.id, reference: path.into_inner().1 };
    let found = app.store.read(ServiceWithPlans { service }).await?.ok_or_else(unknown_service)?;
    Ok(HttpResponse::Ok().json(view::detail(&found, organization)))
}

/// `PATCH /api/organizations/{org}/services/{svc}`
pub async fn update(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: Call<OrganizationCaller<AtLeastAdmin, Active>, Fields>,
) -> Answer {
    let organization = &call.caller.organization;
    let update = UpdateService {
        service: ServiceReference { org_id: organization.id, reference: path.into_inner().1 },
        changes: rules::service_changes(call.input, &app.base_url)?,
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    let updated = app.store.write(update).await;
    let updated = updated.map_err(|error| {
        Error::from_op(error, |refusal| match refusal {
            UpdateServiceRefusal::Unknown => unknown_service(),
            UpdateServiceRefusal::HasSecret => Error::new(
                Code::Conflict,
                "The service has a client secret. Remove it first to make the service a public client.",
            ),
            UpdateServiceRefusal::NoKeys => {
                Error::invalid("jwks", format!("jwks {}.", registration::KEYS_NEEDED))
            }
        })
    })?;
    Ok(HttpResponse::Ok().json(view::detail(&updated, organization)))
}

/// `DELETE /api/organizations/{org}/services/{svc}`
pub async fn delete(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: Call<OrganizationCaller<OnlyOwner, Active>>,
) -> Answer {
    let delete = DeleteService {
        service: ServiceReference { org_id: call.caller.organization.id, reference: path.into_inner().1 },
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    app.store.write(delete).await.map_err(|error| {
        Error::from_op(error, |refusal| match refusal {
            DeleteServiceRefusal::Unknown => unknown_service(),
            DeleteServiceRefusal::HasSubscriptions => {
                Error::new(Code::Conflict, "The service has active subscriptions. Cancel them first.")
            }
        })
    })?;
    Ok(HttpResponse::NoContent().finish())
}
