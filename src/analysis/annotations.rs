//! Annotations of the mesh on objects of Kubernetes: which there are, where they belong, and what they may say.

use std::net::IpAddr;

use ipnet::IpNet;

use super::lookups::row;
use super::{Code, Finding, World};
use crate::model::{Labels, ObjectRef};

/// Keeps codes from being found of an object.
const SUPPRESS: &str = "galley.istio.io/analyze-suppress";

/// What an annotation may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Any,
    Flag,
    Number,
    Port,
    Ports,
    PortsOrAll,
    Ranges,
    Interception,
}

/// An annotation: its name, the kinds of objects that it is for (none for all), what it may say, and what replaces it.
type Known = (&'static str, &'static [&'static str], Form, Option<&'static str>);

const ANY: &[&str] = &[];
const POD: &[&str] = &["Pod"];
const SERVICE: &[&str] = &["Service"];
const GATEWAY: &[&str] = &["Gateway"];

/// Those of the reference, in the order of their names.
const KNOWN: &[Known] = &[
    ("alpha.istio.io/canonical-serviceaccounts", SERVICE, Form::Any, Some("nothing: it has no effect")),
    ("alpha.istio.io/identity", POD, Form::Any, Some("nothing: it has no effect")),
    ("alpha.istio.io/kubernetes-serviceaccounts", SERVICE, Form::Any, Some("nothing: it has no effect")),
    ("ambient.istio.io/dns-capture", POD, Form::Flag, None),
    ("ambient.istio.io/redirection", POD, Form::Any, None),
    (SUPPRESS, ANY, Form::Any, None),
    ("gateway.istio.io/controller-version", GATEWAY, Form::Any, None),
    ("gateway.istio.io/name-override", GATEWAY, Form::Any, None),
    ("gateway.istio.io/service-account", GATEWAY, Form::Any, None),
    ("inject.istio.io/templates", POD, Form::Any, None),
    ("install.operator.istio.io/chart-owner", ANY, Form::Any, None),
    ("install.operator.istio.io/owner-generation", ANY, Form::Any, None),
    ("install.operator.istio.io/version", ANY, Form::Any, None),
    ("internal.istio.io/gateway-semantics", ANY, Form::Any, None),
    ("internal.istio.io/webhook-always-reject", ANY, Form::Any, None),
    ("istio.io/dry-run", &["AuthorizationPolicy"], Form::Flag, None),
    ("istio.io/reroute-virtual-interfaces", POD, Form::Any, None),
    ("istio.io/rev", POD, Form::Any, None),
    ("kubernetes.io/ingress.class", &["Ingress"], Form::Any, None),
    ("networking.istio.io/address-type", GATEWAY, Form::Any, None),
    ("networking.istio.io/exportTo", SERVICE, Form::Any, None),
    ("networking.istio.io/service-type", GATEWAY, Form::Any, None),
    ("networking.istio.io/traffic-distribution", &["Service", "Namespace", "ServiceEntry"], Form::Any, None),
    ("prometheus.istio.io/merge-metrics", POD, Form::Flag, None),
    ("proxy.istio.io/config", POD, Form::Any, None),
    ("proxy.istio.io/overrides", POD, Form::Any, None),
    ("readiness.status.sidecar.istio.io/applicationPorts", POD, Form::Ports, None),
    ("readiness.status.sidecar.istio.io/failureThreshold", POD, Form::Number, None),
    ("readiness.status.sidecar.istio.io/initialDelaySeconds", POD, Form::Number, None),
    ("readiness.status.sidecar.istio.io/periodSeconds", POD, Form::Number, None),
    ("sidecar.istio.io/agentLogLevel", POD, Form::Any, None),
    ("sidecar.istio.io/bootstrapOverride", POD, Form::Any, None),
    ("sidecar.istio.io/capNetBindService", POD, Form::Flag, None),
    ("sidecar.istio.io/componentLogLevel", POD, Form::Any, None),
    ("sidecar.istio.io/controlPlaneAuthPolicy", POD, Form::Any, Some("nothing: the control plane always uses TLS")),
    ("sidecar.istio.io/discoveryAddress", POD, Form::Any, Some("discoveryAddress in proxy.istio.io/config")),
    ("sidecar.istio.io/enableCoreDump", POD, Form::Flag, None),
    ("sidecar.istio.io/extraStatTags", POD, Form::Any, None),
    ("sidecar.istio.io/inject", POD, Form::Any, Some("the label of the same name")),
    ("sidecar.istio.io/interceptionMode", POD, Form::Interception, None),
    ("sidecar.istio.io/logLevel", POD, Form::Any, None),
    ("sidecar.istio.io/nativeSidecar", POD, Form::Flag, None),
    ("sidecar.istio.io/proxyCPU", POD, Form::Any, None),
    ("sidecar.istio.io/proxyCPULimit", POD, Form::Any, None),
    ("sidecar.istio.io/proxyImage", POD, Form::Any, None),
    ("sidecar.istio.io/proxyImageType", POD, Form::Any, None),
    ("sidecar.istio.io/proxyMemory", POD, Form::Any, None),
    ("sidecar.istio.io/proxyMemoryLimit", POD, Form::Any, None),
    ("sidecar.istio.io/rewriteAppHTTPProbers", POD, Form::Flag, None),
    ("sidecar.istio.io/statsEvictionInterval", POD, Form::Any, None),
    ("sidecar.istio.io/statsFlushInterval", POD, Form::Any, None),
    ("sidecar.istio.io/statsHistogramBuckets", POD, Form::Any, None),
    ("sidecar.istio.io/statsInclusionPrefixes", POD, Form::Any, Some("proxyStatsMatcher in proxy.istio.io/config")),
    ("sidecar.istio.io/statsInclusionRegexps", POD, Form::Any, Some("proxyStatsMatcher in proxy.istio.io/config")),
    ("sidecar.istio.io/statsInclusionSuffixes", POD, Form::Any, Some("proxyStatsMatcher in proxy.istio.io/config")),
    ("sidecar.istio.io/status", POD, Form::Any, None),
    ("sidecar.istio.io/userVolume", POD, Form::Any, None),
    ("sidecar.istio.io/userVolumeMount", POD, Form::Any, None),
    ("status.sidecar.istio.io/port", POD, Form::Port, None),
    ("topology.istio.io/controlPlaneClusters", &["Namespace"], Form::Any, None),
    ("traffic.sidecar.istio.io/excludeInboundPorts", POD, Form::Ports, None),
    ("traffic.sidecar.istio.io/excludeInterfaces", POD, Form::Any, None),
    ("traffic.sidecar.istio.io/excludeOutboundIPRanges", POD, Form::Ranges, None),
    ("traffic.sidecar.istio.io/excludeOutboundPorts", POD, Form::Ports, None),
    ("traffic.sidecar.istio.io/includeInboundPorts", POD, Form::PortsOrAll, None),
    ("traffic.sidecar.istio.io/includeOutboundIPRanges", POD, Form::Ranges, None),
    ("traffic.sidecar.istio.io/includeOutboundPorts", POD, Form::Ports, None),
    ("traffic.sidecar.istio.io/kubevirtInterfaces", POD, Form::Any, Some("istio.io/reroute-virtual-interfaces")),
];

/// The annotation whose successor is a label: who has both knows.
const INJECT: &str = "sidecar.istio.io/inject";

/// Checks the annotations of namespaces, Services, pods and Deployments.
pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    let facts = world.facts();
    for (name, namespace) in facts.namespaces.iter().flatten() {
        let object = ObjectRef { kind: "Namespace", namespace: "".into(), name: name.clone() };
        check_object(&object, "Namespace", "metadata", &namespace.labels, &namespace.annotations, findings);
    }
    for (object, service) in facts.services.iter().flatten() {
        check_object(object, "Service", "metadata", &service.labels, &service.annotations, findings);
    }
    for (object, pod) in facts.pods.iter().flatten() {
        check_object(object, "Pod", "metadata", &pod.shape.labels, &pod.shape.annotations, findings);
    }
    for (object, deployment) in facts.deployments.iter().flatten() {
        check_object(object, "Deployment", "metadata", &deployment.labels, &deployment.annotations, findings);
        let template = &deployment.template;
        check_object(object, "Pod", "spec.template.metadata", &template.labels, &template.annotations, findings);
    }
}

