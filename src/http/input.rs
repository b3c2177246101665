//! What a client sent: parameters from a query, a form or a JSON object, none of them twice.

use std::fmt;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{HttpRequest, web};
use futures_util::StreamExt;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::error::{Code, Error};

/// The largest body of any route but webhooks, in bytes.
const BODY_LIMIT: usize = 64 * 1024;
/// The largest number of parameters.
const PARAMETER_LIMIT: usize = 64;

/// What may be given several times: RFC 8707, section 2, says so.
const REPEATABLE: [&str; 1] = ["resource"];

/// Named text values, each name once (RFC 6749, section 3.1: parameters must not be included more than once).
#[derive(Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl fmt::Debug for Params {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Params {
    /// The parameters of a query string.
    pub fn from_query(query: &str) -> Result<Self, Error> {
        Self::from_form(query.as_bytes())
    }

    pub(super) fn from_form(body: &[u8]) -> Result<Self, Error> {
        let is_encoded = body.contains(&b'%') || body.contains(&b'+');
        match str::from_utf8(body) {
            Ok(text) if !is_encoded => Self::from_pairs(divided(text)),
            _ => Self::from_pairs(url::form_urlencoded::parse(body).into_owned()),
        }
    }

    pub(super) fn from_json(body: &[u8]) -> Result<Self, Error> {
        // Bodiless requests with a JSON content type are common among existing clients.
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let JsonObject(members) = serde_json::from_slice(body)
            .map_err(|_| Error::bad_request("The body is not a JSON object of plain values."))?;
        Self::from_pairs(members.into_iter())
    }

    /// Named values from wherever they come.
    pub fn from_pairs(pairs: impl Iterator<Item = (String, String)>) -> Result<Self, Error> {
        let mut params: Vec<(String, String)> = Vec::new();
        for (name, value) in pairs {
            if params.len() == PARAMETER_LIMIT {
                return Err(Error::bad_request("There are too many parameters."));
            }
            if !REPEATABLE.contains(&name.as_str()) && params.iter().any(|(known, _)| *known == name) {
                return Err(Error::bad_request("A parameter is given more than once."));
            }
            params.push((name, value));
        }
        Ok(Self(params))
    }

    /// The value of `name`; none when missing or empty (RFC 6749, section 3.1: a parameter without a value is
    /// treated as if it were omitted).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|v| !v.is_empty())
    }

    /// Every value of `name` that is not empty.
    pub fn get_all<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The parameters, as a list of pairs.
    #[must_use]
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// The value of `name`, or the error that says it is missing.
    pub fn required(&self, name: &'static str) -> Result<&str, Error> {
        self.get(name).ok_or_else(|| Error::invalid(name, format!("The parameter {name} is missing.")))
    }

    /// The parameters as a query string, without those named.
    #[must_use]
    pub fn query_without(&self, names: &[&str]) -> String {
        let kept = self.0.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish()
    }
}

/// The pairs of a form in which nothing is encoded, as most are that programs send: tokens are long, and to look at each
/// of their bytes several times is a tenth of what an introspection costs.
fn divided(form: &str) -> impl Iterator<Item = (String, String)> {
    let pairs = form.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.to_owned())
    })
}

