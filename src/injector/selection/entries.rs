//! The table of our webhook configuration.

use serde_json::{Value, json};

use crate::injector::decide::INJECT;
use crate::model::{DEFAULT_REVISION, LabelSelector, Operator, Requirement};

/// What decides which entries there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectionSettings<'a> {
    /// The control plane's revision; `default` for the one without a name.
    pub revision: &'a str,
    /// Whether namespaces that say nothing belong to the mesh.
    pub enable_namespaces_by_default: bool,
}

/// A webhook of a configuration: it asks about a pod if both selectors hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The webhook's name, up to the suffix that all of a configuration share.
    pub name: String,
    /// Chooses by the namespace's labels.
    pub namespaces: LabelSelector,
    /// Chooses by the pod's.
    pub pods: LabelSelector,
}

/// What must hold of a pod beside the selectors, in CEL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its name in the configuration.
    pub name: &'static str,
    /// True for pods that the injector is to be asked about.
    pub expression: &'static str,
}

/// Namespaces whose pods must start whatever becomes of the mesh.
pub const SYSTEM_NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// The conditions of every entry of ours. Selectors cannot say these: a namespace of the mesh may be labelled for injection, and nobody
/// labels static pods. An expression that fails counts as the failure policy says, so each asks whether a field is there before it reads
/// it.
pub const CONDITIONS: [Condition; 2] = [
    Condition {
        name: "not-mesh",
        expression: "!has(object.metadata.labels) || !('app.kubernetes.io/part-of' in object.metadata.labels) || \
                     object.metadata.labels['app.kubernetes.io/part-of'] != 'ferromesh'",
    },
    Condition {
        name: "not-static",
        expression: "!has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)",
    },
];

/// The label by which a namespace asks for the default revision, or refuses injection.
pub(super) const INJECTION: &str = "istio-injection";
/// The label by which a namespace or a pod chooses a revision.
pub(super) const REVISION: &str = "istio.io/rev";
/// The label that the API server gives every namespace: its name.
pub(super) const NAMESPACE: &str = "kubernetes.io/metadata.name";

/// The entries of a control plane's configuration. They exclude each other, so that no pod is asked about twice.
#[must_use]
pub fn entries(settings: &SelectionSettings<'_>) -> Vec<Entry> {
    let revision = settings.revision;
    let mut entries = vec![
        entry("rev.namespace", vec![is(REVISION, &[revision]), absent(INJECTION)], vec![not(INJECT, &["false"])]),
        entry("rev.object", vec![absent(REVISION), absent(INJECTION)], vec![not(INJECT, &["false"]), is(REVISION, &[revision])]),
    ];
    if revision != DEFAULT_REVISION {
        return entries;
    }
    entries.push(entry("namespace", vec![is(INJECTION, &["enabled"])], vec![not(INJECT, &["false"])]));
    entries.push(entry("object", vec![absent(INJECTION), absent(REVISION)], vec![is(INJECT, &["true"]), absent(REVISION)]));
    if settings.enable_namespaces_by_default {
        entries.push(entry("auto", vec![absent(INJECTION), absent(REVISION)], vec![absent(INJECT), absent(REVISION)]));
    }
    entries
}

/// An entry; none asks about the system's pods.
fn entry(name: &str, mut namespaces: Vec<Requirement>, pods: Vec<Requirement>) -> Entry {
    namespaces.push(not(NAMESPACE, &SYSTEM_NAMESPACES));
    Entry { name: name.to_owned(), namespaces: all_of(namespaces), pods: all_of(pods) }
}

fn all_of(match_expressions: Vec<Requirement>) -> LabelSelector {
    LabelSelector { match_expressions, ..LabelSelector::default() }
}

fn is(key: &str, values: &[&str]) -> Requirement {
    requirement(key, Operator::In, values)
}

fn not(key: &str, values: &[&str]) -> Requirement {
    requirement(key, Operator::NotIn, values)
}

fn absent(key: &str) -> Requirement {
    requirement(key, Operator::DoesNotExist, &[])
}

fn requirement(key: &str, operator: Operator, values: &[&str]) -> Requirement {
    Requirement { key: key.to_owned(), operator, values: values.iter().map(|value| (*value).to_owned()).collect() }
}

// === impl Entry ===

impl Entry {
    /// The fields of a webhook that say what it asks about; its name ends in `suffix`.
    #[must_use]
    pub fn json(&self, suffix: &str) -> Value {
        let conditions = CONDITIONS.map(|condition| json!({"name": condition.name, "expression": condition.expression}));
        json!({
            "name": format!("{}.{suffix}", self.name),
            "namespaceSelector": self.namespaces,
            "objectSelector": self.pods,
            "matchConditions": conditions,
        })
    }
}
