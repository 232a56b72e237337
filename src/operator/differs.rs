//! Whether a live object still has what was applied.

use serde_json::Value;

/// Lists whose items are told apart by a key. Others may add items to them, as to a map; every other list belongs to one writer.
const KEYED: [(&str, &[&str]); 11] = [
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("env", &["name"]),
    ("volumes", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("imagePullSecrets", &["name"]),
    ("ports", &["port", "containerPort", "protocol"]),
    ("topologySpreadConstraints", &["topologyKey"]),
    ("webhooks", &["name"]),
    ("matchConditions", &["name"]),
    ("ownerReferences", &["uid"]),
];

/// The path of the first field in which `live` lacks what `wanted` says; none if it has all of it.
///
/// Fields that only `live` has don't count: they are the API server's defaults, or somebody else's.
pub(super) fn first_difference(wanted: &Value, live: &Value) -> Option<String> {
    let mut path = String::new();
    differs(wanted, live, "", &mut path).then_some(path)
}

/// Whether they differ; `path` then tells where.
fn differs(wanted: &Value, live: &Value, field: &str, path: &mut String) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => wanted.iter().any(|(name, value)| {
            let length = path.len();
            if length > 0 {
                path.push('.');
            }
            path.push_str(name);
            let found = live.get(name).map_or(!is_nothing(value), |live| differs(value, live, name, path));
            if !found {
                path.truncate(length);
            }
            found
        }),
        (Value::Array(wanted), Value::Array(live)) => match KEYED.iter().find(|(name, _)| *name == field) {
            Some((_, keys)) => wanted.iter().any(|item| match live.iter().find(|live| same(item, live, keys)) {
                Some(live) => differs(item, live, "", path),
                None => true,
            }),
            None => wanted.len() != live.len() || wanted.iter().zip(live).any(|(wanted, live)| differs(wanted, live, "", path)),
        },
        (wanted, live) => wanted != live,
    }
}

fn same(wanted: &Value, live: &Value, keys: &[&str]) -> bool {
    keys.iter().all(|key| wanted[key] == live[key])
}

/// What the API server may leave out instead of storing it.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn difference(wanted: Value, live: Value) -> Option<String> {
        first_difference(&wanted, &live)
    }

    #[test]
    fn what_others_add_is_no_difference() {
        let wanted = json!({"spec": {"replicas": 1, "containers": [{"name": "a", "image": "x"}]}});
        let live = json!({"status": {}, "spec": {"replicas": 1, "paused": false, "containers": [
            {"name": "b"}, {"name": "a", "image": "x", "terminationMessagePath": "/dev/termination-log"}]}});
        assert_eq!(difference(wanted, live), None);
    }

    #[test]
    fn a_change_and_a_loss_are_named() {
        assert_eq!(difference(json!({"a": {"b": 1}}), json!({"a": {"b": 2}})).as_deref(), Some("a.b"));
        assert_eq!(difference(json!({"a": {"b": 1}}), json!({"a": {}})).as_deref(), Some("a.b"));
        let ports = |port: i32| json!({"ports": [{"port": 80, "protocol": "TCP", "targetPort": port}]});
        assert_eq!(difference(ports(80), ports(81)).as_deref(), Some("ports.targetPort"));
    }

    #[test]
    fn an_added_subject_is_a_difference() {
        let wanted = json!({"subjects": [{"name": "a"}]});
        assert!(difference(wanted, json!({"subjects": [{"name": "a"}, {"name": "intruder"}]})).is_some());
    }

    #[test]
    fn nothing_and_absence_are_the_same() {
        assert_eq!(difference(json!({"a": {}, "b": [], "c": null}), json!({})), None);
    }
}
