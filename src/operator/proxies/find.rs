//! Which pods are missed or outdated. Pure: facts of pods and namespaces in, names out.

use k8s_openapi::api::core::v1::Pod;
use kube::core::ObjectMeta;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

use super::{AllWanted, Wanted};
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
        /// Those of its labels that decide which control plane would be asked about it.
        labels: Labels,
    },
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether a namespace chooses the revision.
    pub(super) chosen: bool,
    /// Pods that have the revision's sidecar.
    pub(super) total: usize,
    /// Pods with it that are on their way out, whose proxies serve until they are gone.
    pub(super) leaving: usize,
    /// The namespaces that choose the revision or have its sidecars.
    pub(super) namespaces: BTreeSet<String>,
    /// Pods that should have one and have none.
    pub(super) missed: Vec<PodKey>,
    /// Pods whose sidecar is another than a new pod would get from the revision, be it an older one or another control plane's.
    pub(super) outdated: Vec<PodKey>,
    /// Pods of which something has to be asked before they can be judged.
    pub(super) unknown: Vec<PodKey>,
}

const STATUS: &str = "sidecar.istio.io/status";
const INJECT: &str = "sidecar.istio.io/inject";
const REVISION: &str = "istio.io/rev";
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
                let label = |key: &str| Some((key.to_owned(), metadata.labels.as_ref()?.get(key)?.clone()));
                Sidecar::Injected {
                    revision: text("revision").unwrap_or_default(),
                    image: text("image"),
                    chosen: annotation(PROXY_IMAGE).is_some(),
                    labels: [INJECT, REVISION].into_iter().filter_map(label).collect(),
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

/// Looks at all pods; answers what was found for each revision.
pub(super) fn find(pods: &BTreeMap<PodKey, Facts>, namespaces: &BTreeMap<String, Labels>, wanted: &AllWanted) -> BTreeMap<String, Found> {
    let chosen = |wanted: &Wanted| -> BTreeSet<String> {
        let choosing = namespaces.iter().filter(|(_, labels)| selecting(&wanted.entries, labels, &Labels::new()).is_some());
        choosing.map(|(name, _)| name.clone()).collect()
    };
    let empty = |wanted: &Wanted| {
        let namespaces = chosen(wanted);
        Found { chosen: !namespaces.is_empty(), namespaces, ..Found::default() }
    };
    let mut all: BTreeMap<String, Found> = wanted.iter().map(|(name, wanted)| (name.clone(), empty(wanted))).collect();
    for (key, facts) in pods {
        if let Sidecar::Injected { revision, .. } = &facts.sidecar
            && let Some(found) = all.get_mut(revision)
        {
            let count = if facts.going { &mut found.leaving } else { &mut found.total };
            *count += 1;
            found.namespaces.insert(key.0.clone());
        }
    }
    for (key, facts) in pods.iter().filter(|(_, facts)| !facts.going) {
        let namespace = namespaces.get(&key.0);
        match &facts.sidecar {
            Sidecar::Injected { revision, labels, .. } => {
                let asked = |wanted: &Wanted| namespace.is_some_and(|of| selecting(&wanted.entries, of, labels).is_some());
                let moved = wanted.iter().find(|(_, wanted)| asked(wanted)).map(|(name, _)| name).filter(|name| *name != revision);
                let name = moved.unwrap_or(revision);
                if let (Some(found), Some(wanted)) = (all.get_mut(name), wanted.get(name)) {
                    found.injected(key, &facts.sidecar, moved.is_some(), &current_image(&wanted.values));
                }
            }
            Sidecar::None { labels, view, host_network } => {
                let Some(namespace) = namespace else { continue };
                let Some((name, _)) = wanted.iter().find(|(_, wanted)| is_missed(labels, view, namespace, &key.0, wanted)) else {
                    continue;
                };
                let Some(found) = all.get_mut(name) else { continue };
                match host_network {
                    Some(false) => found.missed.push(key.clone()),
                    Some(true) => {}
                    None => found.unknown.push(key.clone()),
                }
            }
        }
    }
    all
}

// === impl Found ===

impl Found {
    /// Judges a pod with a sidecar; `moved` says that another control plane made that.
    fn injected(&mut self, key: &PodKey, sidecar: &Sidecar, moved: bool, current: &str) {
        match sidecar {
            _ if moved => self.outdated.push(key.clone()),
            Sidecar::Injected { image: None, chosen: false, .. } => self.unknown.push(key.clone()),
            Sidecar::Injected { image: Some(had), chosen: false, .. } if !is_current(had, current) => self.outdated.push(key.clone()),
            _ => {}
        }
    }
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
            ..Wanted::default()
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
        let found = find(&pods, &namespaces(), &AllWanted::from([("default".to_owned(), wanted())])).remove("default").unwrap();
        assert!(found.chosen, "by the namespace shop");
        match (found.missed.len(), found.outdated.len(), found.unknown.len(), found.total) {
            (1, 0, 0, 0) => "missed",
            (0, 1, 0, 1) => "outdated",
            (0, 1, 0, 0) => "moved",
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
        assert_eq!(verdict("plain", injected(json!({"revision": "canary", "image": "x"}), &[])), "", "another control plane's");
        assert_eq!(verdict("shop", injected(json!({"revision": "canary", "image": "x"}), &[])), "moved", "a new one would be ours");
        let mut old = injected(json!({"revision": "default"}), &[]);
        assert_eq!(verdict("shop", old.clone()), "unknown");
        let container = json!({"name": "istio-proxy", "image": "hub/ferromesh-proxy:1.0"});
        old.complete(&serde_json::from_value(json!({"metadata": {}, "spec": {"containers": [], "initContainers": [container]}})).unwrap());
        assert_eq!(verdict("shop", old), "outdated");
    }

    #[test]
    fn pods_belong_to_the_revision_that_their_namespace_chooses_now() {
        let canary = Wanted {
            entries: entries(&SelectionSettings { revision: "canary", enable_namespaces_by_default: false }),
            values: InjectionValues { revision: "canary".to_owned(), ..wanted().values },
            ..wanted()
        };
        let all = AllWanted::from([("default".to_owned(), wanted()), ("canary".to_owned(), canary)]);
        let mut namespaces = namespaces();
        namespaces.insert("new".to_owned(), Labels::from([("istio.io/rev".to_owned(), "canary".to_owned())]));
        let status = json!({"revision": "default", "image": "hub/ferromesh-proxy:1.1"}).to_string();
        let injected = facts(json!({"annotations": {"sidecar.istio.io/status": status}}));
        let key = |namespace: &str| (namespace.to_owned(), "a".to_owned());
        let pods = BTreeMap::from([
            (key("shop"), injected.clone()),
            (key("new"), injected),
            (("new".to_owned(), "b".to_owned()), on_its_own_network(facts(json!({})))),
        ]);
        let found = find(&pods, &namespaces, &all);
        let of = |name: &str| (found[name].total, found[name].outdated.clone(), found[name].missed.len(), found[name].chosen);
        assert_eq!(of("default"), (2, vec![], 0, true), "both are served by it");
        assert_eq!(of("canary"), (0, vec![key("new")], 1, true));
    }

    #[test]
    fn what_was_asked_for_is_remembered_of_the_same_pod_alone() {
        let known = on_its_own_network(facts(json!({"uid": "1"})));
        assert_eq!(verdict("shop", facts(json!({"uid": "1"})).with_knowledge_of(Some(&known))), "missed");
        assert_eq!(verdict("shop", facts(json!({"uid": "2"})).with_knowledge_of(Some(&known))), "unknown");
    }
}
