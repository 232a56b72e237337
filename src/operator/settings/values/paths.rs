//! Where each path leads.

use serde_json::{Value, json};

use super::held::{Held, held};
use crate::operator::settings::Program;

/// Where a path of the values leads.
pub(super) enum Target {
    /// To a field of the spec.
    Field(String),
    /// To one whose value has another form there.
    Converted(String, fn(&Value) -> Value),
    /// To these fields of the mesh's configuration, which are one in 1.4.
    MeshConfig(&'static [&'static str]),
    /// To the environment of the part at this place.
    Variables(String),
    /// To this field of all Deployments.
    Everywhere(&'static str),
    /// To a field of `autoscaling` of a part, or to its switch, `enabled`.
    Scaling(String, &'static str),
    /// To what no field of the spec says.
    Told(Told),
    /// To what always is so, and why.
    Holds(Held, &'static str),
    /// Nowhere: what to do in its place.
    Instead(String),
}

/// What only values say.
pub(super) enum Told {
    /// The sidecar's resources.
    ProxyResources,
    /// A field of the sidecar's defaults.
    Sidecar(&'static str),
    /// The nodes' part, below this path.
    Cni(String),
    /// The cluster's name.
    Cluster,
    /// The network's name.
    Network,
    /// Where pilot's configuration comes from.
    ConfigSource,
    /// Where pilot is.
    RemotePilot,
    /// Whether workloads take mutual TLS alone.
    Strict,
    /// How long workloads' certificates last.
    CertificateLifetime,
    /// A namespace, under this name below `global`, which can only be the mesh's.
    Namespace(&'static str),
}

/// 1.4's names of the control plane's parts.
const PARTS: [(&str, &str); 5] =
    [("pilot", "pilot"), ("security", "citadel"), ("galley", "galley"), ("sidecarInjectorWebhook", "injector"), ("cni", "cni")];

/// Namespaces below `global`, of which 1.4 has one for each of its jobs.
const NAMESPACES: [&str; 5] = ["istioNamespace", "configNamespace", "policyNamespace", "telemetryNamespace", "prometheusNamespace"];

/// What is exported to whom, where nobody says so.
const VISIBILITY: [&str; 3] = ["defaultServiceExportTo", "defaultVirtualServiceExportTo", "defaultDestinationRuleExportTo"];

/// Fields of the mesh's configuration.
const MESH_CONFIG: [(&str, &str); 14] = [
    ("global.proxy.accessLogFile", "accessLogFile"),
    ("global.proxy.accessLogFormat", "accessLogFormat"),
    ("global.proxy.accessLogEncoding", "accessLogEncoding"),
    ("global.proxy.concurrency", "defaultConfig.concurrency"),
    ("global.proxy.dnsRefreshRate", "dnsRefreshRate"),
    ("global.proxy.holdApplicationUntilProxyStarts", "defaultConfig.holdApplicationUntilProxyStarts"),
    ("global.proxy.protocolDetectionTimeout", "protocolDetectionTimeout"),
    ("global.proxy.statusPort", "defaultConfig.statusPort"),
    ("global.localityLbSetting", "localityLbSetting"),
    ("global.meshNetworks", "meshNetworks"),
    ("global.mtls.auto", "enableAutoMtls"),
    ("global.outboundTrafficPolicy.mode", "outboundTrafficPolicy.mode"),
    ("global.trustDomain", "trustDomain"),
    ("security.trustDomain", "trustDomain"),
];

/// Fields of the sidecar's defaults, below `global.proxy`.
const SIDECAR: [(&str, &str); 10] = [
    ("includeIPRanges", "includeOutboundRanges"),
    ("excludeIPRanges", "excludeOutboundRanges"),
    ("includeInboundPorts", "includeInboundPorts"),
    ("excludeInboundPorts", "excludeInboundPorts"),
    ("excludeOutboundPorts", "excludeOutboundPorts"),
    ("logLevel", "logLevel"),
    ("componentLogLevel", "componentLogLevel"),
    ("readinessInitialDelaySeconds", "readinessInitialDelay"),
    ("readinessPeriodSeconds", "readinessPeriod"),
    ("readinessFailureThreshold", "readinessFailures"),
];

/// Where a path leads; none for one that has no meaning, or only has some below.
pub(super) fn target(path: &str) -> Option<Target> {
    let field = |path: &str| Some(Target::Field(path.to_owned()));
    if let Some((_, name)) = MESH_CONFIG.iter().find(|(known, _)| *known == path) {
        return field(&format!("meshConfig.{name}"));
    }
    match path {
        "global.hub" => field("hub"),
        "global.tag" => field("tag"),
        "global.imagePullPolicy" => field("imagePullPolicy"),
        "global.imagePullSecrets" => Some(Target::Converted("imagePullSecrets".to_owned(), named)),
        "global.proxy.autoInject" => Some(Target::Converted("injection.policy".to_owned(), policy)),
        "global.proxy.resources" => Some(Target::Told(Told::ProxyResources)),
        "global.multiCluster.clusterName" => Some(Target::Told(Told::Cluster)),
        "global.useMCP" | "pilot.useMCP" => Some(Target::Told(Told::ConfigSource)),
        "global.network" => Some(Target::Told(Told::Network)),
        "global.remotePilotAddress" => Some(Target::Told(Told::RemotePilot)),
        "global.mtls.enabled" => Some(Target::Told(Told::Strict)),
        "global.priorityClassName" => Some(Target::Everywhere("priorityClassName")),
        "global.defaultNodeSelector" => Some(Target::Everywhere("nodeSelector")),
        "global.defaultTolerations" => Some(Target::Everywhere("tolerations")),
        "global.defaultResources" => Some(Target::Everywhere("resources")),
        "global.defaultConfigVisibilitySettings" => Some(Target::MeshConfig(&VISIBILITY)),
        "security.workloadCertTtl" => Some(Target::Told(Told::CertificateLifetime)),
        // 1.4's switch, and today's.
        "istio_cni.enabled" | "pilot.cni.enabled" => field("components.cni.enabled"),
        "cni.cniBinDir"
        | "cni.cniConfDir"
        | "cni.repair.enabled"
        | "cni.repair.labelPods"
        | "cni.repair.deletePods"
        | "cni.repair.repairPods" => path.strip_prefix("cni.").map(|path| Target::Told(Told::Cni(path.to_owned()))),
        _ => held(path).or_else(|| namespace(path)).or_else(|| injection(path)).or_else(|| addon(path)).or_else(|| part(path)),
    }
}

/// Names of namespaces.
fn namespace(path: &str) -> Option<Target> {
    let setting = path.strip_prefix("global.")?;
    NAMESPACES.iter().find(|known| **known == setting).map(|known| Target::Told(Told::Namespace(known)))
}

/// Paths below an add-on, which has the same name here.
fn addon(path: &str) -> Option<Target> {
    let (name, setting) = path.split_once('.')?;
    Program::named(name)?;
    let instead = |remedy: String| Some(Target::Instead(remedy));
    let holds = |held, reason| Some(Target::Holds(held, reason));
    match (setting, name) {
        ("enabled" | "service.type" | "service.annotations" | "service.loadBalancerIP" | "service.loadBalancerSourceRanges", _) => {
            Some(Target::Field(format!("addons.{path}")))
        }
        ("hub" | "tag" | "image", _) | ("zipkin.hub" | "zipkin.image" | "zipkin.tag", "tracing") => {
            instead(format!("an add-on's image is named as a whole: set spec.addons.{name}.image"))
        }
        ("jaeger", "tracing") => instead("the add-on is Zipkin: take it away".to_owned()),
        ("service.externalPort" | "service.name" | "service.nodePort.port", _) => instead(format!("set spec.addons.{name}.service.ports")),
        ("service.nodePort.enabled", _) => holds(Held::Bool(false), "set type NodePort, and the ports, in the add-on's service"),
        ("ingress.enabled", _) => holds(Held::Bool(false), "objects of kind Ingress are not made: use a Gateway and a VirtualService"),
        ("replicaCount", _) => holds(Held::Number(1), "an add-on keeps what it has in the memory of its one pod: take it away"),
        ("nodeSelector" | "tolerations", _) => {
            instead("add-ons run where all do: set global.defaultNodeSelector and global.defaultTolerations".to_owned())
        }
        _ => None,
    }
}

/// Paths about who gets a sidecar, and what is in it.
fn injection(path: &str) -> Option<Target> {
    if let Some(setting) = path.strip_prefix("global.proxy.") {
        let (_, field) = SIDECAR.iter().find(|(known, _)| *known == setting)?;
        return Some(Target::Told(Told::Sidecar(field)));
    }
    match path.strip_prefix("sidecarInjectorWebhook.")? {
        setting @ ("enableNamespacesByDefault"
        | "neverInjectSelector"
        | "alwaysInjectSelector"
        | "templates"
        | "defaultTemplates"
        | "templateAliases") => Some(Target::Field(format!("injection.{setting}"))),
        "rewriteAppHTTPProbe" => Some(Target::Told(Told::Sidecar("rewriteProbes"))),
        _ => None,
    }
}

/// Paths below a part of the control plane or below a gateway.
fn part(path: &str) -> Option<Target> {
    if let Some((gateway, setting)) = path.strip_prefix("gateways.").and_then(|rest| rest.split_once('.')) {
        let list = match gateway {
            "istio-ingressgateway" => "ingress",
            "istio-egressgateway" => "egress",
            _ => return Some(Target::Instead("is no gateway of a profile: declare it under spec.gateways".to_owned())),
        };
        let field = format!("gateways.{list}[{gateway}]");
        return match setting {
            "type" | "ports" | "loadBalancerIP" | "loadBalancerSourceRanges" | "externalTrafficPolicy" => {
                Some(Target::Field(format!("{field}.service.{setting}")))
            }
            "serviceAnnotations" => Some(Target::Field(format!("{field}.service.annotations"))),
            "labels" => Some(Target::Field(format!("{field}.labels"))),
            _ => component(&field, setting),
        };
    }
    let (part, setting) = path.split_once('.')?;
    let (_, name) = PARTS.iter().find(|(old, _)| *old == part)?;
    component(&format!("components.{name}"), setting)
}

fn component(field: &str, setting: &str) -> Option<Target> {
    let instead = |remedy: &str| Some(Target::Instead(remedy.to_owned()));
    let same = |name: &str| Some(Target::Field(format!("{field}.{name}")));
    let scaling = |name| Some(Target::Scaling(field.to_owned(), name));
    match setting {
        "replicaCount" => same("replicas"),
        "enabled" | "resources" | "nodeSelector" | "tolerations" | "podAnnotations" => same(setting),
        "env" => Some(Target::Variables(field.to_owned())),
        "autoscaleEnabled" => scaling("enabled"),
        "autoscaleMin" => scaling("minReplicas"),
        "autoscaleMax" => scaling("maxReplicas"),
        "cpu.targetAverageUtilization" => scaling("targetCPUUtilizationPercentage"),
        "podAntiAffinityLabelSelector" | "podAntiAffinityTermLabelSelector" => {
            instead("is not read: pods keep to different nodes anyway; set the part's affinity for more")
        }
        "rollingMaxSurge" | "rollingMaxUnavailable" => {
            instead("is not read: one pod more is started before an old one goes, so that none is missed")
        }
        "image" => instead("is not read: images are hub/ferromesh:tag and hub/ferromesh-proxy:tag; set hub and tag"),
        _ => None,
    }
}

/// `enabled` → `Enabled`.
fn policy(word: &Value) -> Value {
    match word.as_str() {
        Some("enabled") => json!("Enabled"),
        Some("disabled") => json!("Disabled"),
        _ => word.clone(),
    }
}

/// `[a]` → `[{name: a}]`.
fn named(names: &Value) -> Value {
    match names.as_array() {
        Some(names) => names.iter().map(|name| if name.is_string() { json!({"name": name}) } else { name.clone() }).collect(),
        None => names.clone(),
    }
}
