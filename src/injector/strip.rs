//! Takes a sidecar out of a pod again: what an injection added goes, what it changed becomes what it was.
//!
//! An injection writes down in the pod's status annotation what it did ([`record`]). It does so too for what other templates than the
//! built-in ones did to labels, annotations, containers, volumes and pull Secrets; other fields that those changed stay changed.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::{
    container::PROXY,
    overrides::{self, CONTAINER_LISTS, OVERRIDES, Overrides},
    pod::{PodView, array_mut, list, object_mut},
    probes,
    scrape::{METRICS_ENV, PATH, SCRAPE},
};

/// What an injection did, as JSON.
pub(super) const STATUS: &str = "sidecar.istio.io/status";
/// Lists of which an injection writes down what it added.
const LISTS: [&str; 4] = ["initContainers", "containers", "volumes", "imagePullSecrets"];

/// Writes into the injected pod what its injection did: `before` is the pod as its author wrote it, `own` are those of its containers that
/// templates bring too.
pub(super) fn record(pod: &mut Value, before: &Value, own: &Overrides, revision: &str) {
    let mut status = Map::from_iter([("revision".to_owned(), revision.into())]);
    for field in LISTS {
        let earlier = list(&before["spec"][field]);
        let added = |name: &&Value| own.has(name) || earlier.iter().all(|item| item["name"] != **name);
        let names: Vec<&Value> = list(&pod["spec"][field]).iter().map(|item| &item["name"]).filter(added).collect();
        status.insert(field.to_owned(), json!(names));
    }
    let mut was = Map::new();
    for field in ["labels", "annotations"] {
        let (earlier, now) = (&before["metadata"][field], &pod["metadata"][field]);
        let added: Vec<&String> = now.as_object().into_iter().flat_map(Map::keys).filter(|key| earlier.get(key).is_none()).collect();
        let changed: Map<String, Value> = entries(earlier).filter(|(key, value)| now.get(key) != Some(*value)).map(owned).collect();
        status.insert(field.to_owned(), json!(added));
        if !changed.is_empty() {
            was.insert(field.to_owned(), changed.into());
        }
    }
    for field in CONTAINER_LISTS {
        let names: Vec<&Value> = list(&before["spec"][field]).iter().map(|container| &container["name"]).collect();
        let now = list(&pod["spec"][field]).iter().map(|container| &container["name"]).filter(|name| names.contains(name));
        // What is taken out is put back at the end.
        if names.iter().any(|name| own.has(name)) || !now.eq(names.iter().copied()) {
            was.insert(field.to_owned(), json!(names));
        }
    }
    if !was.is_empty() {
        status.insert("before".to_owned(), was.into());
    }
    if let Some(proxy) = PodView::new(pod).container(PROXY) {
        status.insert("image".to_owned(), proxy["image"].clone());
    }
    own.save(pod);
    object_mut(&mut pod["metadata"], "annotations").insert(STATUS.to_owned(), Value::Object(status).to_string().into());
}

/// Returns the pod without what a previous injection added, and with what that changed put back. A pod that was not injected stays as it is.
pub fn uninject(pod: &Value) -> Value {
    let mut pod = pod.clone();
    strip(&mut pod);
    pod
}

/// The same, without a copy where there is nothing to take out.
pub(super) fn plain(pod: &Value) -> Cow<'_, Value> {
    if PodView::new(pod).annotation(STATUS).is_some() { Cow::Owned(uninject(pod)) } else { Cow::Borrowed(pod) }
}

fn strip(pod: &mut Value) {
    let view = PodView::new(pod);
    let Some(status) = view.annotation(STATUS).and_then(|text| serde_json::from_str::<Value>(text).ok()) else { return };
    let env = |name: &str| -> Option<Map<String, Value>> {
        let variable = list(&view.container(PROXY)?["env"]).iter().find(|variable| variable["name"] == name)?;
        serde_json::from_str(variable["value"].as_str()?).ok()
    };
    let (probers, metrics) = (env(probes::PROBERS_ENV), env(METRICS_ENV));

    let spec = &mut pod["spec"];
    for field in LISTS {
        let added = list(&status[field]);
        let Some(present) = spec.get_mut(field).and_then(Value::as_array_mut) else { continue };
        present.retain(|item| !added.contains(&item["name"]));
    }
    probes::restore(spec, &probers.unwrap_or_default());
    overrides::restore(pod);
    let spec = &mut pod["spec"];
    for field in CONTAINER_LISTS {
        let order = list(&status["before"][field]);
        if !order.is_empty() {
            let place = |container: &Value| order.iter().position(|name| *name == container["name"]).unwrap_or(order.len());
            array_mut(spec, field).sort_by_cached_key(place);
        }
    }
    // A list that is empty now was not there.
    for field in LISTS {
        if spec.get(field).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            spec.as_object_mut().map(|spec| spec.remove(field));
        }
    }
    restore_metadata(&mut pod["metadata"], &status, metrics);
}

fn restore_metadata(metadata: &mut Value, status: &Value, metrics: Option<Map<String, Value>>) {
    // Istio's own injections do not write down which annotations they changed.
    if status["annotations"].is_null() {
        restore_scraping(object_mut(metadata, "annotations"), metrics.unwrap_or_default());
    }
    for field in ["labels", "annotations"] {
        let Some(present) = metadata.get_mut(field).and_then(Value::as_object_mut) else { continue };
        for key in list(&status[field]).iter().filter_map(Value::as_str).chain([STATUS, OVERRIDES]) {
            present.remove(key);
        }
        present.extend(entries(&status["before"][field]).map(owned));
        if present.is_empty() {
            metadata.as_object_mut().map(|metadata| metadata.remove(field));
        }
    }
}

/// Puts back what the agent was told of the application's scrape annotations.
fn restore_scraping(annotations: &mut Map<String, Value>, metrics: Map<String, Value>) {
    if annotations.get("prometheus.io/path").is_none_or(|path| path != PATH) {
        return;
    }
    for (short, annotation) in SCRAPE {
        match metrics.get(short).filter(|value| *value != "") {
            Some(original) => annotations.insert(annotation.to_owned(), original.clone()),
            None => annotations.remove(annotation),
        };
    }
}

fn entries(map: &Value) -> impl Iterator<Item = (&String, &Value)> {
    map.as_object().into_iter().flatten()
}

fn owned((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}
