//! Lays a patch over a pod as Kubernetes' strategic merge does, on JSON.
//!
//! Maps merge, `null` takes a field away, lists whose items have a key merge item by item, all others are replaced. A map may say
//! `$patch: replace`, `delete` or `merge`, an item of a list `$patch: delete`, and `$deleteFromPrimitiveList/FIELD` takes texts out of a
//! list. The order of lists is not the patch's to set: `$setElementOrder/FIELD` is passed over.

mod schema;

use serde_json::{Map, Value};

use self::schema::{CONTAINER, Field, Items, POD, Schema};

/// Lays a patch over a pod.
pub(super) fn merge_pod(pod: &mut Value, patch: Value) {
    merge_value(pod, patch, &POD);
}

/// Lays one container's fields over another's.
pub(super) fn merge_container(container: &mut Value, patch: Value) {
    merge_value(container, patch, &CONTAINER);
}

fn merge_value(base: &mut Value, patch: Value, schema: &Schema) {
    match (&mut *base, patch) {
        (Value::Object(base), Value::Object(patch)) => merge_map(base, patch, schema),
        (base, Value::Object(patch)) => {
            let mut made = Map::new();
            merge_map(&mut made, patch, schema);
            *base = Value::Object(made);
        }
        (base, other) => *base = other,
    }
}

fn merge_map(base: &mut Map<String, Value>, mut patch: Map<String, Value>, schema: &Schema) {
    match patch.remove("$patch").as_ref().and_then(Value::as_str) {
        Some("replace") => base.clear(),
        Some("delete") => return base.clear(),
        _ => {}
    }
    if let Some(Value::Array(kept)) = patch.remove("$retainKeys") {
        base.retain(|field, _| kept.iter().any(|name| name == field.as_str()));
    }
    for (field, value) in patch {
        if let Some(list) = field.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (base.get_mut(list), value) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if field.starts_with("$setElementOrder/") {
            continue;
        }
        match (schema.field(&field), value) {
            (_, Value::Null) => _ = base.remove(&field),
            (Some(Field::Items(items)), Value::Array(patch)) => merge_items(list_at(base, field), patch, items),
            (Some(Field::Set), Value::Array(patch)) => {
                let list = list_at(base, field);
                for item in patch {
                    if !list.contains(&item) {
                        list.push(item);
                    }
                }
            }
            (known, value @ Value::Object(_)) => {
                let below: &Schema = match known {
                    Some(Field::Map(schema)) => schema,
                    _ => &Schema::PLAIN,
                };
                merge_value(base.entry(field).or_insert(Value::Null), value, below);
            }
            (_, value) => _ = base.insert(field, value),
        }
    }
}

/// The list at a field, made if it is missing or no list.
fn list_at(base: &mut Map<String, Value>, field: String) -> &mut Vec<Value> {
    let slot = base.entry(field).or_insert(Value::Null);
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    slot.as_array_mut().expect("made an array just above")
}

fn merge_items(list: &mut Vec<Value>, patch: Vec<Value>, rules: &Items) {
    // An item that only says so replaces the list by the other items.
    if patch.iter().any(|item| item["$patch"] == "replace" && item.get(rules.key).is_none()) {
        list.clear();
    }
    for mut item in patch {
        let Some(key) = item.get(rules.key).cloned() else {
            if item.get("$patch").is_none() && !list.contains(&item) {
                list.push(item);
            }
            continue;
        };
        let at = list.iter().position(|old| old.get(rules.key) == Some(&key));
        if item["$patch"] == "delete" {
            if let Some(at) = at {
                list.remove(at);
            }
            continue;
        }
        match (at, rules.item) {
            (Some(at), Some(schema)) => {
                if schema.one_source {
                    keep_one_source(&mut list[at], &item);
                }
                merge_value(&mut list[at], item, schema);
            }
            (Some(at), None) => list[at] = item,
            (None, Some(schema)) => {
                let mut new = Value::Null;
                merge_value(&mut new, item.take(), schema);
                list.push(new);
            }
            (None, None) => list.push(item),
        }
    }
}

