//! Who gets a sidecar, and who should have one.

use super::service::is_of_kubernetes;
use super::{Code, Finding, NamespaceFacts, PodShape, World};
use crate::model::{Labels, ObjectRef};

/// The label of a namespace that switches injection on or off.
const OF_NAMESPACE: &str = "istio-injection";
/// The label of a namespace that names the control plane that injects.
const REVISION: &str = "istio.io/rev";
/// The label, or annotation, of a pod.
const OF_POD: &str = "sidecar.istio.io/inject";
/// The sidecar's container.
pub(super) const PROXY: &str = "istio-proxy";
/// The revision of the control plane that has none.
const UNNAMED: &str = "default";

/// What a namespace says about injection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish<'a> {
    /// Sidecars, from the control plane of that revision.
    Inject(&'a str),
    /// No sidecars.
    Leave,
    /// Nothing.
    Silent,
    /// Both labels.
    Doubled,
}

/// What a namespace's labels say.
pub(super) fn wish(labels: &Labels) -> Wish<'_> {
    match (labels.get(OF_NAMESPACE).map(String::as_str), labels.get(REVISION).map(String::as_str)) {
        (Some(value), Some(_)) if !value.is_empty() => Wish::Doubled,
        (_, Some(revision)) => Wish::Inject(revision),
        (Some("enabled"), None) => Wish::Inject(UNNAMED),
        (None | Some(""), None) => Wish::Silent,
        (Some(_), None) => Wish::Leave,
    }
}

/// Whether pods of that shape get, or have, a sidecar; `None` if that is not known.
pub(super) fn in_mesh(world: &World, namespace: &str, shape: &PodShape) -> Option<bool> {
    if shape.containers.iter().any(|container| container.name == PROXY) {
        return Some(true);
    }
    if shape.host_network {
        return Some(false);
    }
    if let Some(wanted) = wish_of_pod(shape) {
        return Some(wanted);
    }
    let labels = &world.facts().namespaces.as_ref()?.get(namespace)?.labels;
    Some(matches!(wish(labels), Wish::Inject(_)))
}

/// What a pod says for itself: by a label, or by an annotation, which has more spellings; `None` if it leaves that to its namespace.
fn wish_of_pod(shape: &PodShape) -> Option<bool> {
    let text = match shape.labels.get(OF_POD) {
        Some(label) => label.clone(),
        None => shape.annotations.get(OF_POD)?.to_ascii_lowercase(),
    };
    match text.as_str() {
        "true" => Some(true),
        "false" => Some(false),
        "y" | "yes" | "on" if !shape.labels.contains_key(OF_POD) => Some(true),
        "n" | "no" | "off" if !shape.labels.contains_key(OF_POD) => Some(false),
        _ => None,
    }
}

/// Checks all namespaces, and the pods in them.
pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    let facts = world.facts();
    let Some(namespaces) = &facts.namespaces else { return };
    for (name, namespace) in namespaces {
        if **name != *world.snapshot().mesh.root_namespace && !is_of_kubernetes(name) {
            let object = ObjectRef { kind: "Namespace", namespace: "".into(), name: name.clone() };
            check_namespace(world, &object, namespace, findings);
        }
    }
    for (object, pod) in facts.pods.iter().flatten() {
        let wanted = namespaces.get(&object.namespace).is_some_and(|namespace| matches!(wish(&namespace.labels), Wish::Inject(_)));
        let refused = wish_of_pod(&pod.shape) == Some(false);
        let has_proxy = pod.shape.containers.iter().any(|container| container.name == PROXY);
        if wanted && !refused && !pod.shape.host_network && !has_proxy {
            let message = "has no sidecar, although its namespace asks for one: restart it, so that it is injected";
            findings.push(Finding::new(Code::PodMissingProxy, object, "", message));
        }
    }
}

fn check_namespace(world: &World, object: &ObjectRef, namespace: &NamespaceFacts, findings: &mut Vec<Finding>) {
    match wish(&namespace.labels) {
        Wish::Doubled => {
            let message = format!("has both labels {OF_NAMESPACE} and {REVISION}, which may name different control planes: remove one");
            findings.push(Finding::new(Code::NamespaceMultipleInjectionLabels, object, "metadata.labels", message));
        }
        Wish::Silent => {
            // Whether silence means no sidecars is the injector's setting.
            let Some(injector) = world.facts().injectors.as_ref().and_then(|all| all.get(UNNAMED)) else { return };
            let (code, message) = if injector.enabled_by_default {
                (
                    Code::NamespaceInjectionEnabledByDefault,
                    "has no label for injection, and the mesh injects into such namespaces".to_owned(),
                )
            } else {
                let label = format!("kubectl label namespace {} {OF_NAMESPACE}", object.name);
                (
                    Code::NamespaceNotInjected,
                    format!("its pods get no sidecars: '{label}=enabled' gives them some, '{label}=disabled' says that they need none"),
                )
            };
            findings.push(Finding::new(code, object, "metadata.labels", message));
        }
        Wish::Inject(_) | Wish::Leave => {}
    }
}

/// The revision of the injector whose sidecars a namespace's pods get.
pub(super) fn revision(labels: &Labels) -> Option<&str> {
    match wish(labels) {
        Wish::Inject("") => Some(UNNAMED),
        Wish::Inject(revision) => Some(revision),
        // As injected by the label that names the revision.
        Wish::Doubled => labels.get(REVISION).map(String::as_str),
        Wish::Leave | Wish::Silent => None,
    }
}
