//! Shapes of JSON values: a JSON Schema and an example of it, made together.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A JSON Schema (draft 2020-12), with an example.
#[derive(Debug, Clone)]
pub struct Shape {
    schema: Value,
    example: Value,
    optional: bool,
    /// The schemas that it refers to, by name.
    parts: BTreeMap<&'static str, Value>,
}

fn plain(schema: Value, example: impl Into<Value>) -> Shape {
    Shape { schema, example: example.into(), optional: false, parts: BTreeMap::new() }
}

/// A text.
#[must_use]
pub fn text(example: &str) -> Shape {
    plain(json!({ "type": "string" }), example)
}

/// An id of ours.
#[must_use]
pub fn uuid() -> Shape {
    plain(json!({ "type": "string", "format": "uuid" }), "0198c0de-4c1f-7000-8000-5a3c1e9f0b21")
}

/// A moment: RFC 3339, UTC.
#[must_use]
pub fn time() -> Shape {
    plain(json!({ "type": "string", "format": "date-time" }), "2026-03-01T09:30:00.000Z")
}

/// A day.
#[must_use]
pub fn day() -> Shape {
    plain(json!({ "type": "string", "format": "date" }), "2026-03-01")
}

/// An address.
#[must_use]
pub fn uri(example: &str) -> Shape {
    plain(json!({ "type": "string", "format": "uri" }), example)
}

/// An e-mail address.
#[must_use]
pub fn email() -> Shape {
    text("ada@example.com")
}

/// A whole number.
#[must_use]
pub fn integer(example: i64) -> Shape {
    plain(json!({ "type": "integer" }), example)
}

/// How many: a whole number from 0 on.
#[must_use]
pub fn count(example: i64) -> Shape {
    integer(example).from(0)
}

/// A number, possibly with decimals.
#[must_use]
pub fn number(example: f64) -> Shape {
    plain(json!({ "type": "number" }), example)
}

/// True or false.
#[must_use]
pub fn flag(example: bool) -> Shape {
    plain(json!({ "type": "boolean" }), example)
}

/// One of these words. The first is the example.
#[must_use]
pub fn word(words: &[&str]) -> Shape {
    plain(json!({ "type": "string", "enum": words }), words.first().copied().unwrap_or_default())
}

/// An object whose members are not ours to say.
#[must_use]
pub fn free(example: Value) -> Shape {
    plain(json!({ "type": "object", "additionalProperties": true }), example)
}

/// A list of these.
#[must_use]
pub fn list(items: Shape) -> Shape {
    let schema = json!({ "type": "array", "items": items.schema });
    Shape { schema, example: Value::Array(vec![items.example]), optional: false, parts: items.parts }
}

/// An object with these members. All are there but those marked with [`Shape::optional`].
#[must_use]
pub fn object<const N: usize>(members: [(&str, Shape); N]) -> Shape {
    let empty = json!({ "type": "object", "properties": {}, "required": [] });
    plain(empty, Map::new()).with(members)
}

/// One of several shapes. The example is the first one's.
#[must_use]
pub fn any_of<const N: usize>(shapes: [Shape; N]) -> Shape {
    let example = shapes.first().map(|shape| shape.example.clone()).unwrap_or_default();
    let parts = shapes.iter().flat_map(|shape| shape.parts.clone()).collect();
    let schemas: Vec<Value> = shapes.into_iter().map(|shape| shape.schema).collect();
    Shape { schema: json!({ "anyOf": schemas }), example, optional: false, parts }
}

impl Shape {
    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// The example.
    #[must_use]
    pub fn example(&self) -> &Value {
        &self.example
    }

    /// The schemas that this one refers to.
    #[must_use]
    pub fn parts(&self) -> &BTreeMap<&'static str, Value> {
        &self.parts
    }

    fn put(mut self, key: &str, value: impl Into<Value>) -> Self {
        if let Some(schema) = self.schema.as_object_mut() {
            schema.insert(key.to_owned(), value.into());
        }
        self
    }

    /// What a person should know about it.
    #[must_use]
    pub fn about(self, text: &str) -> Self {
        self.put("description", text)
    }

    /// The least number.
    #[must_use]
    pub fn from(self, least: i64) -> Self {
        self.put("minimum", least)
    }

    /// The largest number.
    #[must_use]
    pub fn to(self, largest: i64) -> Self {
        self.put("maximum", largest)
    }

    /// A text that is not empty, of at most so many characters.
    #[must_use]
    pub fn at_most(self, longest: usize) -> Self {
        self.put("minLength", 1).put("maxLength", longest)
    }

    /// A text of this form.
    #[must_use]
    pub fn like(self, pattern: &str) -> Self {
        self.put("pattern", pattern)
    }

    /// At most so many items.
    #[must_use]
    pub fn items_up_to(self, most: usize) -> Self {
        self.put("maxItems", most)
    }

    /// What holds when it is left out.
    #[must_use]
    pub fn default(self, value: impl Into<Value>) -> Self {
        self.put("default", value)
    }

    /// With another example.
    #[must_use]
    pub fn such_as(self, example: impl Into<Value>) -> Self {
        Self { example: example.into(), ..self }
    }

    /// The member may be missing.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// Whether the member may be missing.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// It may be null.
    #[must_use]
    pub fn or_null(mut self) -> Self {
        let named = self.schema.get("type").and_then(Value::as_str).map(ToOwned::to_owned);
        match (named, self.schema.as_object_mut()) {
            (Some(name), Some(schema)) => {
                schema.insert("type".to_owned(), json!([name, "null"]));
                if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
                    words.push(Value::Null);
                }
            }
            _ => self.schema = json!({ "anyOf": [self.schema, { "type": "null" }] }),
        }
        self
    }

    /// The same object with more members.
    #[must_use]
    pub fn with<const N: usize>(mut self, members: [(&str, Shape); N]) -> Self {
        for (name, shape) in members {
            if let Some(properties) = self.schema.get_mut("properties").and_then(Value::as_object_mut) {
                properties.insert(name.to_owned(), shape.schema);
            }
            let required = self.schema.get_mut("required").and_then(Value::as_array_mut);
            if let Some(required) = required.filter(|_| !shape.optional) {
                required.push(Value::from(name));
            }
            if let Some(example) = self.example.as_object_mut() {
                example.insert(name.to_owned(), shape.example);
            }
            self.parts.extend(shape.parts);
        }
        self
    }

    /// Other members may follow, which nobody has to list.
    #[must_use]
    pub fn open(self) -> Self {
        self.put("additionalProperties", true)
    }

    /// Members of which not all belong together stay out of the example.
    #[must_use]
    pub fn example_without(mut self, names: &[&str]) -> Self {
        if let Some(example) = self.example.as_object_mut() {
            example.retain(|name, _| !names.contains(&name.as_str()));
        }
        self
    }

    /// A schema with a name, that others refer to.
    #[must_use]
    pub fn named(mut self, name: &'static str) -> Self {
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        let schema = std::mem::replace(&mut self.schema, reference);
        self.parts.insert(name, schema);
        self
    }
}
