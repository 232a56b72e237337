//! Which pods are missed or outdated. Pure: facts of pods and namespaces in, names out.

use k8s_openapi::api::core::v1::Pod;
use kube::core::ObjectMeta;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::Wanted;
use crate::injector::{Decision, Labels, PodView, decide, exempt, selecting};
use crate::model::InjectionValues;

/// Namespace and name of a pod.
pub(super) type PodKey = (String, String);

/// What is kept of a pod.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Facts {
    pub(super) uid: String,
    /// When it was made, in seconds since the epoch.
    pub(super) created: i64,
    /// Whether it is on its way out.
    pub(super) going: bool,
    pub(super) controller: Option<Controller>,
    pub(super) sidecar: Sidecar,
}

/// Who made a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Controller {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) uid: String,
}

/// A pod's sidecar, or what decides about one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sidecar {
    /// It has none.
    None {
        labels: Labels,
        /// As much of the pod as the decision needs.
        view: Value,
        /// Whether it uses its node's network. Metadata don't tell; asked for once, of those alone for whom it matters.
        host_network: Option<bool>,
    },
    /// It has one.
    Injected {
        /// The control plane's that injected it.
        revision: String,
        /// The proxy's image; not known of pods whose injector did not write it down, until they are asked for.
        image: Option<String>,
        /// The pod chooses the image itself.
        chosen: bool,
    },
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Pods of our revision that have a sidecar.
    pub(super) total: usize,
    /// Pods that should have one and have none.
    pub(super) missed: Vec<PodKey>,
    /// Pods whose sidecar is another than a new pod would get.
    pub(super) outdated: Vec<PodKey>,
    /// Pods of which something has to be asked before they can be judged.
    pub(super) unknown: Vec<PodKey>,
}

const STATUS: &str = "sidecar.istio.io/status";
const INJECT: &str = "sidecar.istio.io/inject";
const MIRROR: &str = "kubernetes.io/config.mirror";
const PROXY_IMAGE: &str = "sidecar.istio.io/proxyImage";

// === impl Facts ===

impl Facts {
    /// What a pod's metadata tell.
    pub(super) fn of(metadata: &ObjectMeta) -> Self {
        let annotation = |key: &str| metadata.annotations.as_ref().and_then(|all| all.get(key));
        let sidecar = match annotation(STATUS) {
            Some(status) => {
                let status: Value = serde_json::from_str(status).unwrap_or_default();
                let text = |field: &str| status[field].as_str().map(str::to_owned);
                Sidecar::Injected {
                    revision: text("revision").unwrap_or_default(),
                    image: text("image"),
                    chosen: annotation(PROXY_IMAGE).is_some(),
                }
            }
            None => {
                let labels: Labels = metadata.labels.clone().unwrap_or_default();
                let kept: BTreeMap<&str, &String> = [INJECT, MIRROR].into_iter().filter_map(|key| Some((key, annotation(key)?))).collect();
                let view = json!({"metadata": {"labels": labels, "annotations": kept}, "spec": {}});
                Sidecar::None { labels, view, host_network: None }
            }
        };
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
            going: metadata.deletion_timestamp.is_some(),
            controller: controller(metadata),
            sidecar,
        }
    }

    /// Takes over what was asked for of the same pod before.
    pub(super) fn with_knowledge_of(mut self, before: Option<&Self>) -> Self {
        let Some(before) = before.filter(|before| before.uid == self.uid) else { return self };
        match (&mut self.sidecar, &before.sidecar) {
            (Sidecar::None { host_network, .. }, Sidecar::None { host_network: known, .. }) => *host_network = *known,
            (Sidecar::Injected { image: image @ None, .. }, Sidecar::Injected { image: known, .. }) => image.clone_from(known),
            _ => {}
        }
        self
    }

    /// Whether it has no sidecar.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.sidecar, Sidecar::None { .. })
    }

    /// Takes from the whole pod what is not known yet.
    pub(super) fn complete(&mut self, pod: &Pod) {
        let Some(spec) = &pod.spec else { return };
        match &mut self.sidecar {
            Sidecar::None { host_network, .. } => *host_network = Some(spec.host_network.unwrap_or(false)),
            Sidecar::Injected { image: Some(_), .. } => {}
            Sidecar::Injected { image, .. } => {
                let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
                let proxy = containers.find(|container| container.name == "istio-proxy");
                *image = Some(proxy.and_then(|proxy| proxy.image.clone()).unwrap_or_default());
            }
        }
    }
}

