//! Checks an object against a kind's schema and names what is wrong by its path.
//!
//! It sees what the API server's schema validation sees, except CEL rules, and all of it at once: unknown
//! fields, wrong types, missing fields, values out of their bounds. As for the API server, `null` means absent.

mod problem;
mod suggest;

pub use problem::{Problem, ProblemKind};
pub use suggest::nearest;

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// How many problems are looked for: more than anyone reads, and few enough that a hostile object costs little.
const MOST: usize = 1000;

/// Fields of every object that no schema lists.
const COMMON_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// What is wrong with an object, in the order of its fields; empty when nothing is. It ends after a thousand problems. `schema` is
/// that of whole objects: [`crate::catalog::Kind::schema`].
#[must_use]
pub fn problems(schema: &Value, object: &Value) -> Vec<Problem> {
    let mut walk = Walk { path: String::new(), found: Vec::new() };
    walk.value(schema, object);
    walk.found
}

/// Paths of the fields that the schema does not know, in the order of the object.
#[must_use]
pub fn unknown_fields(schema: &Value, object: &Value) -> Vec<String> {
    problems(schema, object)
        .into_iter()
        .filter(|problem| matches!(problem.kind, ProblemKind::UnknownField { .. }))
        .map(|problem| problem.path)
        .collect()
}

