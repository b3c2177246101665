//! The parameters of paths.

use serde_json::{Value, json};

use super::objects::PROVIDERS;
use super::shape::{Shape, text, uuid, word};

/// The parameters in braces of a path.
#[must_use]
pub fn parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| {
            let shape = parameter(path, name);
            let (mut schema, example) = (shape.schema().clone(), shape.example().clone());
            let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            json!({
                "name": name, "in": "path", "required": true,
                "description": about.unwrap_or_else(|| Value::from("")), "schema": schema, "example": example,
            })
        })
        .collect()
}

fn parameter(path: &str, name: &str) -> Shape {
    match name {
        "provider" if path.contains("/oauth-credentials/") => {
            word(&["github", "google", "microsoft", "oidc"]).about("The sign-in provider.")
        }
        "provider" => word(&PROVIDERS).about("The sign-in provider; `dev` in dev mode only."),
        "org" => text("acme").about("The organization, by its slug or its id."),
        "svc" => text("shop").about("The service, by its slug or its id."),
        "id" if path.contains("/tiers/") => text("tier_pro").about("The tier."),
        "id" if path.contains("/platform/organizations/") => {
            text("acme").about("The organization, by its slug or its id.")
        }
        "id" => uuid().about("The session."),
        "plan" => uuid().about("The plan."),
        "invitation" => uuid().about("The invitation."),
        "webhook" => uuid().about("The webhook."),
        "event" => text("evt_0198c0de4c1f7000_1").about("The event, by its id."),
        "topic" => text("tokens").about("The tag of the document, in lower case with dashes."),
        "user_id" => uuid().about("The user."),
        _ => text("…"),
    }
}
