//! Istio 1.4's own description of an installation, IstioControlPlane: where its fields lead here.

use clap::{Arg, ArgAction, value_parser};
use serde_json::Value;

/// Fields that have a counterpart as a whole, and its name.
const WHOLE: [(&str, &str); 8] = [
    ("profile", "profile"),
    ("hub", "hub"),
    ("tag", "tag"),
    ("defaultNamespace", "namespace"),
    ("namespace", "namespace"),
    ("revision", "revision"),
    ("meshConfig", "meshConfig"),
    ("values", "values"),
];

/// Features, with what their `enabled` switches. What is not there leads to the values that say so.
const FEATURES: [(&str, &str); 8] = [
    ("trafficManagement", "components.pilot"),
    ("policy", "values.mixer.policy"),
    ("telemetry", "values.mixer.telemetry"),
    ("security", "components.citadel"),
    ("configManagement", "components.galley"),
    ("autoInjection", "components.injector"),
    ("cni", "components.cni"),
    ("coreDNS", "values.istiocoredns"),
];

/// The feature that stands for two things, each with a switch of its own.
const GATEWAYS: &str = "gateways";

/// Parts of features.
const COMPONENTS: [(&str, &str); 12] = [
    ("trafficManagement.components.pilot", "components.pilot"),
    ("policy.components.policy", "values.mixer.policy"),
    ("telemetry.components.telemetry", "values.mixer.telemetry"),
    ("security.components.citadel", "components.citadel"),
    ("security.components.certManager", "values.certmanager"),
    ("security.components.nodeAgent", "values.nodeagent"),
    ("configManagement.components.galley", "components.galley"),
    ("autoInjection.components.injector", "components.injector"),
    ("gateways.components.ingressGateway", "gateways.ingress[istio-ingressgateway]"),
    ("gateways.components.egressGateway", "gateways.egress[istio-egressgateway]"),
    ("cni.components.cni", "components.cni"),
    ("coreDNS.components.coreDNS", "values.istiocoredns"),
];

/// Where the values of a part's chart are, which 1.4 has below the part's own `values`, for those that are told by fields here.
const CHARTS: [(&str, &str); 7] = [
    ("components.pilot", "values.pilot"),
    ("components.citadel", "values.security"),
    ("components.galley", "values.galley"),
    ("components.injector", "values.sidecarInjectorWebhook"),
    ("components.cni", "values.cni"),
    ("gateways.ingress[istio-ingressgateway]", "values.gateways.istio-ingressgateway"),
    ("gateways.egress[istio-egressgateway]", "values.gateways.istio-egressgateway"),
];

/// Fields of a part below `k8s`.
const SETTINGS: [(&str, &str); 16] = [
    ("replicaCount", "replicas"),
    ("hpaSpec.minReplicas", "autoscaling.minReplicas"),
    ("hpaSpec.maxReplicas", "autoscaling.maxReplicas"),
    ("resources", "resources"),
    ("env", "env"),
    ("nodeSelector", "nodeSelector"),
    ("tolerations", "tolerations"),
    ("affinity", "affinity"),
    ("podAnnotations", "podAnnotations"),
    ("priorityClassName", "priorityClassName"),
    ("serviceAnnotations", "service.annotations"),
    ("service.type", "service.type"),
    ("service.ports", "service.ports"),
    ("service.loadBalancerIP", "service.loadBalancerIP"),
    ("service.loadBalancerSourceRanges", "service.loadBalancerSourceRanges"),
    ("service.externalTrafficPolicy", "service.externalTrafficPolicy"),
];

/// Flags of 1.4's that all verbs of a group take and that change nothing: messages go to standard error in any case, and what is wrong with
/// a description the operator would refuse, whatever was forced here.
pub(super) fn taken() -> [Arg; 3] {
    ["force", "logtostderr", "verbose"].map(|name| flag(name).global(true))
}

/// 1.4's `--dry-run` of verbs that change nothing in any case.
pub(super) fn dry_run() -> Arg {
    flag("dry-run")
}

/// A flag of 1.4's that is taken and changes nothing. As there, it may have a value.
pub(super) fn flag(name: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::Set)
        .value_parser(value_parser!(bool))
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .hide(true)
}

/// What a field of 1.4 means here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is said at these places.
    At(Vec<String>),
    /// The same, but what is on stays as each place says.
    OffAt(Vec<String>),
    /// The namespace of a part, which is the mesh's.
    Namespace,
}

/// Whether a field of the spec is 1.4's, by its first step.
pub(super) fn knows(root: &str) -> bool {
    root == GATEWAYS || FEATURES.iter().chain(&WHOLE).any(|(name, _)| *name == root)
}

