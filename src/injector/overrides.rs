//! What a pod says of containers that templates bring, by having containers of their names: its fields win over the templates'.

use serde_json::{Map, Value, json};

use super::{
    merge::merge_container,
    pod::{PodView, array_mut, list, object_mut},
};

/// Where a pod's own containers are kept, so that it can be injected again.
pub(super) const OVERRIDES: &str = "proxy.istio.io/overrides";
/// The image of a container that leaves it to the mesh.
const AUTO: &str = "auto";
/// The lists of a pod's spec in which containers stand.
pub(super) const CONTAINER_LISTS: [&str; 2] = ["initContainers", "containers"];

/// A pod's own versions of containers that templates bring, each with the list that it stood in.
#[derive(Debug, Default)]
pub(super) struct Overrides(Vec<(&'static str, Value)>);

// === impl Overrides ===

impl Overrides {
    /// Takes the containers that patches bring too out of a pod's `spec`.
    pub(super) fn take(spec: &mut Value, patches: &[Value]) -> Self {
        let mut own = Vec::new();
        for field in CONTAINER_LISTS {
            let Some(containers) = spec.get_mut(field).and_then(Value::as_array_mut) else { continue };
            own.extend(containers.extract_if(.., |container| bring(patches, &container["name"])).map(|container| (field, container)));
        }
        Self(own)
    }

    /// The containers.
    pub(super) fn containers(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().map(|(_, container)| container)
    }

    /// Whether the pod has a container of that name of its own.
    pub(super) fn has(&self, name: &Value) -> bool {
        self.containers().any(|own| own["name"] == *name)
    }

    /// Lays each container over the one that the templates made, wherever that stands now. One that a template took away stays away.
    pub(super) fn lay_over(&self, spec: &mut Value) {
        for own in self.containers() {
            let standing = CONTAINER_LISTS.into_iter().find(|field| list(&spec[*field]).iter().any(|made| made["name"] == own["name"]));
            let Some(field) = standing else { continue };
            let Some(made) = array_mut(spec, field).iter_mut().find(|made| made["name"] == own["name"]) else { continue };
            let mut own = own.clone();
            if own["image"] == AUTO
                && let Some(own) = own.as_object_mut()
            {
                own.remove("image");
                // Kubernetes chose it, by the name `auto`: fetched at every start, as an image without a tag.
                own.remove("imagePullPolicy");
            }
            merge_container(made, own);
        }
    }

    /// Writes the annotation from which [`restore`] reads; none if there is nothing to restore.
    pub(super) fn save(&self, pod: &mut Value) {
        let annotations = object_mut(&mut pod["metadata"], "annotations");
        annotations.remove(OVERRIDES);
        if self.0.is_empty() {
            return;
        }
        let mut saved: Map<String, Value> = Map::new();
        for (field, own) in &self.0 {
            match saved.entry(*field).or_insert_with(|| json!([])) {
                Value::Array(list) => list.push(own.clone()),
                _ => unreachable!("an array, made just above"),
            }
        }
        annotations.insert(OVERRIDES.to_owned(), Value::Object(saved).to_string().into());
    }
}

/// Whether any of the patches brings a container of that name.
pub(super) fn bring(patches: &[Value], name: &Value) -> bool {
    let lists = patches.iter().flat_map(|patch| CONTAINER_LISTS.map(|field| list(&patch["spec"][field])));
    !name.is_null() && lists.flatten().any(|container| container["name"] == *name)
}

/// Puts the containers that an earlier injection took out back into the pod, where there is none of the name.
pub(super) fn restore(pod: &mut Value) {
    let saved = PodView::new(pod).annotation(OVERRIDES).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let Some(saved) = saved else { return };
    for field in CONTAINER_LISTS {
        for own in list(&saved[field]) {
            if list(&pod["spec"][field]).iter().all(|there| there["name"] != own["name"]) {
                array_mut(&mut pod["spec"], field).push(own.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(container: Value) -> (Overrides, Value) {
        let patch = json!({"spec": {"containers": [{"name": "istio-proxy"}]}});
        let mut pod = json!({"metadata": {}, "spec": {"containers": [{"name": "app"}, container]}});
        (Overrides::take(&mut pod["spec"], &[patch]), pod)
    }

    #[test]
    fn the_pods_own_fields_win_and_auto_is_our_image() {
        let container = json!({
            "name": "istio-proxy", "image": AUTO, "imagePullPolicy": "Always", "args": ["other"],
            "env": [{"name": "B", "value": "2"}, {"name": "C", "value": "3"}],
            "resources": {"requests": {"cpu": "2"}},
        });
        let mut spec = json!({"initContainers": [{
            "name": "istio-proxy", "image": "mesh/proxy", "args": ["proxy"],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {}}],
            "resources": {"requests": {"cpu": "1", "memory": "1"}},
        }]});
        own(container).0.lay_over(&mut spec);
        let expected = json!({
            "name": "istio-proxy", "image": "mesh/proxy", "args": ["other"],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}],
            "resources": {"requests": {"cpu": "2", "memory": "1"}},
        });
        assert_eq!(spec, json!({"initContainers": [expected]}));
    }

    #[test]
    fn what_is_taken_is_saved_and_restored() {
        let (overrides, mut pod) = own(json!({"name": "istio-proxy", "image": AUTO}));
        assert_eq!(pod["spec"]["containers"], json!([{"name": "app"}]));
        overrides.save(&mut pod);
        for _ in 0..2 {
            restore(&mut pod);
            assert_eq!(pod["spec"]["containers"], json!([{"name": "app"}, {"name": "istio-proxy", "image": AUTO}]));
        }
        Overrides::default().save(&mut pod);
        assert_eq!(pod["metadata"]["annotations"], json!({}));
    }
}