/// A JSON object of plain values, no member twice: last-wins is how filters are walked around.
struct JsonObject(Vec<(String, String)>);

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = JsonObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of plain values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonObject, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    match value {
                        Value::String(text) => members.push((name, text)),
                        Value::Number(number) => members.push((name, number.to_string())),
                        Value::Bool(flag) => members.push((name, flag.to_string())),
                        Value::Null => {}
                        Value::Array(list) if REPEATABLE.contains(&name.as_str()) => {
                            for item in list {
                                let Value::String(text) = item else {
                                    return Err(serde::de::Error::custom("not a text"));
                                };
                                members.push((name.clone(), text));
                            }
                        }
                        Value::Array(_) | Value::Object(_) => {
                            return Err(serde::de::Error::custom("nested value"));
                        }
                    }
                }
                Ok(JsonObject(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// What a handler wants parsed from a request, after its caller was identified.
pub trait Input: Sized {
    /// Reads and checks the input.
    fn parse(request: &HttpRequest, payload: &mut Payload) -> impl Future<Output = Result<Self, Error>>;
}

/// Nothing is read.
impl Input for () {
    async fn parse(_: &HttpRequest, _: &mut Payload) -> Result<Self, Error> {
        Ok(())
    }
}

/// The parameters of the query.
pub struct Query(pub Params);

impl Input for Query {
    async fn parse(request: &HttpRequest, _: &mut Payload) -> Result<Self, Error> {
        Params::from_query(request.query_string()).map(Self)
    }
}

/// The parameters of a body, form or JSON.
pub struct Body(pub Params);

impl Input for Body {
    async fn parse(request: &HttpRequest, payload: &mut Payload) -> Result<Self, Error> {
        let media_type = media_type(request);
        let parse = match media_type.as_str() {
            "application/x-www-form-urlencoded" => Params::from_form,
            "application/json" => Params::from_json,
            _ => return Err(unsupported("application/x-www-form-urlencoded or application/json")),
        };
        parse(&read_body(request, payload).await?).map(Self)
    }
}

/// The parameters of an HTML form.
pub struct Form(pub Params);

impl Input for Form {
    async fn parse(request: &HttpRequest, payload: &mut Payload) -> Result<Self, Error> {
        if !is_form(request) {
            return Err(unsupported("application/x-www-form-urlencoded"));
        }
        Params::from_form(&read_body(request, payload).await?).map(Self)
    }
}

/// Whether the body is an HTML form.
#[must_use]
pub fn is_form(request: &HttpRequest) -> bool {
    media_type(request) == "application/x-www-form-urlencoded"
}

/// The bytes of a JSON body. A request without a body may do without the content type.
pub(super) async fn json_body(request: &HttpRequest, payload: &mut Payload) -> Result<web::BytesMut, Error> {
    let media_type = media_type(request);
    let body = read_body(request, payload).await?;
    if media_type == "application/json" || (body.is_empty() && media_type.is_empty()) {
        return Ok(body);
    }
    Err(unsupported("application/json"))
}

/// The bytes of a body as they were sent, of at most `limit` bytes.
pub async fn raw_body(
    request: &HttpRequest,
    payload: &mut Payload,
    limit: usize,
) -> Result<web::BytesMut, Error> {
    if media_type(request) != "application/json" {
        return Err(unsupported("application/json"));
    }
    read_at_most(request, payload, limit).await
}

fn media_type(request: &HttpRequest) -> String {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase()
}

fn unsupported(expected: &str) -> Error {
    Error::new(Code::UnsupportedMediaType, format!("The Content-Type must be {expected}."))
}

async fn read_body(request: &HttpRequest, payload: &mut Payload) -> Result<web::BytesMut, Error> {
    read_at_most(request, payload, BODY_LIMIT).await
}

async fn read_at_most(
    request: &HttpRequest,
    payload: &mut Payload,
    limit: usize,
) -> Result<web::BytesMut, Error> {
    if request.headers().contains_key(CONTENT_ENCODING) {
        return Err(Error::new(Code::UnsupportedMediaType, "Compressed bodies are not accepted."));
    }
    let too_large = || Error::new(Code::PayloadTooLarge, format!("The body is larger than {limit} bytes."));
    // What says beforehand that it is too large is not waited for.
    let declared =
        request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit)) {
        return Err(too_large());
    }
    let mut body = web::BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| broken_off(&error))?;
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn broken_off(error: &PayloadError) -> Error {
    match error {
        PayloadError::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            Error::new(Code::RequestTimeout, "The body took too long to arrive.")
        }
        _ => Error::bad_request("The body ended early."),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn duplicates_are_refused_in_every_form() {
        assert!(Params::from_query("a=1&a=1").is_err());
        assert!(Params::from_form(b"a=1&b=2&a=2").is_err());
        assert!(Params::from_json(br#"{"a":"1","a":"2"}"#).is_err());
    }

    #[test]
    fn json_takes_plain_values_only() {
        let params = Params::from_json(br#"{"a":"x","n":5,"t":true,"z":null}"#).unwrap();
        assert_eq!((params.get("a"), params.get("n"), params.get("t")), (Some("x"), Some("5"), Some("true")));
        assert_eq!(params.get("z"), None);
        for body in [r#"{"a":[]}"#, "[]", "null", "\"x\"", "{\"a\":1", "{\"a\":{}}", "\u{0}"] {
            assert!(Params::from_json(body.as_bytes()).is_err(), "{body}");
        }
        let deep = "[".repeat(100_000);
        assert!(Params::from_json(deep.as_bytes()).is_err());
        assert!(Params::from_json(b" ").unwrap().get("a").is_none());
    }

    #[test]
    fn an_empty_value_counts_as_missing() {
        assert_eq!(Params::from_query("state=&code=1").unwrap().get("state"), None);
    }

    proptest! {
        #[test]
        fn a_form_without_escapes_is_read_as_the_library_reads_it(form in "[a-c=&é\u{0}~]{0,24}") {
            let read: Vec<_> = divided(&form).collect();
            let expected: Vec<_> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
            prop_assert_eq!(read, expected);
        }
    }
}