fn check_object(object: &ObjectRef, kind: &str, at: &str, labels: &Labels, annotations: &Labels, findings: &mut Vec<Finding>) {
    for (name, value) in annotations.iter().filter(|(name, _)| is_ours(name)) {
        let mut report = |code: Code, message: String| {
            findings.push(Finding::new(code, object, format!("{at}.annotations[{name}]"), message));
        };
        let Ok(place) = KNOWN.binary_search_by(|(known, ..)| known.cmp(&name.as_str())) else {
            report(Code::UnknownAnnotation, format!("there is no annotation {name}: see the spelling"));
            continue;
        };
        let (_, kinds, form, successor) = KNOWN[place];
        if let Some(successor) = successor.filter(|_| name != INJECT || !labels.contains_key(INJECT)) {
            report(Code::DeprecatedAnnotation, format!("{name} is deprecated: use {successor}"));
        }
        if !kinds.is_empty() && !kinds.contains(&kind) {
            report(Code::MisplacedAnnotation, format!("{name} means nothing on a {kind}: it belongs on a {}", row(kinds)));
        } else if let Some(wanted) = defect(form, value) {
            report(Code::InvalidAnnotation, format!("{name} is {value:?}, not {wanted}"));
        }
    }
}

/// Whether an annotation is one of the mesh's; that for ingress classes is Kubernetes' but read by the mesh.
fn is_ours(name: &str) -> bool {
    let domain = name.split_once('/').map_or("", |(domain, _)| domain);
    domain == "istio.io" || domain.ends_with(".istio.io") || name == "kubernetes.io/ingress.class"
}

