//! What a pod says of the sidecar's containers by having containers of their names: its fields win over ours.

use serde_json::{Map, Value, json};

use super::{
    container::{INIT, PROXY},
    pod::{PodView, array_mut, list, object_mut},
};

/// Where a pod's own containers are kept, so that it can be injected again.
const OVERRIDES: &str = "proxy.istio.io/overrides";
/// The image of a container that leaves it to the mesh.
const AUTO: &str = "auto";
/// Lists whose items Kubernetes merges, and the key that tells these apart. All others are replaced.
const MERGED_LISTS: [(&str, &str); 4] =
    [("env", "name"), ("ports", "containerPort"), ("volumeMounts", "mountPath"), ("volumeDevices", "devicePath")];

/// A pod's own versions of the sidecar's containers.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    /// Its `istio-init`.
    pub(super) init: Option<Value>,
    /// Its `istio-proxy`, wherever it stood.
    pub(super) proxy: Option<Value>,
}

// === impl Overrides ===

impl Overrides {
    /// Takes the containers out of a pod's `spec`.
    pub(super) fn take(spec: &mut Value) -> Self {
        let mut overrides = Self::default();
        for field in ["initContainers", "containers"] {
            let Some(containers) = spec.get_mut(field).and_then(Value::as_array_mut) else { continue };
            for (name, slot) in [(INIT, &mut overrides.init), (PROXY, &mut overrides.proxy)] {
                if let Some(at) = containers.iter().position(|container| container["name"] == name) {
                    *slot = Some(containers.remove(at));
                }
            }
        }
        overrides
    }

    /// Puts the containers that an earlier injection took out back into the pod.
    pub(super) fn restore(pod: &mut Value) {
        let saved = PodView::new(pod).annotation(OVERRIDES).and_then(|text| serde_json::from_str::<Value>(text).ok());
        for field in ["initContainers", "containers"] {
            let own = saved.as_ref().map_or(&[][..], |saved| list(&saved[field]));
            if !own.is_empty() {
                array_mut(&mut pod["spec"], field).extend(own.iter().cloned());
            }
        }
    }

    /// Writes the annotation from which [`Overrides::restore`] reads; none if there is nothing to restore.
    pub(super) fn save(&self, pod: &mut Value) {
        let annotations = object_mut(&mut pod["metadata"], "annotations");
        let (init, proxy) = (self.init.as_slice(), self.proxy.as_slice());
        if init.is_empty() && proxy.is_empty() {
            annotations.remove(OVERRIDES);
            return;
        }
        let mut saved = Map::new();
        for (field, own) in [("initContainers", init), ("containers", proxy)] {
            if !own.is_empty() {
                saved.insert(field.to_owned(), json!(own));
            }
        }
        annotations.insert(OVERRIDES.to_owned(), Value::Object(saved).to_string().into());
    }
}

/// Our container with the pod's own laid over it.
pub(super) fn overlaid(mut ours: Value, own: Option<&Value>) -> Value {
    if let Some(own) = own {
        let image = ours["image"].clone();
        merge(&mut ours, own);
        if ours["image"] == AUTO {
            ours["image"] = image;
        }
    }
    ours
}

/// Merges as Kubernetes' strategic merge does for the fields of a container.
fn merge(base: &mut Value, over: &Value) {
    let (Some(base), Some(over)) = (base.as_object_mut(), over.as_object()) else { return };
    for (field, value) in over {
        let key = MERGED_LISTS.iter().find(|(list, _)| list == field).map(|(_, key)| *key);
        match (base.get_mut(field), key) {
            (Some(Value::Array(items)), Some(key)) => merge_items(items, list(value), key),
            (Some(old @ Value::Object(_)), _) if value.is_object() => merge(old, value),
            _ => {
                base.insert(field.clone(), value.clone());
            }
        }
    }
}

/// A variable may have a value or a source, so that an item is replaced rather than merged.
fn merge_items(items: &mut Vec<Value>, over: &[Value], key: &str) {
    for item in over {
        match items.iter_mut().find(|old| old[key] == item[key]) {
            Some(old) => old.clone_from(item),
            None => items.push(item.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pods_own_fields_win_and_auto_is_our_image() {
        let ours = json!({
            "name": PROXY, "image": "mesh/proxy", "args": ["proxy"],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {}}],
            "resources": {"requests": {"cpu": "1", "memory": "1"}},
        });
        let own = json!({
            "name": PROXY, "image": AUTO, "args": ["other"],
            "env": [{"name": "B", "value": "2"}, {"name": "C", "value": "3"}],
            "resources": {"requests": {"cpu": "2"}},
        });
        let expected = json!({
            "name": PROXY, "image": "mesh/proxy", "args": ["other"],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}],
            "resources": {"requests": {"cpu": "2", "memory": "1"}},
        });
        assert_eq!(overlaid(ours, Some(&own)), expected);
    }

    #[test]
    fn what_is_taken_is_saved_and_restored() {
        let pod = json!({"metadata": {}, "spec": {"containers": [{"name": "app"}, {"name": PROXY, "image": AUTO}]}});
        let mut injected = pod.clone();
        let overrides = Overrides::take(&mut injected["spec"]);
        assert_eq!(injected["spec"]["containers"], json!([{"name": "app"}]));
        overrides.save(&mut injected);
        Overrides::restore(&mut injected);
        assert_eq!(injected["spec"], pod["spec"]);
        Overrides::default().save(&mut injected);
        assert_eq!(injected["metadata"]["annotations"], json!({}));
    }
}
