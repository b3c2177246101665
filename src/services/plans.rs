//! Handlers of plans.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::plans::{CreatePlan, DeletePlan, PlanRefusal, PlansOfService, UpdatePlan};
use gatehouse_actors::data::service_admin::ServiceReference;

use super::handlers::unknown_service;
use super::{rules, view};
use crate::error::{Code, Error};
use crate::http::caller::Call;
use crate::http::fields::Fields;
use crate::http::management::{Active, AnyMember, AtLeastAdmin, OrganizationCaller, audit_context};
use crate::state::App;

type Answer = Result<HttpResponse, Error>;
type Admin<Input = ()> = Call<OrganizationCaller<AtLeastAdmin, Active>, Input>;

/// `POST /api/organizations/{org}/services/{svc}/plans`
pub async fn create(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    call: Admin<Fields>,
) -> Answer {
    let create = CreatePlan {
        service: ServiceReference { org_id: call.caller.organization.id, reference: path.into_inner().1 },
        public_id: app.random.uuid(app.clock.now()),
        plan: rules::new_plan(call.input)?,
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    let plan = app.store.write(create).await.map_err(|error| Error::from_op(error, refused))?;
    Ok(HttpResponse::Created().json(view::plan_answer(&plan)))
}

/// `GET /api/organizations/{org}/services/{svc}/plans`
pub async fn list(
    app: Data<App>,
    path: Path<(String, String)>,
    call: Call<OrganizationCaller<AnyMember, Active>>,
) -> Answer {
    let service = ServiceReference { org_id: call.caller.organization.id, reference: path.into_inner().1 };
    let plans = app.store.read(PlansOfService { service }).await?.ok_or_else(unknown_service)?;
    Ok(HttpResponse::Ok().json(plans.iter().map(view::plan_answer).collect::<Vec<_>>()))
}

/// `PATCH /api/organizations/{org}/services/{svc}/plans/{plan}`
pub async fn update(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String, String)>,
    call: Admin<Fields>,
) -> Answer {
    let (_, reference, plan_public_id) = path.into_inner();
    let update = UpdatePlan {
        service: ServiceReference { org_id: call.caller.organization.id, reference },
        plan_public_id,
        changes: rules::plan_changes(call.input)?,
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    let plan = app.store.write(update).await.map_err(|error| Error::from_op(error, refused))?;
    Ok(HttpResponse::Ok().json(view::plan_answer(&plan)))
}

/// `DELETE /api/organizations/{org}/services/{svc}/plans/{plan}`
pub async fn delete(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String, String)>,
    call: Admin,
) -> Answer {
    let (_, reference, plan_public_id) = path.into_inner();
    let delete = DeletePlan {
        service: ServiceReference { org_id: call.caller.organization.id, reference },
        plan_public_id,
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    app.store.write(delete).await.map_err(|error| Error::from_op(error, refused))?;
    Ok(HttpResponse::NoContent().finish())
}

fn refused(reason: PlanRefusal) -> Error {
    let conflict = |message| Error::new(Code::Conflict, message);
    match reason {
        PlanRefusal::UnknownService => unknown_service(),
        PlanRefusal::UnknownPlan => Error::new(Code::NotFound, "There is no such plan."),
        PlanRefusal::NameTaken => conflict("Another plan of the service has this name."),
        PlanRefusal::TooMany => conflict("The service has as many plans as it may have."),
        PlanRefusal::DefaultNeeded => {
            conflict("A service always has a default plan. Make another plan the default first.")
        }
        PlanRefusal::HasSubscriptions => conflict("There are subscriptions to this plan."),
        PlanRefusal::PriceNotExact => Error::invalid(
            "price_monthly",
            "price_monthly must be a price from 0 on with no more decimals than the currency has.",
        ),
    }
}
