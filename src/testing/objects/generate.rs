//! Objects that follow a schema, mostly.

use ferromesh_crds::catalog::Kind;
use serde_json::{Map, Value, json};

use super::Choices;
use super::texts;

/// How many values an object has at most, so that none costs more than a moment.
const MOST_VALUES: usize = 600;
/// Of 256 fields that are not required, how many are there, by depth.
const PRESENT: [u8; 6] = [110, 90, 60, 45, 30, 20];
/// How deep hostile values nest: as deep as JSON is read, almost.
const DEEP: usize = 100;

/// An object of a kind, with an envelope that Kubernetes would take. About half of all objects follow the schema, so far as its bounds
/// and enums say it all; in the others some values are hostile.
pub(crate) fn object(kind: &Kind, choices: &mut Choices<'_>) -> Value {
    let hostility = choices.pick(&[0, 0, 0, 0, 4, 12, 40]);
    let version = choices.pick(kind.versions);
    let mut object = json!({
        "apiVersion": format!("{}/{version}", kind.group), "kind": kind.name, "metadata": metadata(choices),
    });
    for (name, schema) in kind.schema()["properties"].as_object().into_iter().flatten() {
        let envelope = object.get(name).is_some();
        if !envelope && (name == "spec" || choices.chance(12)) {
            object[name] = Generator::new(choices, hostility).value(schema, name, 0);
        }
    }
    object
}

/// Changes one value of an object, or of whatever else the JSON is; makes an object of the kind where there is none.
pub(crate) fn change(kind: &Kind, object: &mut Value, choices: &mut Choices<'_>) {
    if object["spec"].is_object() {
        let hostility = choices.pick(&[0, 0, 0, 20]);
        Change { choices, hostility }.within(&kind.schema()["properties"]["spec"], "spec", &mut object["spec"], 0);
    } else {
        *object = self::object(kind, choices);
    }
}

/// A change of one value, somewhere.
struct Change<'c, 'b> {
    choices: &'c mut Choices<'b>,
    hostility: u8,
}

// === impl Change ===

impl Change<'_, '_> {
    /// Changes this value or one in it. The deeper it is, the likelier it is this one.
    fn within(&mut self, schema: &Value, name: &str, place: &mut Value, depth: u8) {
        let stay = self.choices.chance(40 + 10 * depth.min(20));
        match place {
            Value::Object(fields) if !stay => self.within_fields(schema, name, fields, depth),
            Value::Array(items) if !stay && !items.is_empty() => {
                let index = self.choices.below(items.len());
                match self.choices.below(12) {
                    1 => _ = items.remove(index),
                    2 => items.push(items[index].clone()),
                    3 => items.push(self.made(&schema["items"], name, depth)),
                    _ => self.within(&schema["items"], name, &mut items[index], depth.saturating_add(1)),
                }
            }
            _ => *place = self.made(schema, name, depth),
        }
    }

    fn within_fields(&mut self, schema: &Value, name: &str, fields: &mut Map<String, Value>, depth: u8) {
        let properties = schema["properties"].as_object();
        let known: Vec<&String> = properties.into_iter().flat_map(Map::keys).collect();
        let present: Vec<String> = fields.keys().cloned().collect();
        if !known.is_empty() && (present.is_empty() || self.choices.chance(80)) {
            let field = self.choices.pick(&known);
            let made = self.made(&schema["properties"][field], field, depth);
            fields.insert(field.clone(), made);
        } else if !present.is_empty() {
            let field = &present[self.choices.below(present.len())];
            if self.choices.chance(25) {
                fields.remove(field);
                return;
            }
            let part = properties.and_then(|properties| properties.get(field));
            let (part, name) = part.map_or((&schema["additionalProperties"], name), |part| (part, field.as_str()));
            self.within(part, name, &mut fields[field], depth.saturating_add(1));
        }
    }

    fn made(&mut self, schema: &Value, name: &str, depth: u8) -> Value {
        Generator::new(self.choices, self.hostility).value(schema, name, depth.into())
    }
}

fn metadata(choices: &mut Choices<'_>) -> Value {
    let mut metadata = json!({"name": choices.pick(&["reviews", "default", "a.b", "x-1"]), "namespace": "shop"});
    if choices.chance(30) {
        metadata["labels"] = json!({"app": "reviews"});
    }
    if choices.chance(30) {
        metadata["annotations"] = json!({"note": choices.pick(texts::ODD)});
    }
    if choices.chance(30) {
        metadata["creationTimestamp"] = choices.pick(&["2026-01-01T00:00:00Z", "1970-01-01T00:00:00Z"]).into();
        metadata["generation"] = 3.into();
    }
    metadata
}

/// Makes values.
pub(super) struct Generator<'c, 'b> {
    choices: &'c mut Choices<'b>,
    /// Of 256 values, how many are hostile.
    hostility: u8,
    left: usize,
}

// === impl Generator ===

impl<'c, 'b> Generator<'c, 'b> {
    pub(super) fn new(choices: &'c mut Choices<'b>, hostility: u8) -> Self {
        Self { choices, hostility, left: MOST_VALUES }
    }

    /// A value of a schema. What a text is depends on the field's name too.
    pub(super) fn value(&mut self, schema: &Value, name: &str, depth: usize) -> Value {
        self.left = self.left.saturating_sub(1);
        if self.choices.chance(self.hostility) {
            return self.hostile();
        }
        if let Some(allowed) = schema["enum"].as_array() {
            return allowed[self.choices.below(allowed.len())].clone();
        }
        if schema["x-kubernetes-int-or-string"] == true {
            return if self.choices.chance(80) { self.text(schema, name) } else { self.integer(schema) };
        }
        match schema["type"].as_str() {
            Some("object") => self.fields(schema, name, depth),
            Some("array") => self.items(schema, name, depth),
            Some("string") => self.text(schema, name),
            Some("boolean") => (self.choices.below(2) == 1).into(),
            Some("integer") => self.integer(schema),
            Some("number") => self.number(schema),
            _ => self.anything(3),
        }
    }

