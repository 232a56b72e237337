//! Annotations under our prefixes that do nothing: what is unknown is never silence.

use ferromesh_crds::check::nearest;

use super::{annotations::HONOURED, pod::PodView};

/// What begins so is meant for the injector.
const PREFIXES: [&str; 7] = [
    "inject.istio.io/",
    "prometheus.istio.io/",
    "proxy.istio.io/",
    "readiness.status.sidecar.istio.io/",
    "sidecar.istio.io/",
    "status.sidecar.istio.io/",
    "traffic.sidecar.istio.io/",
];

/// Annotations of the reference without an effect here, and why.
const WITHOUT_EFFECT: [(&str, &str); 5] = [
    ("readiness.status.sidecar.istio.io/applicationPorts", "the proxy is ready when its configuration is"),
    ("sidecar.istio.io/controlPlaneAuthPolicy", "proxies speak mutual TLS to the control plane always"),
    ("sidecar.istio.io/enableCoreDump", "core dumps are the node's to set"),
    ("sidecar.istio.io/extraStatTags", "labels of metrics are the Telemetry API's to choose"),
    ("sidecar.istio.io/statsCompression", "metrics are served uncompressed"),
];

/// A sentence for each annotation of a pod that is ours by its prefix and has no effect.
pub(super) fn unhonoured(pod: &PodView<'_>) -> Vec<String> {
    pod.annotations().filter_map(|(annotation, _)| sentence(annotation)).collect()
}

fn sentence(annotation: &str) -> Option<String> {
    if HONOURED.contains(&annotation) || !PREFIXES.iter().any(|prefix| annotation.starts_with(prefix)) {
        return None;
    }
    if let Some((_, reason)) = WITHOUT_EFFECT.iter().find(|(name, _)| *name == annotation) {
        return Some(format!("annotation {annotation} has no effect: {reason}"));
    }
    let meant = nearest(annotation, HONOURED.into_iter()).map(|name| format!(": did you mean {name}?")).unwrap_or_default();
    Some(format!("annotation {annotation} is unknown{meant}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn warnings(annotation: &str) -> Vec<String> {
        unhonoured(&PodView::new(&json!({"metadata": {"annotations": {annotation: "x"}}})))
    }

    #[test]
    fn a_misspelled_annotation_is_told_with_the_right_name() {
        assert_eq!(
            warnings("sidecar.istio.io/proxyCpuLimits"),
            ["annotation sidecar.istio.io/proxyCpuLimits is unknown: did you mean sidecar.istio.io/proxyCPULimit?"]
        );
    }

    #[test]
    fn an_annotation_without_effect_says_why() {
        let warnings = warnings("sidecar.istio.io/enableCoreDump");
        assert_eq!(warnings, ["annotation sidecar.istio.io/enableCoreDump has no effect: core dumps are the node's to set"]);
    }

    #[test]
    fn the_page_on_injection_lists_what_has_an_effect() {
        let page = include_str!("../../docs/injection.md");
        let (_, table) = page.split_once("\n## Annotations\n").unwrap();
        let (table, _) = table.split_once("\n## ").unwrap();
        let listed: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name)).collect();
        assert_eq!(listed, HONOURED);
    }

    #[test]
    fn honoured_and_foreign_annotations_pass_without_a_word() {
        for annotation in HONOURED.into_iter().chain(["example.com/sidecar", "networking.istio.io/tunnel"]) {
            assert_eq!(warnings(annotation), Vec::<String>::new());
        }
        assert!(WITHOUT_EFFECT.iter().all(|(name, _)| !HONOURED.contains(name)));
    }
}
