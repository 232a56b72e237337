//! Whether a pod gets a sidecar.
//!
//! Source of the rules and their order: the reference's `injectRequired`. The namespace's label is not looked at here: the webhook
//! configuration's selectors have done that before the API server calls.

use std::{collections::BTreeMap, fmt};

use super::{pod::PodView, selection::SYSTEM_NAMESPACES};
use crate::model::{InjectionPolicy, InjectionValues, LabelSelector};

/// What to do with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It gets a sidecar.
    Inject,
    /// It stays as it is.
    Skip(Skip),
}

/// Why a pod stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// It shares its node's network, whose traffic must not be captured.
    HostNetwork,
    /// It lives in one of Kubernetes' own namespaces.
    SystemNamespace,
    /// Its label or annotation `sidecar.istio.io/inject` says `false`.
    OptedOut,
    /// The mesh's owner leaves such pods out: which of the selectors chose it.
    NeverSelector(usize),
    /// Pods that do not ask get none.
    PolicyDisabled,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostNetwork => f.write_str("hostNetwork pods are not injected; set sidecar.istio.io/inject=false to accept (FM3004)"),
            Self::SystemNamespace => f.write_str("pods of system namespaces are not injected"),
            Self::OptedOut => f.write_str("sidecar.istio.io/inject says no"),
            Self::NeverSelector(index) => write!(f, "the mesh's neverInjectSelector[{index}] chooses it"),
            Self::PolicyDisabled => f.write_str("the mesh injects only pods that ask for it (injection policy Disabled)"),
        }
    }
}

/// The label, or annotation, by which a pod chooses for itself.
pub(super) const INJECT: &str = "sidecar.istio.io/inject";

/// Decides for a pod of `namespace`; the first rule that fits holds. What the pod says itself counts more than the selectors of the mesh's
/// owner, and those more than the policy.
///
/// The label is exactly `true` or `false`. The annotation, which 1.4's documents use, also takes their spellings in any case: `y`,
/// `yes`, `on`, and `n`, `no`, `off`. Anything else is as if nothing were said.
pub fn decide(pod: &PodView<'_>, namespace: &str, values: &InjectionValues) -> Decision {
    if pod.host_network() {
        return Decision::Skip(Skip::HostNetwork);
    }
    if SYSTEM_NAMESPACES.contains(&namespace) {
        return Decision::Skip(Skip::SystemNamespace);
    }
    let wish = match pod.label(INJECT) {
        Some(label) => exact(label),
        None => pod.annotation(INJECT).and_then(spelled),
    };
    match wish {
        Some(false) => return Decision::Skip(Skip::OptedOut),
        Some(true) => return Decision::Inject,
        None => {}
    }
    // For most meshes there is nothing to compare, and this is asked of every pod.
    if !values.never_inject_selector.is_empty() || !values.always_inject_selector.is_empty() {
        let labels = pod.labels();
        if let Some(index) = chosen_by(&values.never_inject_selector, &labels) {
            return Decision::Skip(Skip::NeverSelector(index));
        }
        if chosen_by(&values.always_inject_selector, &labels).is_some() {
            return Decision::Inject;
        }
    }
    match values.policy {
        InjectionPolicy::Enabled => Decision::Inject,
        InjectionPolicy::Disabled => Decision::Skip(Skip::PolicyDisabled),
    }
}

/// The first selector that chooses these labels; an empty one chooses nothing here.
fn chosen_by(selectors: &[LabelSelector], labels: &BTreeMap<String, String>) -> Option<usize> {
    selectors.iter().position(|selector| !selector.is_empty() && selector.matches(labels))
}

fn exact(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn spelled(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "true" | "on" => Some(true),
        "n" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn decision(pod: Value, namespace: &str) -> Decision {
        decide(&PodView::new(&pod), namespace, &InjectionValues::default())
    }

    fn selector(value: Value) -> LabelSelector {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn codes_are_explained() {
        let text = Skip::HostNetwork.to_string();
        let (_, code) = text.trim_end_matches(')').rsplit_once('(').unwrap();
        assert!(include_str!("../../docs/codes.md").contains(&format!("\n| {code} |")), "docs/codes.md has no row for {code}");
    }

    #[test]
    fn an_ordinary_pod_is_injected() {
        assert_eq!(decision(json!({"metadata": {}, "spec": {}}), "shop"), Decision::Inject);
    }

    #[test]
    fn host_network_outweighs_the_wish_of_the_pod() {
        let pod = json!({"metadata": {"labels": {INJECT: "true"}}, "spec": {"hostNetwork": true}});
        assert_eq!(decision(pod, "shop"), Decision::Skip(Skip::HostNetwork));
    }

    #[test]
    fn system_namespaces_are_left_alone() {
        let pod = json!({"metadata": {"labels": {INJECT: "true"}}, "spec": {}});
        assert_eq!(decision(pod, "kube-system"), Decision::Skip(Skip::SystemNamespace));
    }

    #[test]
    fn the_label_outweighs_the_annotation() {
        let pod = json!({"metadata": {"labels": {INJECT: "true"}, "annotations": {INJECT: "false"}}, "spec": {}});
        assert_eq!(decision(pod, "shop"), Decision::Inject);
    }

    #[test]
    fn the_annotation_takes_the_spellings_of_old_documents_and_the_label_does_not() {
        for text in ["false", "No", "OFF", "n"] {
            let pod = json!({"metadata": {"annotations": {INJECT: text}}, "spec": {}});
            assert_eq!(decision(pod, "shop"), Decision::Skip(Skip::OptedOut), "{text}");
        }
        let pod = json!({"metadata": {"labels": {INJECT: "no"}}, "spec": {}});
        assert_eq!(decision(pod, "shop"), Decision::Inject);
    }

    #[test]
    fn selectors_of_the_mesh_decide_for_pods_that_say_nothing_and_never_comes_first() {
        let mut values = InjectionValues {
            never_inject_selector: vec![selector(json!({})), selector(json!({"matchLabels": {"job": "batch"}}))],
            always_inject_selector: vec![
                selector(json!({})),
                selector(json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]})),
            ],
            ..InjectionValues::default()
        };
        let decision =
            |values: &InjectionValues, labels: Value| decide(&PodView::new(&json!({"metadata": {"labels": labels}})), "shop", values);
        assert_eq!(decision(&values, json!({"app": "web"})), Decision::Inject, "an empty selector chooses nothing");
        assert_eq!(decision(&values, json!({"job": "batch", "tier": "a"})), Decision::Skip(Skip::NeverSelector(1)));
        assert_eq!(decision(&values, json!({"job": "batch", INJECT: "true"})), Decision::Inject, "the pod's own word counts more");
        values.policy = InjectionPolicy::Disabled;
        assert_eq!(decision(&values, json!({"app": "web"})), Decision::Skip(Skip::PolicyDisabled));
        assert_eq!(decision(&values, json!({"tier": "a"})), Decision::Inject);
        assert_eq!(decision(&values, json!({"app": "web", INJECT: "true"})), Decision::Inject);
        assert_eq!(decision(&values, json!({"tier": "a", INJECT: "false"})), Decision::Skip(Skip::OptedOut));
    }
}
