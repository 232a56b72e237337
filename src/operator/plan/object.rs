//! How every object of the plan begins: its labels, its owner, and the mark by which the operator knows its own.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt::Write};

use crate::config::kubernetes::is_label_text;
use crate::operator::{
    object::{Key, Kind},
    settings::Settings,
};

/// The label and value by which everything of ours is found.
pub(in crate::operator) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value, which is also the field manager's name.
pub(in crate::operator) const MANAGER: &str = "ferromesh-operator";
/// The label that says which part of the mesh an object belongs to.
pub(in crate::operator) const COMPONENT: &str = "app.kubernetes.io/component";
/// `NAME/HASH`: the object's name, so that a copy under another name isn't taken for ours, and a hash of what was applied, so that a
/// field which the plan no longer has is noticed.
pub(in crate::operator) const APPLIED: &str = "install.ferromesh.dev/applied";

/// An object as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::operator) struct Planned {
    pub(in crate::operator) key: Key,
    /// Exactly the fields that the operator decides.
    pub(in crate::operator) body: Value,
}

/// What all objects of an installation share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base<'a> {
    pub(super) settings: &'a Settings,
    /// The MeshInstall.
    pub(super) owner: &'a OwnerReference,
    /// MeshInstalls with which the objects stay when that one goes.
    pub(super) heirs: &'a [OwnerReference],
}

// === impl Planned ===

impl Planned {
    /// The mark of this object, as it stands in the annotation [`APPLIED`].
    pub(in crate::operator) fn mark(&self) -> &str {
        self.body["metadata"]["annotations"][APPLIED].as_str().unwrap_or_default()
    }
}

// === impl Base ===

impl Base<'_> {
    pub(super) fn namespace(&self) -> &str {
        &self.settings.namespace
    }

    fn owners(&self) -> Vec<&OwnerReference> {
        [self.owner].into_iter().chain(self.heirs).collect()
    }

    /// An object of `kind`; `component` says which part of the mesh it belongs to, `fields` is all beside the metadata.
    pub(super) fn object(&self, kind: Kind, name: &str, component: &str, fields: Value) -> Planned {
        self.annotated(kind, name, component, &BTreeMap::new(), fields)
    }

    /// The same with annotations.
    pub(super) fn annotated(
        &self,
        kind: Kind,
        name: &str,
        component: &str,
        annotations: &BTreeMap<String, String>,
        fields: Value,
    ) -> Planned {
        let mut fields = fields;
        if !annotations.is_empty() {
            fields["metadata"]["annotations"] = json!(annotations);
        }
        self.placed(Key::new(kind, self.namespace(), name), component, fields)
    }

    /// The object of this key, in whatever namespace. `fields` is all beside the usual metadata; labels and annotations among them are
    /// laid over that.
    pub(super) fn placed(&self, key: Key, component: &str, mut fields: Value) -> Planned {
        let (kind, name) = (key.kind, &key.name);
        let mut body = json!({
            "apiVersion": kind.api_version(),
            "kind": kind.name(),
            "metadata": {"name": name, "labels": self.labels(name, component), "ownerReferences": self.owners()},
        });
        if let Some(namespace) = &key.namespace {
            body["metadata"]["namespace"] = json!(namespace);
        }
        let further = fields.as_object_mut().and_then(|fields| fields.remove("metadata"));
        for (name, entries) in further.as_ref().and_then(Value::as_object).into_iter().flatten() {
            for (entry, value) in entries.as_object().into_iter().flatten() {
                body["metadata"][name][entry] = value.clone();
            }
        }
        if let (Some(body), Value::Object(fields)) = (body.as_object_mut(), fields) {
            body.extend(fields);
        }
        let hash = hash(&body);
        body["metadata"]["annotations"][APPLIED] = json!(format!("{name}/{hash}"));
        Planned { key, body }
    }

    /// Labels of an object, and of the pods that it makes.
    pub(super) fn labels(&self, name: &str, component: &str) -> Map<String, Value> {
        let mut labels = Map::from_iter(
            [
                ("app.kubernetes.io/name", name),
                (COMPONENT, component),
                ("app.kubernetes.io/part-of", "ferromesh"),
                (MANAGED_BY, MANAGER),
                ("istio.io/rev", self.settings.revision.name()),
            ]
            .map(|(key, value)| (key.to_owned(), json!(value))),
        );
        let tag = &self.settings.images.tag;
        if is_label_text(tag) {
            labels.insert("app.kubernetes.io/version".to_owned(), json!(tag));
        }
        labels
    }

    /// The labels by which a Deployment, its Service and its PodDisruptionBudget find the pods; they can never change.
    pub(super) fn selector(name: &str) -> Value {
        json!({"app.kubernetes.io/name": name, MANAGED_BY: MANAGER})
    }
}

/// The first 64 bits of the hash of a body, in hexadecimal: enough to tell two plans of one object apart.
fn hash(body: &Value) -> String {
    Sha256::digest(body.to_string()).iter().take(8).fold(String::new(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
