//! What is told of a person: the same in an `id_token` and at the userinfo endpoint, by the granted scope.

use gatehouse_actors::data::sessions::Subject;
use serde_json::{Map, Value};

use super::scope;

/// OpenID Connect Core, section 5.4. An address is told only when a provider proved it, so it is verified.
#[must_use]
pub fn of_person(subject: &Subject, granted: &str) -> Map<String, Value> {
    let mut claims = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            claims.insert(name.to_owned(), value);
        }
    };
    if scope::has(granted, "email") {
        put("email", subject.email.clone().map(Value::from));
        put("email_verified", subject.email.as_ref().map(|_| Value::from(true)));
    }
    if scope::has(granted, "profile") {
        put("name", subject.name.clone().map(Value::from));
        put("picture", subject.avatar_url.clone().map(Value::from));
    }
    claims
}
