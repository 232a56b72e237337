//! Building blocks of the schemas: CEL rules and the value shapes that several kinds share.

use schemars::{Schema, SchemaGenerator, json_schema, transform::Transform};
use serde_json::{Value, json};

/// The name of Kubernetes' schema keyword for CEL rules.
const VALIDATIONS: &str = "x-kubernetes-validations";

/// What the smallest legal duration is; Envoy counts milliseconds.
const DURATION: (&str, &str) = ("duration(self) >= duration('1ms')", "must be a duration of at least 1ms, such as 500ms, 2.5s or 1h30m");

/// Adds CEL rules, each with the sentence that a user reads when it fails.
pub(crate) struct Rules(pub(crate) &'static [(&'static str, &'static str)]);

impl Transform for Rules {
    fn transform(&mut self, schema: &mut Schema) {
        let mut rules = match schema.remove(VALIDATIONS) {
            Some(Value::Array(rules)) => rules,
            _ => Vec::new(),
        };
        rules.extend(self.0.iter().map(|(rule, message)| json!({"rule": rule, "message": message})));
        schema.insert(VALIDATIONS.to_owned(), Value::Array(rules));
    }
}

/// Takes a CEL rule of a type away where the type is used for something else.
pub(crate) struct WithoutRule(pub(crate) &'static str);

impl Transform for WithoutRule {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(Value::Array(rules)) = schema.get_mut(VALIDATIONS) {
            rules.retain(|rule| rule["rule"] != self.0);
        }
    }
}

/// Marks fields that an object must have, by their JSON names. Reading an object never needs them: the types
/// default what is absent.
pub(crate) struct Required(pub(crate) &'static [&'static str]);

impl Transform for Required {
    fn transform(&mut self, schema: &mut Schema) {
        schema.insert("required".to_owned(), json!(self.0));
    }
}

fn rule((rule, message): (&str, &str)) -> Value {
    json!([{"rule": rule, "message": message}])
}

/// A duration that must be at least a millisecond.
pub(crate) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "x-kubernetes-validations": rule(DURATION)})
}

/// Port names to port numbers, as endpoints have them.
pub(crate) fn endpoint_ports(_: &mut SchemaGenerator) -> Schema {
    let names = "self.all(name, name.size() <= 63 && name.matches('^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$'))";
    json_schema!({
        "type": "object",
        "maxProperties": 128,
        "additionalProperties": {"type": "integer", "minimum": 1, "maximum": 65535},
        "x-kubernetes-validations": rule((names, "a port's name must be of letters, digits and inner dashes, 63 at most")),
    })
}

/// Labels that select workloads by equality, so without wildcards.
pub(crate) fn selector_labels(_: &mut SchemaGenerator) -> Schema {
    let message = "labels are compared for equality: wildcards are not supported";
    json_schema!({
        "type": "object",
        "maxProperties": 256,
        "additionalProperties": {
            "type": "string",
            "maxLength": 63,
            "x-kubernetes-validations": rule(("!self.contains('*')", message)),
        },
    })
}

/// `matchLabels` of a policy's selector: no wildcards, no empty key.
pub(crate) fn match_labels(_: &mut SchemaGenerator) -> Schema {
    let message = "labels are compared for equality: wildcards are not supported";
    json_schema!({
        "type": "object",
        "maxProperties": 4096,
        "additionalProperties": {
            "type": "string",
            "maxLength": 63,
            "x-kubernetes-validations": rule(("!self.contains('*')", message)),
        },
        "x-kubernetes-validations": [
            {"rule": "self.all(key, !key.contains('*'))", "message": message},
            {"rule": "self.all(key, key.size() != 0)", "message": "a label's key must not be empty"},
        ],
    })
}

/// A generation: a number, or the same number as a string, which is how protobuf writes 64 bits.
pub(crate) fn generation(_: &mut SchemaGenerator) -> Schema {
    int_or_string()
}

/// Kubernetes' integer-or-string.
pub(crate) fn int_or_string() -> Schema {
    json_schema!({"x-kubernetes-int-or-string": true})
}

/// A time in RFC 3339.
pub(crate) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// An object that is kept as it is, whatever its fields; a webhook or another type checks it.
pub(crate) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// Variables of the environment.
pub(crate) fn environment(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": 1024, "additionalProperties": {"type": "string", "maxLength": 2048}})
}
