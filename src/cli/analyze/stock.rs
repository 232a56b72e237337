//! The objects that are analyzed: those of files over those of the cluster.

use ferromesh_crds::catalog;
use serde_json::Value;
use std::collections::BTreeMap;

use crate::cli::{input::SourceText, manifest::Manifest};

/// Kubernetes' own kinds that live outside of namespaces, of those that analysis looks at.
const CLUSTER_SCOPED: [(&str, &str); 2] = [("", "Namespace"), ("admissionregistration.k8s.io", "MutatingWebhookConfiguration")];

/// What makes two objects the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) struct Key {
    pub(in crate::cli) kind: String,
    /// Empty for what lives outside of namespaces.
    pub(in crate::cli) namespace: String,
    pub(in crate::cli) name: String,
    /// The last in order, so that one who does not know it finds the others side by side.
    pub(in crate::cli) group: String,
}

/// An object.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Item<'n> {
    pub(in crate::cli) value: Value,
    /// Where it was read, if it was in a file.
    pub(in crate::cli) file: Option<(&'n SourceText, Manifest<'n>)>,
}

/// All objects, one of each name.
#[derive(Debug, Default)]
pub(in crate::cli) struct Stock<'n> {
    items: BTreeMap<Key, Item<'n>>,
    /// Objects of files whose place the same object took, further behind.
    replaced: Vec<(Key, &'n SourceText, Manifest<'n>)>,
}

// === impl Key ===

impl Key {
    fn of(value: &Value, default_namespace: &str) -> Option<Self> {
        let api_version = value["apiVersion"].as_str()?;
        let kind = value["kind"].as_str()?;
        let metadata = &value["metadata"];
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let namespace = metadata["namespace"].as_str().filter(|namespace| !namespace.is_empty()).unwrap_or(default_namespace);
        let cluster_scoped = catalog::find(group, kind).map_or(CLUSTER_SCOPED.contains(&(group, kind)), |kind| kind.cluster_scoped);
        let namespace = if cluster_scoped { "" } else { namespace };
        let name = metadata["name"].as_str().or(metadata["generateName"].as_str()).unwrap_or_default();
        Some(Self { group: group.to_owned(), kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

// === impl Stock ===

impl<'n> Stock<'n> {
    /// Adds an object of the cluster.
    pub(in crate::cli) fn add_live(&mut self, value: Value) {
        if let Some(key) = Key::of(&value, "") {
            self.items.insert(key, Item { value, file: None });
        }
    }

    /// Adds an object of a file, in place of the one of that name. Whether it is one: it needs an `apiVersion` and a `kind`.
    pub(in crate::cli) fn add_file(&mut self, text: &'n SourceText, manifest: Manifest<'n>, default_namespace: &str) -> bool {
        let mut value = manifest.to_value();
        let Some(key) = Key::of(&value, default_namespace) else { return false };
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.insert("namespace".to_owned(), key.namespace.as_str().into());
        }
        let before = self.items.insert(key.clone(), Item { value, file: Some((text, manifest)) });
        // Without a name nobody knows whether it is the same.
        if let Some((text, manifest)) = before.and_then(|item| item.file).filter(|_| !key.name.is_empty()) {
            self.replaced.push((key, text, manifest));
        }
        true
    }

    /// Notes on objects that stand in the files more than once, of which the last counts, as with kubectl.
    pub(in crate::cli) fn repeated(&self) -> Vec<String> {
        let place = |text: &SourceText, manifest: &Manifest<'_>| format!("{}:{}", text.name, manifest.node.place.line);
        let note = |(key, text, manifest): &(Key, &SourceText, Manifest<'_>)| {
            let (last, at) = self.items.get(key)?.file.as_ref()?;
            let namespace = if key.namespace.is_empty() { String::new() } else { format!("{}/", key.namespace) };
            let object = format!("{} {namespace}{}", key.kind, key.name);
            Some(format!("{object} of {} is passed over: it stands in {} again", place(text, manifest), place(last, at)))
        };
        self.replaced.iter().filter_map(note).collect()
    }

    pub(in crate::cli) fn iter(&self) -> impl Iterator<Item = (&Key, &Item<'n>)> {
        self.items.iter()
    }

    /// The object of that kind, namespace and name; of several groups that have the kind, the one that the mesh reads.
    pub(in crate::cli) fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<&Item<'n>> {
        let first = Key { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned(), group: String::new() };
        let same = |key: &Key| key.kind == kind && key.namespace == namespace && key.name == name;
        let found = self.items.range(&first..).take_while(|(key, _)| same(key));
        found.max_by_key(|(key, _)| catalog::find(&key.group, kind).is_some()).map(|(_, item)| item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_lives_outside_of_namespaces_has_none() {
        let scope = |api_version: &str, kind: &str| {
            let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "a"}});
            Key::of(&object, "b").unwrap().namespace
        };
        assert_eq!(scope("v1", "Namespace"), "");
        assert_eq!(scope("authentication.istio.io/v1alpha1", "MeshPolicy"), "");
        assert_eq!(scope("authentication.istio.io/v1alpha1", "Policy"), "a");
        assert_eq!(scope("example.com/v1", "Namespace"), "a");
    }

    #[test]
    fn of_two_apis_the_mesh_s_own_is_found() {
        let gateway =
            |group: &str| json!({"apiVersion": format!("{group}/v1"), "kind": "Gateway", "metadata": {"name": "g", "namespace": "a"}});
        let groups = ["gateway.networking.k8s.io", "networking.istio.io", "networking.zebra.io"];
        let mut stock = Stock::default();
        groups.iter().for_each(|group| stock.add_live(gateway(group)));
        assert_eq!(stock.find("Gateway", "a", "g").map(|item| &item.value), Some(&gateway("networking.istio.io")));
        assert!(stock.find("Gateway", "b", "g").is_none());
    }
}