/// A volume has one source: another one takes its place.
fn keep_one_source(base: &mut Value, patch: &Value) {
    let (Some(base), Some(patch)) = (base.as_object_mut(), patch.as_object()) else { return };
    if patch.iter().any(|(field, value)| field != "name" && !field.starts_with('$') && !value.is_null()) {
        base.retain(|field, _| field == "name" || patch.contains_key(field));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merged(mut pod: Value, patch: Value) -> Value {
        merge_pod(&mut pod, patch.clone());
        let once = pod.clone();
        merge_pod(&mut pod, patch);
        assert_eq!(pod, once, "a second time changes nothing");
        pod
    }

    #[test]
    fn maps_merge_and_null_takes_away() {
        let pod = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"priority": 1}});
        let patch = json!({"metadata": {"labels": {"b": null, "c": "3"}}, "spec": {"dnsConfig": {"options": null, "searches": ["x"]}}});
        let expected = json!({"metadata": {"labels": {"a": "1", "c": "3"}}, "spec": {"priority": 1, "dnsConfig": {"searches": ["x"]}}});
        assert_eq!(merged(pod, patch), expected);
    }

    #[test]
    fn lists_with_keys_merge_by_item_and_others_are_replaced() {
        let pod = json!({"spec": {
            "containers": [{"name": "a", "args": ["x", "y"], "ports": [{"containerPort": 80, "name": "http"}]}],
            "tolerations": [{"key": "old"}],
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        }});
        let patch = json!({"spec": {
            "containers": [{"name": "b", "image": "i"}, {"name": "a", "args": ["z"], "ports": [{"containerPort": 80, "hostPort": 1}]}],
            "tolerations": [{"key": "new"}],
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["b"]}],
            "volumes": [{"name": "v", "secret": {"secretName": "s"}}],
        }});
        let expected = json!({"spec": {
            "containers": [
                {"name": "a", "args": ["z"], "ports": [{"containerPort": 80, "name": "http", "hostPort": 1}]},
                {"name": "b", "image": "i"},
            ],
            "tolerations": [{"key": "new"}],
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["b"]}],
            "volumes": [{"name": "v", "secret": {"secretName": "s"}}],
        }});
        assert_eq!(merged(pod, patch), expected);
    }

    #[test]
    fn a_variable_is_replaced_rather_than_merged() {
        let pod = json!({"spec": {"containers": [{"name": "a", "env": [{"name": "X", "valueFrom": {}}, {"name": "Y", "value": "1"}]}]}});
        let patch = json!({"spec": {"containers": [{"name": "a", "env": [{"name": "X", "value": "2"}]}]}});
        let merged = merged(pod, patch);
        assert_eq!(merged["spec"]["containers"][0]["env"], json!([{"name": "X", "value": "2"}, {"name": "Y", "value": "1"}]));
    }

    #[test]
    fn directives_delete_and_replace() {
        let pod = json!({
            "metadata": {"finalizers": ["a", "b"], "annotations": {"x": "1"}},
            "spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}], "securityContext": {"fsGroup": 1}},
        });
        let patch = json!({
            "metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "annotations": {"$patch": "replace", "y": "2"}},
            "spec": {
                "$setElementOrder/containers": [{"name": "b"}],
                "containers": [{"name": "a", "$patch": "delete"}],
                "initContainers": [{"$patch": "replace"}, {"name": "j"}],
                "securityContext": {"$patch": "delete"},
            },
        });
        let expected = json!({
            "metadata": {"finalizers": ["b"], "annotations": {"y": "2"}},
            "spec": {"containers": [{"name": "b"}], "initContainers": [{"name": "j"}], "securityContext": {}},
        });
        assert_eq!(merged(pod, patch), expected);
    }

    #[test]
    fn what_is_no_list_or_map_gives_way() {
        let pod = json!({"metadata": 5, "spec": {"containers": {}, "volumes": "x"}});
        let patch =
            json!({"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "a", "x": null}], "volumes": [{"name": "v"}]}});
        let expected = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "a"}], "volumes": [{"name": "v"}]}});
        assert_eq!(merged(pod, patch), expected);
    }
}
