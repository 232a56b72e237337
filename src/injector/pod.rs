//! Reading a pod that is still JSON.
//!
//! The webhook edits the document that the API server sent rather than a typed copy: a typed copy would drop every field that is newer
//! than our types.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A pod (or a template of one) to read from.
#[derive(Clone, Copy, Debug)]
pub struct PodView<'a>(&'a Value);

impl<'a> PodView<'a> {
    /// Looks at a pod's JSON, which the API server has already checked against its schema.
    pub fn new(pod: &'a Value) -> Self {
        Self(pod)
    }

    /// A label's value.
    pub fn label(&self, key: &str) -> Option<&'a str> {
        self.0["metadata"]["labels"].get(key)?.as_str()
    }

    /// All labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let map = self.0["metadata"]["labels"].as_object();
        map.into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    }

    /// An annotation's value.
    pub fn annotation(&self, key: &str) -> Option<&'a str> {
        self.0["metadata"]["annotations"].get(key)?.as_str()
    }

    /// All annotations.
    pub fn annotations(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let map = self.0["metadata"]["annotations"].as_object();
        map.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }

    /// Whether it uses its node's network.
    pub fn host_network(&self) -> bool {
        self.0["spec"]["hostNetwork"].as_bool().unwrap_or(false)
    }

    /// Its `metadata`.
    pub fn metadata(&self) -> &'a Value {
        &self.0["metadata"]
    }

    /// Its `spec`.
    pub fn spec(&self) -> &'a Value {
        &self.0["spec"]
    }

    /// Its containers, init containers not among them.
    pub fn containers(&self) -> &'a [Value] {
        list(&self.0["spec"]["containers"])
    }

    /// Its init containers.
    pub fn init_containers(&self) -> &'a [Value] {
        list(&self.0["spec"]["initContainers"])
    }

    /// A container by name, init or not.
    pub fn container(&self, name: &str) -> Option<&'a Value> {
        self.containers().iter().chain(self.init_containers()).find(|c| c["name"] == name)
    }
}

/// The elements of a JSON array; none if it is missing.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The array at `key` of a JSON object, made if it is missing.
pub(super) fn array_mut<'a>(object: &'a mut Value, key: &str) -> &'a mut Vec<Value> {
    let slot = &mut object[key];
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    slot.as_array_mut().expect("made an array just above")
}

/// The object at `key` of a JSON object, made if it is missing.
pub(super) fn object_mut<'a>(object: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    let slot = &mut object[key];
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut().expect("made an object just above")
}
