//! Server-side apply: merging, and who owns which field.
//!
//! Without schemas, lists of objects are associative where their items have one of the keys that the API uses, and atomic otherwise; of
//! maps those are atomic that the API calls so by the names of their fields.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The fields of one object by their manager.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    fields: BTreeMap<String, BTreeSet<Path>>,
}

type Path = Vec<Step>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Field(String),
    /// An item of an associative list, by its key.
    Item(String),
}

/// Keys of associative lists, most telling first.
const LIST_KEYS: &[&[&str]] =
    &[&["uid"], &["mountPath"], &["containerPort", "protocol"], &["port", "protocol"], &["port"], &["name"], &["type"], &["ip"]];

/// Fields that the API declares atomic: who applies one replaces all that is in it.
const ATOMIC: [&str; 6] = ["selector", "labelSelector", "namespaceSelector", "objectSelector", "nodeSelector", "metrics"];

// === impl Owners ===

impl Owners {
    /// Records a write that is no apply: its manager owns what it changed.
    pub(super) fn update(&mut self, manager: &str, before: &Value, after: &Value) {
        let changed: BTreeSet<Path> = leaves(after).into_iter().filter(|path| find(before, path) != find(after, path)).collect();
        for fields in self.fields.values_mut() {
            fields.retain(|path| !changed.contains(path) && find(after, path).is_some());
        }
        self.fields.entry(manager.to_owned()).or_default().extend(changed);
    }

    /// What the server shows of it in `metadata.managedFields`.
    pub(super) fn shown(&self) -> Value {
        let entry = |(manager, fields): (&String, &BTreeSet<Path>)| {
            let mut shown = json!({});
            for path in fields {
                let name = |step: &Step| match step {
                    Step::Field(name) => format!("f:{name}"),
                    Step::Item(key) => format!("k:{key}"),
                };
                path.iter().fold(&mut shown, |fields, step| &mut fields[name(step)]);
            }
            let (manager, subresource) = manager.split_once('/').unwrap_or((manager, ""));
            json!({"manager": manager, "subresource": subresource, "fieldsType": "FieldsV1", "fieldsV1": shown})
        };
        self.fields.iter().filter(|(_, fields)| !fields.is_empty()).map(entry).collect()
    }

    fn conflicts(&self, manager: &str, wanted: &BTreeSet<Path>, live: &Value, config: &Value) -> Vec<(String, Path)> {
        let others = self.fields.iter().filter(|(other, _)| *other != manager);
        others
            .flat_map(|(other, fields)| fields.intersection(wanted).map(move |path| (other.clone(), path.clone())))
            .filter(|(_, path)| find(live, path) != find(config, path))
            .collect()
    }
}

/// `live` with `config` applied by `manager`, or a message that names the conflict.
pub(super) fn apply(live: &Value, config: &Value, owners: &mut Owners, manager: &str, force: bool) -> Result<Value, String> {
    let wanted = leaves(config);
    let conflicts = owners.conflicts(manager, &wanted, live, config);
    if let Some((other, path)) = conflicts.first()
        && !force
    {
        return Err(format!("conflict with {other:?} at {}", show(path)));
    }
    for (other, path) in &conflicts {
        owners.fields.entry(other.clone()).or_default().remove(path);
    }
    let mut object = live.clone();
    merge(&mut object, config);
    let before = owners.fields.insert(manager.to_owned(), wanted.clone()).unwrap_or_default();
    for path in before.difference(&wanted) {
        let shared = owners.fields.iter().any(|(other, fields)| other != manager && fields.contains(path));
        if !shared {
            remove(&mut object, path);
        }
    }
    Ok(object)
}

/// The paths of everything that a manager owns by sending `value`.
fn leaves(value: &Value) -> BTreeSet<Path> {
    let mut paths = BTreeSet::new();
    collect(value, &mut Vec::new(), &mut paths);
    let unowned = |path: &Path| {
        let names: Vec<&str> = path.iter().map(|(Step::Field(name) | Step::Item(name))| name.as_str()).collect();
        matches!(names[..], ["apiVersion" | "kind"])
            || matches!(
                names[..],
                ["metadata", "name" | "namespace" | "uid" | "resourceVersion" | "generation" | "creationTimestamp" | "managedFields", ..]
            )
    };
    paths.retain(|path| !unowned(path));
    paths
}