/// The object without fields that are null, which mean the same as absent ones. What the schema leaves open is kept as it is: null may
/// mean something there.
#[must_use]
pub fn without_nulls(schema: &Value, object: &Value) -> Value {
    match object {
        Value::Object(fields) => {
            let (properties, every, opaque) = (&schema["properties"], &schema["additionalProperties"], is_opaque(schema));
            let kept = fields.iter().filter_map(|(name, value)| match properties.get(name).or(every.is_object().then_some(every)) {
                Some(part) => (!value.is_null()).then(|| (name.clone(), without_nulls(part, value))),
                None => (opaque || !value.is_null()).then(|| (name.clone(), value.clone())),
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| without_nulls(&schema["items"], item)).collect()),
        other => other.clone(),
    }
}

/// The object without the fields whose values a check found to be wrong, so that the rest can be read, and the paths of those fields. For
/// a wrong element it is the whole list or map that goes: the others would move.
#[must_use]
pub fn without_wrong_values(schema: &Value, object: &Value, found: &[Problem]) -> (Value, BTreeSet<String>) {
    let is_wrong = |problem: &&Problem| {
        use ProblemKind::{NotAllowed, OutOfRange, WrongType};
        matches!(problem.kind, NotAllowed { .. } | OutOfRange { .. } | WrongType { .. })
    };
    let wrong = found.iter().filter(is_wrong).map(|problem| {
        let mut path = problem.path.as_str();
        while let Some((list, _)) = path.strip_suffix(']').and_then(|path| path.rsplit_once('[')) {
            path = list;
        }
        path.to_owned()
    });
    let wrong = wrong.collect();
    (prune(schema, object, &mut String::new(), &wrong), wrong)
}

fn prune(schema: &Value, value: &Value, path: &mut String, wrong: &BTreeSet<String>) -> Value {
    let mut inside = |schema: &Value, segment: Segment<'_>, value: &Value| {
        let length = path.len();
        segment.append_to(path);
        let kept = (!wrong.contains(path.as_str())).then(|| prune(schema, value, path, wrong));
        path.truncate(length);
        kept
    };
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter_map(|(name, value)| {
                let kept = match schema["properties"].get(name) {
                    Some(part) => inside(part, Segment::Field(name), value),
                    None => inside(&schema["additionalProperties"], Segment::Key(name), value),
                };
                Some((name.clone(), kept?))
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => {
            let kept = items.iter().enumerate().filter_map(|(index, item)| inside(&schema["items"], Segment::Index(index), item));
            Value::Array(kept.collect())
        }
        other => other.clone(),
    }
}

/// Whether a schema leaves open which fields there are.
fn is_opaque(schema: &Value) -> bool {
    let listed = schema["properties"].is_object() || schema["additionalProperties"].is_object();
    !listed || schema["x-kubernetes-preserve-unknown-fields"] == true
}

/// Where the check stands in the object, and what it has found so far.
struct Walk {
    path: String,
    found: Vec<Problem>,
}

/// A step from a value to one inside it.
enum Segment<'a> {
    Field(&'a str),
    Key(&'a str),
    Index(usize),
}

// === impl Segment ===

impl Segment<'_> {
    fn append_to(&self, path: &mut String) {
        match self {
            Self::Field(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
            }
            Self::Key(key) => path.extend(["[", key, "]"]),
            Self::Index(index) => path.extend(["[", &index.to_string(), "]"]),
        }
    }
}

// === impl Walk ===

impl Walk {
    fn value(&mut self, schema: &Value, value: &Value) {
        if self.found.len() >= MOST || !self.has_type(schema, value) {
            return;
        }
        match value {
            Value::Object(fields) => self.object(schema, fields),
            Value::Array(items) => self.array(schema, items),
            Value::Number(number) => self.number(schema, number.as_f64()),
            Value::String(text) => self.text(schema, text),
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Compares the types, and reports a difference.
    fn has_type(&mut self, schema: &Value, value: &Value) -> bool {
        let expected =
            if schema["x-kubernetes-int-or-string"] == true { "integer or string" } else { schema["type"].as_str().unwrap_or_default() };
        let fits = match expected {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "number" => value.is_number(),
            "integer" => value.is_i64() || value.is_u64(),
            "integer or string" => value.is_i64() || value.is_u64() || value.is_string(),
            _ => true,
        };
        if !fits {
            let found = match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            self.report(ProblemKind::WrongType { expected: expected.to_owned(), found });
        }
        fits
    }

    fn object(&mut self, schema: &Value, fields: &Map<String, Value>) {
        let at_root = self.path.is_empty();
        let present = || fields.iter().filter(|(_, value)| !value.is_null());
        self.count(schema, ["minProperties", "maxProperties"], "fields", present().count());
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if fields.get(name).is_none_or(Value::is_null) {
                self.within(Segment::Field(name), |walk| walk.report(ProblemKind::Required));
            }
        }
        let properties = schema["properties"].as_object();
        let every = schema.get("additionalProperties").filter(|every| every.is_object());
        let opaque = is_opaque(schema);
        for (name, value) in present() {
            if let Some(property) = properties.and_then(|properties| properties.get(name)) {
                self.within(Segment::Field(name), |walk| walk.value(property, value));
            } else if let Some(every) = every {
                self.within(Segment::Key(name), |walk| walk.value(every, value));
            } else if self.found.len() >= MOST {
                return;
            } else if !(opaque || at_root && COMMON_FIELDS.contains(&name.as_str())) {
                let known = properties.into_iter().flat_map(Map::keys).map(String::as_str);
                let suggestion = suggest::nearest(name, known);
                self.within(Segment::Field(name), |walk| walk.report(ProblemKind::UnknownField { name: name.clone(), suggestion }));
            }
        }
    }

    fn array(&mut self, schema: &Value, items: &[Value]) {
        self.count(schema, ["minItems", "maxItems"], "elements", items.len());
        for (index, item) in items.iter().enumerate() {
            self.within(Segment::Index(index), |walk| walk.value(&schema["items"], item));
        }
    }

    fn number(&mut self, schema: &Value, number: Option<f64>) {
        let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        let Some(number) = number else { return };
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            self.report(ProblemKind::OutOfRange { value: number, least, most });
        }
    }

    fn text(&mut self, schema: &Value, text: &str) {
        self.count(schema, ["minLength", "maxLength"], "characters", text.chars().count());
        if let Some(allowed) = schema["enum"].as_array() {
            let allowed: Vec<String> = allowed.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            if !allowed.iter().any(|one| one == text) {
                let suggestion = suggest::nearest(text, allowed.iter().map(String::as_str));
                self.report(ProblemKind::NotAllowed { value: text.to_owned(), allowed, suggestion });
            }
        }
    }

    /// Compares a size with the schema's bounds.
    fn count(&mut self, schema: &Value, bounds: [&str; 2], unit: &'static str, count: usize) {
        let [least, most] = bounds.map(|name| schema[name].as_u64().and_then(|bound| usize::try_from(bound).ok()));
        if least.is_some_and(|least| count < least) || most.is_some_and(|most| count > most) {
            self.report(ProblemKind::WrongSize { unit, count, least, most });
        }
    }

    /// Checks a part of the object.
    fn within(&mut self, segment: Segment<'_>, check: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        segment.append_to(&mut self.path);
        check(self);
        self.path.truncate(length);
    }

    fn report(&mut self, kind: ProblemKind) {
        self.found.push(Problem { path: self.path.clone(), kind });
    }
}

#[cfg(test)]
mod tests;
