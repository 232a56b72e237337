//! Whether a pod gets a sidecar.
//!
//! Source of the rules and their order: the reference's `injectRequired`. The namespace's label is not looked at here: the webhook
//! configuration's selectors have done that before the API server calls.

use std::fmt;

use super::pod::PodView;

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
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostNetwork => "hostNetwork pods are not injected; set sidecar.istio.io/inject=false to accept (FM3004)",
            Self::SystemNamespace => "pods of system namespaces are not injected",
            Self::OptedOut => "sidecar.istio.io/inject says no",
        })
    }
}

/// Namespaces that are never injected, whatever their labels.
const SYSTEM_NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// The label, or annotation, by which a pod chooses for itself.
pub(super) const INJECT: &str = "sidecar.istio.io/inject";

/// Decides for a pod of `namespace`; the first rule that fits holds.
///
/// The label is exactly `true` or `false`. The annotation, which 1.4's documents use, also takes their spellings in any case: `y`,
/// `yes`, `on`, and `n`, `no`, `off`. Anything else leaves it to the namespace.
pub fn decide(pod: &PodView<'_>, namespace: &str) -> Decision {
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
        Some(false) => Decision::Skip(Skip::OptedOut),
        Some(true) | None => Decision::Inject,
    }
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
        decide(&PodView::new(&pod), namespace)
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
}
