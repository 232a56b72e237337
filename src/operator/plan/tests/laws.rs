//! What holds for every plan, whatever the spec.

use serde_json::{Map, Value, json};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use super::{alone, images, owner};
use crate::operator::{
    object::Key,
    plan::{MANAGED_BY, MANAGER, Phase, Planned, edits::edit},
    settings::resolve,
};
use crate::testing::{for_many, objects::Choices};

/// Edits of one spec, one after the other.
const EDITS: usize = 24;

/// The plan of a spec that is read from text; none if the spec can't be installed.
fn planned_from(text: &str) -> Option<Vec<Planned>> {
    let spec = serde_json::from_str(text).unwrap();
    resolve(&spec, &images()).ok().map(|settings| alone(&settings, Some("PEM"), Phase::Proven))
}

/// The same JSON with the fields of every object in another order.
fn reordered(value: &Value, choices: &mut Choices<'_>) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("{}:{}", json!(name), reordered(value, choices))).collect();
            if !fields.is_empty() {
                let by = choices.below(fields.len());
                fields.rotate_left(by);
            }
            if choices.chance(128) {
                fields.reverse();
            }
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(|item| reordered(item, choices)).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

fn check_one(object: &Planned) {
    let (key, metadata) = (&object.key, &object.body["metadata"]);
    assert_eq!((&object.body["kind"], &metadata["name"]), (&json!(key.kind.name()), &json!(key.name)), "{key}");
    assert_eq!(metadata["ownerReferences"], json!([owner()]), "{key}");
    assert_eq!(metadata["labels"][MANAGED_BY], MANAGER, "{key}");
    assert_eq!(metadata["labels"]["app.kubernetes.io/name"], key.name, "{key}");
    assert_eq!(metadata["labels"]["istio.io/rev"], "default", "{key}");
    assert_eq!(metadata["namespace"].as_str(), key.namespace.as_deref(), "{key}");
    assert_eq!(key.namespace.is_some(), key.kind.is_namespaced(), "{key}");
    assert!(!has_nothing(&object.body), "{key} says null somewhere, which server-side apply takes for a wish");
}

fn has_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().any(has_nothing),
        Value::Array(items) => items.iter().any(has_nothing),
        _ => false,
    }
}

#[test]
fn a_plan_follows_from_the_spec_alone_and_its_objects_are_told_apart_and_marked() {
    let (good, bad, changed) = (Cell::new(0), Cell::new(0), Cell::new(0));
    for_many(|choices| {
        let mut spec = Value::Object(Map::new());
        // Of each object, the marks and bodies that it has had.
        let mut seen: BTreeMap<Key, Vec<Planned>> = BTreeMap::new();
        for _ in 0..EDITS {
            edit(&mut spec, choices);
            let Some(objects) = planned_from(&spec.to_string()) else {
                bad.set(bad.get() + 1);
                continue;
            };
            good.set(good.get() + 1);
            assert_eq!(planned_from(&reordered(&spec, choices)), Some(objects.clone()), "{spec}");
            let keys: BTreeSet<&Key> = objects.iter().map(|object| &object.key).collect();
            assert_eq!(keys.len(), objects.len(), "two objects of one name: {spec}");
            for object in objects {
                check_one(&object);
                let before = seen.entry(object.key.clone()).or_default();
                for old in before.iter() {
                    assert_eq!(old.mark() == object.mark(), old.body == object.body, "{spec}: {}", object.key);
                }
                if !before.contains(&object) {
                    changed.set(changed.get() + 1);
                    before.push(object);
                }
            }
        }
    });
    assert!(good.get() >= 1000, "{} edits led to a mesh, {} did not", good.get(), bad.get());
    assert!(changed.get() >= 3000, "{} objects", changed.get());
}
