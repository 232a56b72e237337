//! Laying one spec over another, as JSON.

use serde_json::{Map, Value};

/// How what a layer says of a field comes together with what is below it.
enum Rule {
    /// Fields are laid over fields, one by one. What is no object is replaced.
    Merge,
    /// Entries belong together: they replace those below.
    Replace,
    /// Gateways: one with a name that is there already changes that one, another is added.
    ByName,
}

/// The fields of a part that say how many pods it has: one of them is said, and who says it later takes the other away.
const NUMBERS: [(&str, &str); 2] = [("replicas", "autoscaling"), ("autoscaling", "replicas")];

/// `over` on top of `base`, both a MeshInstall's spec or a part of one: objects are merged, gateways by their name, everything else is
/// replaced. A null says nothing. What a name means depends on where it stands: users' maps may have any for a key.
pub fn overlay(base: &Value, over: &Value) -> Value {
    merge(base, over, &mut Vec::new())
}

fn rule(path: &[&str]) -> Rule {
    match path {
        ["gateways", "ingress" | "egress"] => Rule::ByName,
        ["gateways", "ingress" | "egress", "labels" | "autoscaling"] | ["components", _, "autoscaling"] => Rule::Replace,
        _ => Rule::Merge,
    }
}

/// Whether a part of the control plane or a gateway is there.
fn is_part(path: &[&str]) -> bool {
    matches!(path, ["components", _] | ["gateways", "ingress" | "egress"])
}

/// `path` is where both stand; all gateways of a list stand at the list's.
fn merge<'a>(base: &Value, over: &'a Value, path: &mut Vec<&'a str>) -> Value {
    let Value::Object(over) = over else {
        return if over.is_null() { base.clone() } else { over.clone() };
    };
    let mut merged = base.as_object().cloned().unwrap_or_default();
    for (said, instead) in NUMBERS.iter().filter(|_| is_part(path)) {
        if over.get(*said).is_some_and(|value| !value.is_null()) {
            merged.remove(*instead);
        }
    }
    for (name, value) in over.iter().filter(|(_, value)| !value.is_null()) {
        let entry = merged.entry(name.clone()).or_insert(Value::Null);
        path.push(name);
        *entry = match rule(path) {
            Rule::Merge => merge(entry, value, path),
            Rule::Replace => value.clone(),
            Rule::ByName => by_name(entry, value, path),
        };
        path.pop();
    }
    Value::Object(merged)
}

fn by_name<'a>(base: &Value, over: &'a Value, path: &mut Vec<&'a str>) -> Value {
    let mut merged = base.as_array().cloned().unwrap_or_default();
    for gateway in over.as_array().into_iter().flatten() {
        match merged.iter_mut().find(|known| known["name"] == gateway["name"]) {
            Some(known) => *known = merge(known, gateway, path),
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
    fn a_users_keys_are_keys_whatever_their_names() {
        for word in ["ingress", "egress", "labels", "autoscaling", "gateways", "replicas"] {
            for path in [
                "components.pilot.nodeSelector",
                "components.pilot.podAnnotations",
                "gateways.ingress[a].nodeSelector",
                "gateways.ingress[a].service.annotations",
                "meshConfig.meshNetworks",
                "meshConfig.defaultConfig.proxyMetadata",
                "values.global.meshNetworks",
                "values.global.defaultNodeSelector",
                "values.gateways.istio-ingressgateway.serviceAnnotations",
            ] {
                let under = |entries: Value| nest(path, entries);
                let (base, over) = (json!({word: {"x": 1}, "kept": "1"}), json!({word: {"y": [2]}}));
                let merged = json!({word: {"x": 1, "y": [2]}, "kept": "1"});
                assert_eq!(overlay(&under(base), &under(over)), under(merged), "{path} {word}");
                assert_eq!(overlay(&json!({}), &under(json!({word: "true"}))), under(json!({word: "true"})), "{path} {word}");
            }
        }
    }

    #[test]
    fn a_number_and_autoscaling_take_each_others_place() {
        let (fixed, scaled) = (json!({"replicas": 2}), json!({"autoscaling": {"maxReplicas": 5}}));
        for path in ["components.pilot", "gateways.egress[a]"] {
            let under = |fields: &Value| nest(path, fields.clone());
            assert_eq!(overlay(&under(&fixed), &under(&scaled)), under(&scaled), "{path}");
            assert_eq!(overlay(&under(&scaled), &under(&fixed)), under(&fixed), "{path}");
            let both = overlay(&fixed, &scaled);
            assert_eq!(overlay(&json!({}), &under(&both)), under(&both), "whose both are, it is for him to choose");
            assert_eq!(overlay(&under(&fixed), &under(&json!({"autoscaling": null}))), under(&fixed), "{path}");
        }
    }

    #[test]
    fn a_path_makes_nested_objects() {
        assert_eq!(nest("gateways.ingress[a].replicas", json!(2)), json!({"gateways": {"ingress": [{"name": "a", "replicas": 2}]}}));
    }
}