/// The object that makes a pod, or that makes what makes it.
pub(super) fn controller(metadata: &ObjectMeta) -> Option<Controller> {
    let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
    Some(Controller { api_version: owner.api_version.clone(), kind: owner.kind.clone(), name: owner.name.clone(), uid: owner.uid.clone() })
}

/// Looks at all pods.
pub(super) fn find(pods: &BTreeMap<PodKey, Facts>, namespaces: &BTreeMap<String, Labels>, wanted: &Wanted) -> Found {
    let mut found = Found::default();
    let image = current_image(&wanted.values);
    for (key, facts) in pods.iter().filter(|(_, facts)| !facts.going) {
        match &facts.sidecar {
            Sidecar::Injected { revision, .. } if *revision != wanted.values.revision => {}
            Sidecar::Injected { image: None, chosen: false, .. } => {
                found.total += 1;
                found.unknown.push(key.clone());
            }
            Sidecar::Injected { image: had, chosen, .. } => {
                found.total += 1;
                if !chosen && had.as_deref().is_some_and(|had| !is_current(had, &image)) {
                    found.outdated.push(key.clone());
                }
            }
            Sidecar::None { labels, view, host_network } => {
                let Some(namespace) = namespaces.get(&key.0) else { continue };
                if is_missed(labels, view, namespace, &key.0, wanted) {
                    match host_network {
                        Some(false) => found.missed.push(key.clone()),
                        Some(true) => {}
                        None => found.unknown.push(key.clone()),
                    }
                }
            }
        }
    }
    found
}

/// Whether the injector would be asked about a pod, and would say yes but for the node's network.
fn is_missed(labels: &Labels, view: &Value, namespace_labels: &Labels, namespace: &str, wanted: &Wanted) -> bool {
    let pod = PodView::new(view);
    selecting(&wanted.entries, namespace_labels, labels).is_some()
        && exempt(&pod).is_none()
        && decide(&pod, namespace, &wanted.values) == Decision::Inject
}

/// The image of a new sidecar.
pub(super) fn current_image(values: &InjectionValues) -> String {
    format!("{}/ferromesh-proxy:{}", values.hub, values.tag)
}

