//! Prices of tiers.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::tier_prices::{NoSuchTier, SetTierPrice};
use serde_json::json;

use crate::error::{Code, Error};
use crate::http::caller::Call;
use crate::http::fields::Fields;
use crate::http::management::{PlatformOwner, audit_context};
use crate::state::App;

/// `PATCH /api/platform/tiers/{id}`: ties a tier to a price at Stripe; null unties it.
pub async fn set_price(
    app: Data<App>,
    request: HttpRequest,
    path: Path<String>,
    call: Call<PlatformOwner, Fields>,
) -> Result<HttpResponse, Error> {
    let mut fields = call.input;
    if !fields.has("stripe_price_id") {
        fields.reject("stripe_price_id", "is missing");
    }
    let stripe_price_id = fields.text("stripe_price_id", 255);
    if stripe_price_id.as_ref().is_some_and(|id| !id.bytes().all(|byte| byte.is_ascii_graphic())) {
        fields.reject("stripe_price_id", "must be the id of a price at Stripe");
    }
    fields.finish()?;
    let set = SetTierPrice {
        tier_id: path.into_inner(),
        stripe_price_id: stripe_price_id.clone(),
        audit: audit_context(&app, &request, Some(&call.caller.subject)),
    };
    let tier_id = set.tier_id.clone();
    app.store.write(set).await.map_err(|error| {
        Error::from_op(error, |NoSuchTier| Error::new(Code::NotFound, "There is no such tier."))
    })?;
    Ok(HttpResponse::Ok().json(json!({ "id": tier_id, "stripe_price_id": stripe_price_id })))
}
