//! JSON bodies of the management API: read field by field, all complaints at once.

use std::fmt;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::input::{Input, json_body};
use crate::error::{Code, Error};

/// The longest list in a body.
const LIST_LIMIT: usize = 50;

/// The members of a JSON object, none of them twice. Members that nobody asks for are ignored.
pub struct Fields {
    members: Map<String, Value>,
    wrong: Vec<(&'static str, String)>,
}

/// A text that a person will read: no control, invisible or direction-changing characters, not blank.
fn is_readable(text: &str) -> bool {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    !text.chars().any(hidden) && !text.trim().is_empty()
}

impl Fields {
    fn complain<T>(&mut self, name: &'static str, message: &str) -> Option<T> {
        self.wrong.push((name, message.to_owned()));
        None
    }

    /// Whether the member is there, also as null.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Whether the member is there and null: "clear it".
    #[must_use]
    pub fn is_null(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(Value::is_null)
    }

    /// The member as it was sent.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// Whether a text is plain and of 1 to `longest` characters.
    #[must_use]
    pub fn is_readable_text(text: &str, longest: usize) -> bool {
        text.chars().count() <= longest && is_readable(text)
    }

    /// A text of at most `longest` characters, trimmed; none when missing or null.
    pub fn text(&mut self, name: &'static str, longest: usize) -> Option<String> {
        match self.members.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if Self::is_readable_text(text, longest) => {
                Some(text.trim().to_owned())
            }
            Some(Value::String(_)) => {
                self.complain(name, &format!("must be plain text of 1 to {longest} characters"))
            }
            Some(_) => self.complain(name, "must be a text"),
        }
    }

    /// A text that must be there. The empty text stands for one that is wrong; [`Fields::finish`] reports it.
    pub fn required_text(&mut self, name: &'static str, longest: usize) -> String {
        if matches!(self.members.get(name), None | Some(Value::Null)) {
            self.complain::<()>(name, "is missing");
        }
        self.text(name, longest).unwrap_or_default()
    }

    /// A list of texts; none when missing or null.
    pub fn texts(&mut self, name: &'static str) -> Option<Vec<String>> {
        let list = match self.members.get(name) {
            None | Some(Value::Null) => return None,
            Some(Value::Array(list)) if list.len() <= LIST_LIMIT => list,
            Some(_) => return self.complain(name, &format!("must be a list of at most {LIST_LIMIT} texts")),
        };
        let texts: Option<Vec<String>> = list
            .iter()
            .map(|item| item.as_str().filter(|text| is_readable(text)).map(ToOwned::to_owned))
            .collect();
        if texts.is_none() {
            return self.complain(name, "must be a list of texts");
        }
        texts
    }

    /// A whole number from `range`; none when missing or null.
    pub fn integer(&mut self, name: &'static str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        match self.members.get(name) {
            None | Some(Value::Null) => None,
            Some(value) => match value.as_i64().filter(|number| range.contains(number)) {
                Some(number) => Some(number),
                None => self.complain(
                    name,
                    &format!("must be a whole number from {} to {}", range.start(), range.end()),
                ),
            },
        }
    }

    /// A number as it is written, with its decimals; none when missing or null.
    pub fn number_text(&mut self, name: &'static str) -> Option<String> {
        match self.members.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(_) => self.complain(name, "must be a number"),
        }
    }

    /// True or false; none when missing or null.
    pub fn boolean(&mut self, name: &'static str) -> Option<bool> {
        match self.members.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::Bool(flag)) => Some(*flag),
            Some(_) => self.complain(name, "must be true or false"),
        }
    }

    /// Adds a complaint of a rule that the caller checked.
    pub fn reject(&mut self, name: &'static str, message: &str) {
        self.wrong.push((name, message.to_owned()));
    }

    /// The complaints, all at once.
    pub fn finish(self) -> Result<(), Error> {
        if self.wrong.is_empty() {
            return Ok(());
        }
        let sentences: Vec<String> =
            self.wrong.iter().map(|(name, message)| format!("{name} {message}")).collect();
        let mut fields: Vec<&'static str> = self.wrong.iter().map(|(name, _)| *name).collect();
        fields.dedup();
        Err(Error { fields, ..Error::new(Code::ValidationFailed, format!("{}.", sentences.join("; "))) })
    }
}

/// The body of a management request. An empty body is an empty object.
impl Input for Fields {
    async fn parse(request: &HttpRequest, payload: &mut Payload) -> Result<Self, Error> {
        Self::from_json(&json_body(request, payload).await?)
    }
}

impl Fields {
    /// Reads an object. Nothing at all is an empty one.
    pub fn from_json(body: &[u8]) -> Result<Self, Error> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { members: Map::new(), wrong: Vec::new() });
        }
        let StrictObject(members) =
            serde_json::from_slice(body).map_err(|_| Error::bad_request("The body is not a JSON object."))?;
        Ok(Self { members, wrong: Vec::new() })
    }
}

/// A JSON object, no member twice.
struct StrictObject(Map<String, Value>);

impl<'de> Deserialize<'de> for StrictObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = StrictObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StrictObject, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(serde::de::Error::custom("a member is given twice"));
                    }
                }
                Ok(StrictObject(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
