//! The objects, their history, and how writes change them.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

use super::{
    Failure, Outcome,
    apply::{Owners, apply},
    request::Call,
};

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) group: String,
    pub(super) plural: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// One change, as watches see it.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) version: u64,
    pub(super) key: Key,
    pub(super) before: Option<Value>,
    /// None after a deletion.
    pub(super) after: Option<Value>,
}

#[derive(Default)]
pub(super) struct Store {
    objects: BTreeMap<Key, Value>,
    owners: BTreeMap<Key, Owners>,
    events: Vec<Event>,
    version: u64,
    /// Changes up to this version are forgotten.
    compacted: u64,
    uids: u64,
}

// === impl Key ===

impl Key {
    pub(super) fn new(group: &str, plural: &str, namespace: &str, name: &str) -> Self {
        Self { group: group.to_owned(), plural: plural.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Whether it is of that resource, in that namespace if one is named.
    pub(super) fn is_of(&self, group: &str, plural: &str, namespace: Option<&str>) -> bool {
        self.group == group && self.plural == plural && namespace.is_none_or(|namespace| self.namespace == namespace)
    }
}

// === impl Store ===

impl Store {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn compact(&mut self) {
        // One version passes, so that even a watch from "now" is too old.
        self.version += 1;
        self.compacted = self.version;
        self.events.clear();
    }

    /// What happened after `version`; none if that is forgotten.
    pub(super) fn since(&self, version: u64) -> Option<&[Event]> {
        let start = self.events.partition_point(|event| event.version <= version);
        (version >= self.compacted).then(|| &self.events[start..])
    }

    pub(super) fn get(&self, key: &Key) -> Option<Value> {
        self.objects.get(key).cloned()
    }

    pub(super) fn list(&self, group: &str, plural: &str, namespace: Option<&str>) -> Vec<Value> {
        self.objects.iter().filter(|(key, _)| key.is_of(group, plural, namespace)).map(|(_, object)| object.clone()).collect()
    }

    pub(super) fn all(&self) -> Vec<Value> {
        self.objects.values().cloned().collect()
    }

    /// Stores an object as it is.
    pub(super) fn insert(&mut self, key: Key, object: Value) {
        let object = self.with_identity(&key, object);
        self.commit(key, object);
    }

    /// The objects that a list request means.
    pub(super) fn selected(&self, call: &Call) -> Vec<Value> {
        let selection = call.selection();
        let target = &call.target;
        let objects = self.list(&target.group, &target.plural, target.namespace.as_deref());
        objects.into_iter().filter(|object| selection.matches(object)).collect()
    }

    pub(super) fn answer_list(&self, call: &Call) -> Value {
        let selected = self.selected(call);
        let number = |name: &str| call.query.get(name).and_then(|text| text.parse::<usize>().ok());
        let (from, limit) = (number("continue").unwrap_or(0), number("limit").filter(|limit| *limit > 0).unwrap_or(usize::MAX));
        let next = from.saturating_add(limit);
        let token = if next < selected.len() { next.to_string() } else { String::new() };
        let mut items: Vec<_> = selected.into_iter().skip(from).take(limit).map(|object| call.shape(object)).collect();
        let kind = items.first().and_then(|item| item["kind"].as_str()).unwrap_or("Object").to_owned();
        // Items of the API server's own types don't repeat what the list says; those of custom ones do.
        let group = &call.target.group;
        if !group.contains('.') || group.ends_with(".k8s.io") {
            for item in items.iter_mut().filter_map(Value::as_object_mut) {
                item.retain(|field, _| field != "apiVersion" && field != "kind");
            }
        }
        let version = self.version.to_string();
        json!({"apiVersion": call.target.api_version(), "kind": format!("{kind}List"), "items": items,
            "metadata": {"resourceVersion": version, "continue": token}})
    }

    pub(super) fn create(&mut self, call: &Call) -> Result<Value, Failure> {
        let mut object = call.body.clone();
        let name = match (object["metadata"]["name"].as_str(), object["metadata"]["generateName"].as_str()) {
            (Some(name), _) if !name.is_empty() => name.to_owned(),
            (_, Some(prefix)) => format!("{prefix}{:05}", self.uids),
            _ => return Err(Failure::new(422, "Invalid", "metadata.name: Required value")),
        };
        object["metadata"]["name"] = json!(name);
        let key = Key { name, ..call.target.key() };
        if self.objects.contains_key(&key) {
            return Err(Failure::new(409, "AlreadyExists", format!("{} {:?} already exists", key.plural, key.name)));
        }
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        let object = self.with_identity(&key, object);
        if call.is_dry_run() {
            return Ok(object);
        }
        self.owners.entry(key.clone()).or_default().update(call.field_manager(), &Value::Null, &object);
        Ok(self.commit(key, object))
    }

    pub(super) fn replace(&mut self, call: &Call, key: &Key) -> Result<Value, Failure> {
        let live = self.get(key).ok_or_else(|| Failure::not_found(key))?;
        check_version(&call.body, &live, key)?;
        let object = if call.target.is_status() { with_status_of(&live, &call.body) } else { with_status_of(&call.body, &live) };
        self.write(call, key, &live, object)
    }

    pub(super) fn patch(&mut self, call: &Call, key: &Key) -> Outcome {
        let live = self.get(key);
        if call.content_type.starts_with("application/apply-patch") {
            return self.apply(call, key, live);
        }
        let live = live.ok_or_else(|| Failure::not_found(key))?;
        let mut object = live.clone();
        if call.content_type.starts_with("application/json-patch") {
            let invalid = |error: &dyn std::fmt::Display| Failure::new(422, "Invalid", error.to_string());
            let patch: json_patch::Patch = serde_json::from_value(call.body.clone()).map_err(|error| invalid(&error))?;
            json_patch::patch(&mut object, &patch).map_err(|error| invalid(&error))?;
        } else {
            check_version(&call.body, &live, key)?;
            json_patch::merge(&mut object, &call.body);
        }
        let object = if call.target.is_status() { with_status_of(&live, &object) } else { with_status_of(&object, &live) };
        self.write(call, key, &live, object).map(|object| (200, object))
    }

    fn apply(&mut self, call: &Call, key: &Key, live: Option<Value>) -> Outcome {
        let code = if live.is_some() { 200 } else { 201 };
        let mut config = call.body.clone();
        if let Some(fields) = config.as_object_mut()
            && !call.target.is_status()
        {
            fields.remove("status");
        }
        if call.target.is_status() {
            let live = live.as_ref().ok_or_else(|| Failure::not_found(key))?;
            config = json!({"apiVersion": config["apiVersion"], "kind": config["kind"], "metadata": {"name": live["metadata"]["name"]}, "status": config["status"]});
        }
        let mut owners = self.owners.get(key).cloned().unwrap_or_default();
        let base = live.clone().unwrap_or_else(|| json!({}));
        let applied = apply(&base, &config, &mut owners, &manager_of(call), call.flag("force"));
        let mut object = self.with_identity(key, applied.map_err(|message| Failure::new(409, "Conflict", message))?);
        object["metadata"]["managedFields"] = owners.shown();
        if call.is_dry_run() {
            return Ok((code, object));
        }
        self.owners.insert(key.clone(), owners);
        Ok((code, self.commit(key.clone(), object)))
    }

    fn write(&mut self, call: &Call, key: &Key, live: &Value, object: Value) -> Result<Value, Failure> {
        let mut object = self.with_identity(key, object);
        // Neither a deletion nor the server's own fields can be written away.
        for field in ["deletionTimestamp", "creationTimestamp", "uid", "generation"] {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove(field);
                metadata.extend(live["metadata"].get(field).map(|value| (field.to_owned(), value.clone())));
            }
        }
        if call.is_dry_run() {
            return Ok(object);
        }
        let owners = self.owners.entry(key.clone()).or_default();
        owners.update(&manager_of(call), live, &object);
        if object["spec"] != live["spec"] || object["status"] != live["status"] {
            object["metadata"]["managedFields"] = owners.shown();
        }
        Ok(self.commit(key.clone(), object))
    }

    pub(super) fn delete_by(&mut self, call: &Call, key: &Key) -> Result<Value, Failure> {
        let live = self.get(key).ok_or_else(|| Failure::not_found(key))?;
        for field in ["uid", "resourceVersion"] {
            let wanted = &call.body["preconditions"][field];
            if !wanted.is_null() && *wanted != live["metadata"][field] {
                return Err(Failure::new(409, "Conflict", format!("precondition failed: {field}")));
            }
        }
        if call.is_dry_run() {
            return Ok(live);
        }
        self.delete(key, call.body["propagationPolicy"] == "Orphan")
    }

    pub(super) fn delete_all(&mut self, call: &Call) -> Outcome {
        let selected = self.selected(call);
        for object in &selected {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
            let key = Key::new(&call.target.group, &call.target.plural, text("namespace"), text("name"));
            self.delete(&key, false)?;
        }
        Ok((200, json!({"apiVersion": call.target.api_version(), "kind": "List", "metadata": {}, "items": selected})))
    }

    /// Marks an object that has finalizers, removes another with what it owns, and a namespace with all that is in it.
    pub(super) fn delete(&mut self, key: &Key, orphan: bool) -> Result<Value, Failure> {
        let mut object = self.get(key).ok_or_else(|| Failure::not_found(key))?;
        let held = object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
        if held {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            return Ok(self.commit(key.clone(), object));
        }
        self.remove(key);
        if key.plural == "namespaces" {
            let inside: Vec<Key> = self.objects.keys().filter(|inner| inner.namespace == key.name).cloned().collect();
            for inner in inside {
                // What one of them owns has gone with it.
                let _ = self.delete(&inner, false);
            }
        }
        if !orphan {
            self.collect_garbage();
        }
        Ok(object)
    }

    /// Deletes objects none of whose owners exists, as the garbage collector does, but at once.
    fn collect_garbage(&mut self) {
        let uids: BTreeSet<String> = self.objects.values().filter_map(|o| o["metadata"]["uid"].as_str().map(str::to_owned)).collect();
        let dead = |owner: &Value| owner["uid"].as_str().is_none_or(|uid| !uids.contains(uid));
        let orphans: Vec<Key> = self
            .objects
            .iter()
            .filter(|(_, object)| object["metadata"]["deletionTimestamp"].is_null())
            .filter(|(_, o)| o["metadata"]["ownerReferences"].as_array().is_some_and(|list| !list.is_empty() && list.iter().all(dead)))
            .map(|(key, _)| key.clone())
            .collect();
        for key in orphans {
            // An earlier deletion of this round may have taken it along.
            let _ = self.delete(&key, false);
        }
    }

    /// Fills in what the server alone decides. Does not store.
    fn with_identity(&mut self, key: &Key, mut object: Value) -> Value {
        let live = self.objects.get(key).map(|live| live["metadata"].clone()).unwrap_or_default();
        self.uids += 1;
        let fresh = json!(format!("00000000-0000-4000-8000-{:012x}", self.uids));
        if !object["metadata"].is_object() {
            object["metadata"] = Value::Object(Map::new());
        }
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(key.name);
        if !key.namespace.is_empty() {
            metadata["namespace"] = json!(key.namespace);
        }
        for (field, default) in [("uid", fresh), ("creationTimestamp", json!("2026-01-01T00:00:00Z")), ("generation", json!(1))] {
            if !live[field].is_null() {
                metadata[field] = live[field].clone();
            } else if metadata[field].is_null() {
                metadata[field] = default;
            }
        }
        object
    }

    /// Stores an object and tells its version; a write that changes nothing leaves no trace.
    fn commit(&mut self, key: Key, mut object: Value) -> Value {
        let before = self.objects.get(&key).cloned();
        if let Some(live) = &before {
            object["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
            if object == *live {
                return object;
            }
            if without_status(live) != without_status(&object) {
                let generation = live["metadata"]["generation"].as_u64().unwrap_or(0);
                object["metadata"]["generation"] = json!(generation + 1);
            }
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let deleting = !object["metadata"]["deletionTimestamp"].is_null();
        let finalized = object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
        self.objects.insert(key.clone(), object.clone());
        self.events.push(Event { version: self.version, key: key.clone(), before, after: Some(object.clone()) });
        if deleting && finalized {
            self.remove(&key);
            self.collect_garbage();
        }
        object
    }

    fn remove(&mut self, key: &Key) {
        self.owners.remove(key);
        if let Some(mut before) = self.objects.remove(key) {
            self.version += 1;
            before["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.events.push(Event { version: self.version, key: key.clone(), before: Some(before), after: None });
        }
    }
}

/// The owner of the fields that a call writes; status is owned apart, as in the server.
fn manager_of(call: &Call) -> String {
    match &call.target.subresource {
        Some(subresource) => format!("{}/{subresource}", call.field_manager()),
        None => call.field_manager().to_owned(),
    }
}

fn check_version(sent: &Value, live: &Value, key: &Key) -> Result<(), Failure> {
    match sent["metadata"]["resourceVersion"].as_str() {
        Some(version) if !version.is_empty() && live["metadata"]["resourceVersion"] != version => {
            Err(Failure::new(409, "Conflict", format!("{} {:?}: the object has been modified", key.plural, key.name)))
        }
        _ => Ok(()),
    }
}

/// `object` with the status of `other`.
fn with_status_of(object: &Value, other: &Value) -> Value {
    let mut merged = object.clone();
    if let Some(fields) = merged.as_object_mut() {
        fields.remove("status");
        fields.extend(other.get("status").map(|status| ("status".to_owned(), status.clone())));
    }
    merged
}

/// What the generation counts: everything beside status and metadata.
fn without_status(object: &Value) -> Value {
    let mut rest = object.clone();
    if let Some(fields) = rest.as_object_mut() {
        fields.remove("status");
        fields.remove("metadata");
    }
    rest
}
