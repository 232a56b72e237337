//! Whose an object is. What the operator didn't make, and nobody handed over to it, is not taken over because it has a name of the plan's.

use kube::Client;
use serde_json::Value;
use std::{collections::BTreeSet, fmt};

use super::{
    live::{Live, mark, stripped},
    object::Key,
    plan::{MANAGED_BY, MANAGER},
};

/// Objects under names of the plan's that are somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) first: Key,
    /// How many there are beside the first.
    pub(super) more: usize,
}

/// What stands under the names of a plan and must not be written.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// All of it.
    pub(super) withheld: BTreeSet<Key>,
    /// What is somebody else's.
    pub(super) foreign: Option<Foreign>,
    /// The first of which it can't be told, and why.
    pub(super) unread: Option<(Key, Box<kube::Error>)>,
}

/// Looks at the objects of these names. Watches show only what bears the operator's label, so of all others the API server is asked; those
/// that turn out to be the operator's all the same go into `live`.
pub(super) async fn survey(client: &Client, keys: impl Iterator<Item = &Key>, live: &mut Live) -> Survey {
    let (mut foreign, mut withheld, mut unread) = (Vec::new(), BTreeSet::new(), None);
    for key in keys {
        let found = match live.get(key) {
            Some(known) => Ok(Some(known.clone())),
            None => read(client, key).await,
        };
        match found {
            Ok(None) => continue,
            Ok(Some(found)) if is_ours(key, &found) => {
                live.put(key.clone(), found);
                continue;
            }
            Ok(Some(_)) => foreign.push(key),
            Err(error) => _ = unread.get_or_insert_with(|| (key.clone(), error)),
        }
        withheld.insert(key.clone());
    }
    Survey { foreign: Foreign::among(foreign), withheld, unread }
}

/// An object as the API server has it, in the form in which `live` keeps it.
///
/// # Errors
/// When the API server refuses or doesn't answer.
pub(super) async fn read(client: &Client, key: &Key) -> Result<Option<Value>, Box<kube::Error>> {
    let found = key.api(client).get_opt(&key.name).await?;
    Ok(found.map(|found| stripped(key.kind, serde_json::to_value(&found).unwrap_or_default())))
}

/// Whether the operator may write an object that it finds under the name `key`. Any one trace of it will do, as somebody may have edited
/// the others away: its label, its mark, a MeshInstall among the owners. The label alone is what `manifest generate` writes, and how a
/// person hands an object over. What another controller keeps is that one's, whatever it says of itself.
pub(super) fn is_ours(key: &Key, object: &Value) -> bool {
    let metadata = &object["metadata"];
    let owners = metadata["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    if owners.iter().any(|owner| owner["controller"] == true && !is_mesh(owner)) {
        return false;
    }
    let manager = &metadata["labels"][MANAGED_BY];
    let marked = mark(object).is_some_and(|(name, _)| name == key.name);
    manager == MANAGER || marked || owners.iter().any(is_mesh)
}

fn is_mesh(owner: &Value) -> bool {
    owner["kind"] == "MeshInstall" && owner["apiVersion"].as_str().is_some_and(|version| version.starts_with("install.ferromesh.dev/"))
}

// === impl Foreign ===

impl Foreign {
    /// None if there are no such objects.
    fn among<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Option<Self> {
        let mut keys = keys.into_iter();
        Some(Self { first: keys.next()?.clone(), more: keys.count() })
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first: Key { kind, namespace, name }, more } = self;
        let others = match more {
            0 => String::new(),
            1 => " (and 1 more object)".to_owned(),
            more => format!(" (and {more} more objects)"),
        };
        let place = namespace.as_deref().map(|namespace| format!("-n {namespace} ")).unwrap_or_default();
        let kind = kind.name().to_lowercase();
        write!(f, "{}{others} is somebody else's and has been left alone: remove it, or hand it over with ", self.first)?;
        write!(f, "kubectl label {place}{kind} {name} --overwrite {MANAGED_BY}={MANAGER}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::object::Kind;
    use serde_json::json;

    fn ours(kind: Kind, metadata: Value) -> bool {
        is_ours(&Key::new(kind, "istio-system", "istio-pilot"), &json!({"metadata": metadata}))
    }

    #[test]
    fn one_trace_is_enough_unless_another_controller_keeps_the_object() {
        let mesh = json!({"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall", "name": "gone", "uid": "1"});
        let other = json!({"apiVersion": "example.com/v1", "kind": "Website", "name": "shop", "uid": "2", "controller": true});
        let label = json!({MANAGED_BY: MANAGER});
        let mark = |name: &str| json!({"install.ferromesh.dev/applied": format!("{name}/0011")});
        for (metadata, expected) in [
            (json!({}), false),
            (json!({"labels": {MANAGED_BY: "Helm"}, "annotations": {"meta.helm.sh/release-name": "istio"}}), false),
            (json!({"labels": {MANAGED_BY: "Helm"}, "ownerReferences": [mesh]}), true),
            (json!({"ownerReferences": [{"apiVersion": "example.com/v1", "kind": "MeshInstall", "name": "x", "uid": "3"}]}), false),
            (json!({"labels": label}), true),
            (json!({"annotations": mark("istio-pilot")}), true),
            (json!({"annotations": mark("istio-galley")}), false),
            (json!({"labels": label, "annotations": mark("istio-pilot"), "ownerReferences": [other]}), false),
        ] {
            assert_eq!(ours(Kind::Service, metadata.clone()), expected, "{metadata}");
        }
    }

    #[test]
    fn what_is_in_the_way_is_named_with_what_to_do() {
        let keys = [(Kind::Service, "istiod"), (Kind::Deployment, "istio-pilot"), (Kind::ConfigMap, "istio")];
        let keys = keys.map(|(kind, name)| Key::new(kind, "istio-system", name));
        let said = |count: usize| Foreign::among(keys.iter().take(count)).map(|foreign| foreign.to_string()).unwrap_or_default();
        let command = "kubectl label -n istio-system service istiod --overwrite app.kubernetes.io/managed-by=ferromesh-operator";
        let end = format!("is somebody else's and has been left alone: remove it, or hand it over with {command}");
        assert_eq!(said(0), "");
        assert_eq!(said(1), format!("Service istio-system/istiod {end}"));
        assert_eq!(said(3), format!("Service istio-system/istiod (and 2 more objects) {end}"));
    }
}