/// Whether an image is the current one, or a variant of it, such as `…:1.2.0-debug`. What only adds letters to the tag counts as a variant.
fn is_current(image: &str, current: &str) -> bool {
    image.strip_prefix(current).is_some_and(|rest| {
        rest.is_empty()
            || rest.strip_prefix('-').is_some_and(|variant| !variant.is_empty() && variant.bytes().all(|b| b.is_ascii_lowercase()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::injector::{SelectionSettings, entries};

    fn wanted() -> Wanted {
        Wanted {
            entries: entries(&SelectionSettings { revision: "default", enable_namespaces_by_default: false }),
            values: InjectionValues {
                hub: "hub".to_owned(),
                tag: "1.1".to_owned(),
                revision: "default".to_owned(),
                ..InjectionValues::default()
            },
            injector_ready: true,
            rolling: None,
        }
    }

    fn namespaces() -> BTreeMap<String, Labels> {
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        BTreeMap::from([
            ("shop".to_owned(), labels(&[("istio-injection", "enabled"), ("kubernetes.io/metadata.name", "shop")])),
            ("plain".to_owned(), labels(&[("kubernetes.io/metadata.name", "plain")])),
        ])
    }

    fn facts(metadata: Value) -> Facts {
        Facts::of(&serde_json::from_value(metadata).unwrap())
    }

    fn on_its_own_network(mut facts: Facts) -> Facts {
        facts.complete(&serde_json::from_value(json!({"metadata": {}, "spec": {"containers": []}})).unwrap());
        facts
    }

    /// What is found of one pod in a namespace: `missed`, `outdated`, `unknown`, `well`, or nothing.
    fn verdict(namespace: &str, facts: Facts) -> &'static str {
        let pods = BTreeMap::from([((namespace.to_owned(), "a".to_owned()), facts)]);
        let found = find(&pods, &namespaces(), &wanted());
        match (found.missed.len(), found.outdated.len(), found.unknown.len(), found.total) {
            (1, 0, 0, 0) => "missed",
            (0, 1, 0, 1) => "outdated",
            (0, 0, 1, _) => "unknown",
            (0, 0, 0, 1) => "well",
            (0, 0, 0, 0) => "",
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_pod_that_the_webhook_would_ask_about_and_has_no_sidecar_is_missed() {
        assert_eq!(verdict("shop", facts(json!({}))), "unknown", "it may use its node's network");
        let plain = |metadata: Value| on_its_own_network(facts(metadata));
        assert_eq!(verdict("shop", plain(json!({}))), "missed");
        assert_eq!(verdict("plain", plain(json!({}))), "");
        assert_eq!(verdict("plain", plain(json!({"labels": {"sidecar.istio.io/inject": "true"}}))), "missed");
        assert_eq!(verdict("gone", plain(json!({}))), "", "nothing is known of its namespace");
        assert_eq!(verdict("shop", plain(json!({"annotations": {"sidecar.istio.io/inject": "no"}}))), "");
        assert_eq!(verdict("shop", plain(json!({"annotations": {"kubernetes.io/config.mirror": "x"}}))), "");
        assert_eq!(verdict("shop", plain(json!({"labels": {"app.kubernetes.io/part-of": "ferromesh"}}))), "");
        assert_eq!(verdict("shop", plain(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}))), "");
        let mut on_node = facts(json!({}));
        on_node.complete(&serde_json::from_value(json!({"metadata": {}, "spec": {"hostNetwork": true, "containers": []}})).unwrap());
        assert_eq!(verdict("shop", on_node), "");
    }

    #[test]
    fn an_image_that_a_new_pod_would_not_get_is_outdated() {
        let injected = |status: Value, more: &[(&str, &str)]| {
            let mut metadata = json!({"annotations": {"sidecar.istio.io/status": status.to_string()}});
            more.iter().for_each(|(key, value)| metadata["annotations"][*key] = json!(value));
            facts(metadata)
        };
        let of = |image: &str| json!({"revision": "default", "image": image});
        assert_eq!(verdict("shop", injected(of("hub/ferromesh-proxy:1.1"), &[])), "well");
        assert_eq!(verdict("shop", injected(of("hub/ferromesh-proxy:1.1-debug"), &[])), "well");
        assert_eq!(verdict("shop", injected(of("hub/ferromesh-proxy:1.1-2"), &[])), "outdated");
        assert_eq!(verdict("plain", injected(of("hub/ferromesh-proxy:1.0"), &[])), "outdated", "wherever it is");
        assert_eq!(verdict("shop", injected(of("other/proxy:9"), &[("sidecar.istio.io/proxyImage", "other/proxy:9")])), "well");
        assert_eq!(verdict("shop", injected(json!({"revision": "canary", "image": "x"}), &[])), "", "another control plane's");
        let mut old = injected(json!({"revision": "default"}), &[]);
        assert_eq!(verdict("shop", old.clone()), "unknown");
        let container = json!({"name": "istio-proxy", "image": "hub/ferromesh-proxy:1.0"});
        old.complete(&serde_json::from_value(json!({"metadata": {}, "spec": {"containers": [], "initContainers": [container]}})).unwrap());
        assert_eq!(verdict("shop", old), "outdated");
    }

    #[test]
    fn what_was_asked_for_is_remembered_of_the_same_pod_alone() {
        let known = on_its_own_network(facts(json!({"uid": "1"})));
        assert_eq!(verdict("shop", facts(json!({"uid": "1"})).with_knowledge_of(Some(&known))), "missed");
        assert_eq!(verdict("shop", facts(json!({"uid": "2"})).with_knowledge_of(Some(&known))), "unknown");
    }
}
