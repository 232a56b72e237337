//! Laying one spec over another, as JSON.

use serde_json::{Map, Value};

/// Maps whose entries belong together: one that is given replaces the one below.
const WHOLE: [&str; 2] = ["labels", "autoscaling"];

/// `over` on top of `base`: objects are merged, gateways by their name, everything else is replaced. A null says nothing.
pub fn overlay(base: &Value, over: &Value) -> Value {
    let Value::Object(over) = over else {
        return if over.is_null() { base.clone() } else { over.clone() };
    };
    let mut merged = base.as_object().cloned().unwrap_or_default();
    for (name, value) in over.iter().filter(|(_, value)| !value.is_null()) {
        let entry = merged.entry(name.clone()).or_insert(Value::Null);
        *entry = match name.as_str() {
            "ingress" | "egress" => by_name(entry, value),
            name if WHOLE.contains(&name) => value.clone(),
            _ => overlay(entry, value),
        };
    }
    Value::Object(merged)
}

/// Lists of gateways: one with a name that is there already changes that one, another is added.
fn by_name(base: &Value, over: &Value) -> Value {
    let mut merged = base.as_array().cloned().unwrap_or_default();
    for gateway in over.as_array().into_iter().flatten() {
        match merged.iter_mut().find(|known| known["name"] == gateway["name"]) {
            Some(known) => *known = overlay(known, gateway),
            None => merged.push(gateway.clone()),
        }
    }
    merged.into()
}

/// `value` at a path of field names, in an object of its own. `gateways.ingress[x]` names an item of a list of gateways.
pub(super) fn nest(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |inner, step| match step.split_once('[') {
        Some((list, name)) => {
            let mut item = inner;
            if let Some(fields) = item.as_object_mut() {
                fields.insert("name".to_owned(), name.trim_end_matches(']').into());
            }
            Value::Object(Map::from_iter([(list.to_owned(), Value::Array(vec![item]))]))
        }
        None => Value::Object(Map::from_iter([(step.to_owned(), inner)])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_merge_and_lists_are_replaced() {
        let base = json!({"a": {"x": 1, "y": [1, 2]}, "b": 1});
        assert_eq!(overlay(&base, &json!({"a": {"y": [3]}, "b": null})), json!({"a": {"x": 1, "y": [3]}, "b": 1}));
    }

    #[test]
    fn gateways_merge_by_name_and_their_labels_are_whole() {
        let base = json!({"gateways": {"ingress": [{"name": "a", "labels": {"x": "1"}, "replicas": 1}]}});
        let over = json!({"gateways": {"ingress": [{"name": "a", "labels": {"y": "2"}}, {"name": "b"}]}});
        let merged = json!({"gateways": {"ingress": [{"name": "a", "labels": {"y": "2"}, "replicas": 1}, {"name": "b"}]}});
        assert_eq!(overlay(&base, &over), merged);
    }

    #[test]
    fn a_path_makes_nested_objects() {
        assert_eq!(nest("gateways.ingress[a].replicas", json!(2)), json!({"gateways": {"ingress": [{"name": "a", "replicas": 2}]}}));
    }
}