/// What a value should have been, if it is not.
fn defect(form: Form, value: &str) -> Option<&'static str> {
    let each = |fits: fn(&str) -> bool| value.is_empty() || value.split(',').all(|item| fits(item.trim()));
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    let (fits, wanted) = match form {
        Form::Any => (true, ""),
        Form::Flag => (value.parse::<bool>().is_ok(), "true or false"),
        Form::Number => (value.parse::<u32>().is_ok(), "a number"),
        Form::Port => (is_port(value), "the number of a port"),
        Form::Ports => (each(is_port), "a list of port numbers"),
        Form::PortsOrAll => (value == "*" || each(is_port), "a list of port numbers, or *"),
        Form::Ranges => (value == "*" || each(is_range), "a list of address ranges, or *"),
        Form::Interception => (["REDIRECT", "TPROXY", "NONE"].contains(&value), "REDIRECT, TPROXY or NONE"),
    };
    (!fits).then_some(wanted)
}

fn is_range(text: &str) -> bool {
    text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok()
}

/// Whether an object's annotations keep a code from being found of it.
pub fn is_suppressed(annotations: &Labels, code: Code) -> bool {
    let listed = annotations.get(SUPPRESS).map(String::as_str).unwrap_or_default();
    listed.split(',').map(str::trim).any(|entry| entry == "*" || entry == code.as_str())
}

/// Whether the finding's object says that it is not to be found.
pub(super) fn are_suppressed(world: &World, finding: &Finding) -> bool {
    let (facts, object) = (world.facts(), &finding.object);
    let annotations = match object.kind {
        "Namespace" => facts.namespaces.as_ref().and_then(|all| Some(&all.get(&object.name)?.annotations)),
        "Service" => facts.services.as_ref().and_then(|all| Some(&all.get(object)?.annotations)),
        "Pod" => facts.pods.as_ref().and_then(|all| Some(&all.get(object)?.shape.annotations)),
        "Deployment" => facts.deployments.as_ref().and_then(|all| Some(&all.get(object)?.annotations)),
        _ => facts.notes.get(object).map(|notes| &notes.annotations),
    };
    annotations.is_some_and(|annotations| is_suppressed(annotations, finding.code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_so_that_it_can_be_searched() {
        assert!(KNOWN.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn values_are_checked_as_the_injector_reads_them() {
        for (form, good, bad) in [
            (Form::Flag, "true", "yes please"),
            (Form::Number, "3", "-3"),
            (Form::Port, "15021", "66000"),
            (Form::Ports, "80, 443", "http"),
            (Form::Ports, "", "*"),
            (Form::PortsOrAll, "*", "80;443"),
            (Form::Ranges, "10.0.0.0/8,192.168.1.1", "10.0.0.0/33"),
            (Form::Interception, "TPROXY", "redirect"),
        ] {
            assert_eq!((defect(form, good), defect(form, bad).is_some()), (None, true), "{form:?}");
        }
    }
}
