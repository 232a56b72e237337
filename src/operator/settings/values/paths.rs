//! Where each path leads.

use serde_json::{Value, json};

use super::held::{Held, held};

/// Where a path of the values leads.
pub(super) enum Target {
    /// To a field of the spec.
    Field(String),
    /// To one whose value has another form there.
    Converted(String, fn(&Value) -> Value),
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
    Instead(&'static str),
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
}

/// 1.4's names of the control plane's parts.
const PARTS: [(&str, &str); 5] =
    [("pilot", "pilot"), ("security", "citadel"), ("galley", "galley"), ("sidecarInjectorWebhook", "injector"), ("cni", "cni")];

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
        // 1.4's switch, and today's.
        "prometheus.enabled" => field("addons.prometheus.enabled"),
        "grafana.enabled" => field("addons.grafana.enabled"),
        "kiali.enabled" => field("addons.kiali.enabled"),
        "tracing.enabled" => field("addons.tracing.enabled"),
        "istio_cni.enabled" | "pilot.cni.enabled" => field("components.cni.enabled"),
        "cni.cniBinDir"
        | "cni.cniConfDir"
        | "cni.repair.enabled"
        | "cni.repair.labelPods"
        | "cni.repair.deletePods"
        | "cni.repair.repairPods" => path.strip_prefix("cni.").map(|path| Target::Told(Told::Cni(path.to_owned()))),
        _ => held(path).or_else(|| injection(path)).or_else(|| part(path)),
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
            _ => return Some(Target::Instead("is no gateway of a profile: declare it under spec.gateways")),
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
            Some(Target::Instead("is not read: pods keep to different nodes anyway; set the part's affinity for more"))
        }
        "rollingMaxSurge" | "rollingMaxUnavailable" => {
            Some(Target::Instead("is not read: one pod more is started before an old one goes, so that none is missed"))
        }
        "image" => Some(Target::Instead("is not read: images are hub/ferromesh:tag and hub/ferromesh-proxy:tag; set hub and tag")),
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