    fn fields(&mut self, schema: &Value, name: &str, depth: usize) -> Value {
        let mut made = Map::new();
        let (properties, every) = (schema["properties"].as_object(), &schema["additionalProperties"]);
        if properties.is_none() && !every.is_object() {
            let most = self.choices.below(4);
            return Value::Object((0..most).map(|_| (texts::any(self.choices).to_owned(), self.anything(2))).collect());
        }
        let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let share = PRESENT[depth.min(PRESENT.len() - 1)];
        for (field, part) in properties.into_iter().flatten() {
            if required.contains(&field.as_str()) || self.left > 0 && self.choices.chance(share) {
                made.insert(field.clone(), self.value(part, field, depth + 1));
            }
        }
        if every.is_object() {
            let least = schema["minProperties"].as_u64().unwrap_or_default();
            for _ in 0..self.choices.pick(&[1, 1, 2, 0]).max(least) {
                made.insert(texts::key(name, self.choices).to_owned(), self.value(every, name, depth + 1));
            }
        }
        if self.choices.chance(self.hostility) {
            made.insert(texts::any(self.choices).to_owned(), self.hostile());
        }
        Value::Object(made)
    }

    fn items(&mut self, schema: &Value, name: &str, depth: usize) -> Value {
        let least = schema["minItems"].as_u64().unwrap_or_default();
        let most = schema["maxItems"].as_u64().unwrap_or(u64::MAX);
        let wanted = if self.left == 0 { 0 } else { self.choices.pick(&[1, 1, 1, 1, 2, 2, 3, 0]) };
        (0..wanted.clamp(least, most.max(least))).map(|_| self.value(&schema["items"], name, depth + 1)).collect()
    }

    /// Any text that the schema's bounds allow, mostly one that the field's name suggests.
    fn text(&mut self, schema: &Value, name: &str) -> Value {
        let text = match schema["format"].as_str() {
            Some("date-time") => "2026-01-01T00:00:00Z",
            Some("byte") => "YQ==",
            _ if self.choices.chance(10) => self.choices.pick(texts::ODD),
            _ if schema["x-kubernetes-validations"].to_string().contains("duration(") => self.choices.pick(texts::DURATIONS),
            _ => texts::suggested(name, self.choices),
        };
        let bound = |name: &str, default: usize| schema[name].as_u64().and_then(|bound| usize::try_from(bound).ok()).unwrap_or(default);
        let padding = bound("minLength", 0).saturating_sub(text.chars().count());
        let kept: String = text.chars().take(bound("maxLength", usize::MAX)).collect();
        (kept + &"a".repeat(padding)).into()
    }

    fn integer(&mut self, schema: &Value) -> Value {
        let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        if self.choices.chance(10) {
            let edge = |bound: Option<f64>, default: i64| bound.map_or(default, |bound| bound as i64);
            return if self.choices.below(2) == 0 { edge(most, i64::MAX) } else { edge(least, i64::MIN) }.into();
        }
        let number = self.choices.pick(&[80.0_f64, 1.0, 100.0, 0.0, 443.0, 2.0, 503.0, 9080.0, 10.0, 50.0, 70_000.0]);
        (number.min(most.unwrap_or(f64::MAX)).max(least.unwrap_or(f64::MIN)) as i64).into()
    }

    fn number(&mut self, schema: &Value) -> Value {
        let number = self.choices.pick(&[50.0_f64, 0.0, 100.0, 0.1, 1e-300, 33.3, 1e300, -1.0]);
        let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        number.min(most.unwrap_or(f64::MAX)).max(least.unwrap_or(f64::MIN)).into()
    }

    /// A value where the schema leaves open which: null means something there.
    fn anything(&mut self, depth: usize) -> Value {
        match self.choices.below(if depth == 0 { 5 } else { 7 }) {
            0 => texts::any(self.choices).into(),
            1 => true.into(),
            2 => 7.into(),
            3 => 0.5.into(),
            4 => Value::Null,
            5 => (0..self.choices.below(3)).map(|_| self.anything(depth - 1)).collect(),
            _ => {
                let count = self.choices.below(3);
                Value::Object((0..count).map(|_| (texts::any(self.choices).to_owned(), self.anything(depth - 1))).collect())
            }
        }
    }

    fn hostile(&mut self) -> Value {
        let nested = |open: fn(Value) -> Value| (0..DEEP).fold(Value::Null, |inner, _| open(inner));
        match self.choices.below(24) {
            0 => Value::Null,
            1 => true.into(),
            2 => (-1).into(),
            3 => 1.5.into(),
            4 => u64::MAX.into(),
            5 => i64::MIN.into(),
            6 => 1e308.into(),
            7 => json!([]),
            8 => json!({}),
            9 => json!([null]),
            10 => json!({"": null}),
            11 => "x".repeat(300).into(),
            12 => "é.".repeat(3000).into(),
            13 => vec![json!("a.example.com"); 300].into(),
            14 => (0..300).map(|number| (format!("k{number}"), json!({}))).collect::<Map<_, _>>().into(),
            15 => nested(|inner| json!([inner])),
            16 => nested(|inner| json!({"a": inner})),
            17 => (1_u64 << 32).into(),
            _ => self.choices.pick(texts::ODD).into(),
        }
    }
}