fn collect(value: &Value, path: &mut Path, paths: &mut BTreeSet<Path>) {
    let is_atomic = matches!(path.last(), Some(Step::Field(name)) if ATOMIC.contains(&name.as_str()));
    match value {
        _ if is_atomic => _ = paths.insert(path.clone()),
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                path.push(Step::Field(name.clone()));
                collect(field, path, paths);
                path.pop();
            }
        }
        Value::Array(items) => match list_key(items) {
            Some(key) => {
                for item in items {
                    path.push(Step::Item(identity(item, key)));
                    collect(item, path, paths);
                    path.pop();
                }
            }
            None => _ = paths.insert(path.clone()),
        },
        _ => _ = paths.insert(path.clone()),
    }
}

/// The key by which these items are told apart, if they are.
fn list_key(items: &[Value]) -> Option<&'static [&'static str]> {
    // Only the list of a binding's subjects has kinds and no uids, and it is one value.
    if items.iter().any(|item| !item["kind"].is_null() && item["uid"].is_null()) {
        return None;
    }
    LIST_KEYS.iter().copied().find(|key| {
        let scalar = |value: &Value| value.is_string() || value.is_number();
        let keyed = !items.is_empty() && items.iter().all(|item| scalar(&item[key[0]]));
        keyed && items.iter().map(|item| identity(item, key)).collect::<BTreeSet<_>>().len() == items.len()
    })
}

fn identity(item: &Value, key: &[&str]) -> String {
    let part = |name: &str| match &item[name] {
        // The one key with a default.
        Value::Null if name == "protocol" => json!("TCP"),
        other => other.clone(),
    };
    // As the server writes it in `managedFields`.
    Value::Object(key.iter().map(|name| ((*name).to_owned(), part(name))).collect()).to_string()
}

fn item_index(items: &[Value], wanted: &str) -> Option<usize> {
    LIST_KEYS.iter().find_map(|key| items.iter().position(|item| !item[key[0]].is_null() && identity(item, key) == wanted))
}

fn find<'a>(value: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Field(name) => value.get(name),
        Step::Item(wanted) => value.as_array().and_then(|items| items.get(item_index(items, wanted)?)),
    })
}

fn merge(live: &mut Value, config: &Value) {
    match (live, config) {
        (Value::Object(live), Value::Object(config)) => {
            for (name, value) in config {
                let field = live.entry(name.clone()).or_insert(Value::Null);
                match ATOMIC.contains(&name.as_str()) {
                    true => field.clone_from(value),
                    false => merge(field, value),
                }
            }
        }
        (Value::Array(live), Value::Array(config)) if list_key(config).is_some() => {
            let key = list_key(config).unwrap_or_default();
            for item in config {
                match item_index(live, &identity(item, key)) {
                    Some(index) => merge(&mut live[index], item),
                    None => live.push(item.clone()),
                }
            }
        }
        (live, config) => *live = config.clone(),
    }
}

/// Removes a field, and the maps and items that it leaves empty.
fn remove(value: &mut Value, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else { return };
    match (step, value) {
        (Step::Field(name), Value::Object(fields)) => {
            if let Some(field) = fields.get_mut(name).filter(|_| !rest.is_empty()) {
                remove(field, rest);
            }
            if rest.is_empty() || fields.get(name).is_some_and(is_empty) {
                fields.remove(name);
            }
        }
        (Step::Item(wanted), Value::Array(items)) => {
            if let Some(index) = item_index(items, wanted) {
                remove(&mut items[index], rest);
                // The key itself went first if it sorts first; what is left without it is not findable, so the item goes when its key does.
                if is_empty(&items[index]) || item_index(items, wanted).is_none() {
                    items.remove(index);
                }
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn show(path: &[Step]) -> String {
    path.iter()
        .map(|step| match step {
            Step::Field(name) => format!(".{name}"),
            Step::Item(key) => format!("[{key}]"),
        })
        .collect()
}