/// What a path of 1.4 means; none for one that has no counterpart, or only has some below it.
pub(super) fn meaning(path: &str) -> Option<Meaning> {
    let at = |path: String| Some(Meaning::At(vec![path]));
    if let Some((ours, rest)) = below(path, &WHOLE) {
        return at(format!("{ours}{rest}"));
    }
    if let Some((ours, rest)) = below(path, &COMPONENTS) {
        if rest == ".namespace" {
            return Some(Meaning::Namespace);
        }
        let chart = if ours.starts_with("values.") { Some(ours) } else { below(ours, &CHARTS).map(|(chart, _)| chart) };
        if let (Some(chart), Some((_, rest))) = (chart, below(rest, &[(".values", "")])) {
            return at(format!("{chart}{rest}"));
        }
        if ours.starts_with("values.") || rest == ".enabled" {
            return at(format!("{ours}{rest}"));
        }
        let (setting, rest) = below(rest.strip_prefix(".k8s.")?, &SETTINGS)?;
        return at(format!("{ours}.{setting}{rest}"));
    }
    let (feature, field) = path.split_once('.')?;
    let switched = FEATURES.iter().find(|(name, _)| *name == feature);
    match field {
        "namespace" | "components.namespace" if switched.is_some() || feature == GATEWAYS => Some(Meaning::Namespace),
        "enabled" if feature == GATEWAYS => {
            let gateways = COMPONENTS.iter().filter(|(theirs, _)| theirs.starts_with("gateways."));
            Some(Meaning::OffAt(gateways.map(|(_, ours)| format!("{ours}.enabled")).collect()))
        }
        "enabled" => at(format!("{}.enabled", switched?.1)),
        _ => None,
    }
}

/// Where a spec says what a path of 1.4 leads to: one field, or all of a part or of a feature; none for a path that is not 1.4's.
pub(super) fn place(path: &str) -> Option<String> {
    if let Some(Meaning::At(places)) = meaning(path) {
        return places.into_iter().next();
    }
    let part = path.strip_suffix(".k8s").unwrap_or(path);
    COMPONENTS.iter().chain(&FEATURES).find(|(theirs, _)| *theirs == part).map(|(_, ours)| (*ours).to_owned())
}

/// The row whose path is the path or leads to it, as what it stands for and the rest of the path.
fn below<'r, 'p>(path: &'p str, rows: &'r [(&str, &'r str)]) -> Option<(&'r str, &'p str)> {
    let rest = |theirs: &str| path.strip_prefix(theirs).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    rows.iter().find_map(|(theirs, ours)| Some((*ours, rest(theirs)?)))
}

/// The fields of a spec of 1.4 with what they mean, and those that mean nothing here.
pub(super) fn read(spec: &Value) -> (Vec<(String, Meaning, Value)>, Vec<String>) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for (name, value) in spec.as_object().into_iter().flatten() {
        walk(name.clone(), value, &mut known, &mut unknown);
    }
    (known, unknown)
}

fn walk(path: String, value: &Value, known: &mut Vec<(String, Meaning, Value)>, unknown: &mut Vec<String>) {
    match (meaning(&path), value) {
        (Some(meaning), _) => known.push((path, meaning, value.clone())),
        (None, Value::Object(fields)) => {
            fields.iter().for_each(|(name, value)| walk(format!("{path}.{name}"), value, known, unknown));
        }
        (None, Value::Null) => {}
        (None, _) => unknown.push(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_lead_where_the_same_is_said_here() {
        for (theirs, ours) in [
            ("defaultNamespace", "namespace"),
            ("values.global.mtls.auto", "values.global.mtls.auto"),
            ("trafficManagement.enabled", "components.pilot.enabled"),
            ("telemetry.enabled", "values.mixer.telemetry.enabled"),
            ("autoInjection.components.injector.enabled", "components.injector.enabled"),
            ("cni.enabled", "components.cni.enabled"),
            ("gateways.components.egressGateway.enabled", "gateways.egress[istio-egressgateway].enabled"),
            (
                "gateways.components.ingressGateway.k8s.service.ports[0].port",
                "gateways.ingress[istio-ingressgateway].service.ports[0].port",
            ),
            ("trafficManagement.components.pilot.k8s.resources.requests.cpu", "components.pilot.resources.requests.cpu"),
            ("trafficManagement.components.pilot.k8s.hpaSpec.maxReplicas", "components.pilot.autoscaling.maxReplicas"),
        ] {
            assert_eq!(meaning(theirs), Some(Meaning::At(vec![ours.to_owned()])), "{theirs}");
        }
        for none in ["gateways.ingress[a].replicas", "gateways", "cni", "trafficManagement.components.pilot.k8s.strategy", "nosuch.enabled"]
        {
            assert_eq!(meaning(none), None, "{none}");
        }
    }

    #[test]
    fn a_spec_is_read_field_by_field() {
        let (known, unknown) = read(&json!({
            "gateways": {"enabled": false, "components": {"namespace": "mesh", "ingressGateway": {"k8s": {"strategy": {"x": 1}}}}},
            "cni": {"components": {"cni": {}}},
        }));
        let both = ["gateways.ingress[istio-ingressgateway].enabled", "gateways.egress[istio-egressgateway].enabled"].map(str::to_owned);
        assert_eq!(known[0], ("gateways.components.namespace".to_owned(), Meaning::Namespace, json!("mesh")));
        assert_eq!(known[1], ("gateways.enabled".to_owned(), Meaning::OffAt(both.into()), json!(false)));
        assert_eq!(unknown, ["gateways.components.ingressGateway.k8s.strategy.x"]);
    }
}
