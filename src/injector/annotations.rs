//! What a pod's annotations ask of its sidecar.
//!
//! Names and meanings are the reference's. All errors of a pod are reported together, each naming its annotation and its value.

use std::{collections::BTreeMap, fmt};

use ipnet::IpNet;
use serde_json::Value;

use super::pod::PodView;
use crate::config::proxy_problems;
use crate::model::ProxySettings;

/// How traffic comes to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterceptionMode {
    /// Redirect rules send it there.
    Redirect,
    /// Nothing is captured; the application talks to the proxy itself.
    None,
}

impl fmt::Display for InterceptionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redirect => "REDIRECT",
            Self::None => "NONE",
        })
    }
}

/// An annotation that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("annotation {annotation}: {value:?} {problem}")]
pub struct AnnotationError {
    /// Its key.
    pub annotation: String,
    /// What it says.
    pub value: String,
    /// What is wrong with that, and what would be right.
    pub problem: String,
}

/// Everything that annotations can change, with the mesh's defaults where they say nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct SidecarOptions {
    /// How traffic is captured.
    pub interception: InterceptionMode,
    /// Outbound address ranges to capture: `*`, or a list; empty for none.
    pub include_outbound_ranges: String,
    /// Outbound address ranges to leave alone.
    pub exclude_outbound_ranges: String,
    /// Outbound ports to capture beside the ranges.
    pub include_outbound_ports: String,
    /// Outbound ports to leave alone.
    pub exclude_outbound_ports: String,
    /// Inbound ports to capture: `*`, or a list; empty for none.
    pub include_inbound_ports: String,
    /// Inbound ports to leave alone, the mesh's own not among them.
    pub exclude_inbound_ports: String,
    /// Whether the kubelet's probes go through the agent.
    pub rewrite_probes: bool,
    /// An image instead of the mesh's.
    pub image: Option<String>,
    /// A variant of the image, in place of what the proxy's configuration says.
    pub image_type: Option<String>,
    /// CPU and memory requests and limits. If any is set, none of the mesh's defaults hold.
    pub resources: Option<BTreeMap<&'static str, BTreeMap<&'static str, String>>>,
    /// Envoy's log level.
    pub log_level: Option<String>,
    /// Whether the sidecar is a native sidecar container; `None` leaves it to what the nodes can do.
    pub native_sidecar: Option<bool>,
    /// The mesh's defaultConfig with the pod's own merged over it.
    pub proxy_config: ProxySettings,
    /// Readiness probe: initial delay in seconds.
    pub readiness_initial_delay: u32,
    /// Readiness probe: period in seconds.
    pub readiness_period: u32,
    /// Readiness probe: failures until it counts.
    pub readiness_failures: u32,
    /// Whether the kubelet asks the sidecar whether it is ready.
    pub health: bool,
    /// Whether the application's metrics are merged into the agent's.
    pub merge_metrics: bool,
    /// Volumes that the pod wants in addition, as Kubernetes writes them.
    pub user_volumes: Vec<Value>,
    /// Where the sidecar mounts them.
    pub user_mounts: Vec<Value>,
}

/// Every annotation that the injector reads or writes.
pub(super) const HONOURED: [&str; 29] = [
    "inject.istio.io/templates",
    "prometheus.istio.io/merge-metrics",
    "proxy.istio.io/config",
    "proxy.istio.io/overrides",
    "readiness.status.sidecar.istio.io/failureThreshold",
    "readiness.status.sidecar.istio.io/initialDelaySeconds",
    "readiness.status.sidecar.istio.io/periodSeconds",
    "sidecar.istio.io/discoveryAddress",
    "sidecar.istio.io/inject",
    "sidecar.istio.io/interceptionMode",
    "sidecar.istio.io/logLevel",
    "sidecar.istio.io/nativeSidecar",
    "sidecar.istio.io/proxyCPU",
    "sidecar.istio.io/proxyCPULimit",
    "sidecar.istio.io/proxyImage",
    "sidecar.istio.io/proxyImageType",
    "sidecar.istio.io/proxyMemory",
    "sidecar.istio.io/proxyMemoryLimit",
    "sidecar.istio.io/rewriteAppHTTPProbers",
    "sidecar.istio.io/status",
    "sidecar.istio.io/userVolume",
    "sidecar.istio.io/userVolumeMount",
    "status.sidecar.istio.io/port",
    "traffic.sidecar.istio.io/excludeInboundPorts",
    "traffic.sidecar.istio.io/excludeOutboundIPRanges",
    "traffic.sidecar.istio.io/excludeOutboundPorts",
    "traffic.sidecar.istio.io/includeInboundPorts",
    "traffic.sidecar.istio.io/includeOutboundIPRanges",
    "traffic.sidecar.istio.io/includeOutboundPorts",
];

const TRAFFIC: &str = "traffic.sidecar.istio.io/";
const LEVELS: [&str; 7] = ["trace", "debug", "info", "warning", "error", "critical", "off"];

impl SidecarOptions {
    /// Reads a pod's annotations over the mesh's defaults.
    ///
    /// # Errors
    /// One for each annotation that cannot be understood.
    pub fn of(pod: &PodView<'_>, defaults: &ProxySettings) -> Result<Self, Vec<AnnotationError>> {
        let mut read = Reader { pod, errors: Vec::new() };
        let traffic = |name: &str| format!("{TRAFFIC}{name}");
        read.parsed("inject.istio.io/templates", (), template);
        let mut proxy_config = read.parsed("proxy.istio.io/config", defaults.clone(), |text| merge(defaults, text));
        // The annotations of older documents outweigh what proxy.istio.io/config says.
        proxy_config.discovery_address = read.parsed("sidecar.istio.io/discoveryAddress", proxy_config.discovery_address, address);
        let status_port = read.parsed("status.sidecar.istio.io/port", proxy_config.status_port, port_or_zero);
        if status_port != 0 {
            proxy_config.status_port = status_port;
        }
        let options = Self {
            interception: read.parsed("sidecar.istio.io/interceptionMode", InterceptionMode::Redirect, interception),
            include_outbound_ranges: read.checked(&traffic("includeOutboundIPRanges"), "*", ranges_or_star),
            exclude_outbound_ranges: read.checked(&traffic("excludeOutboundIPRanges"), "", ranges),
            include_outbound_ports: read.checked(&traffic("includeOutboundPorts"), "", ports),
            exclude_outbound_ports: read.checked(&traffic("excludeOutboundPorts"), "", ports),
            include_inbound_ports: read.checked(&traffic("includeInboundPorts"), "*", ports_or_star),
            exclude_inbound_ports: read.checked(&traffic("excludeInboundPorts"), "", ports),
            rewrite_probes: read.parsed("sidecar.istio.io/rewriteAppHTTPProbers", true, boolean) && status_port != 0,
            image: pod.annotation("sidecar.istio.io/proxyImage").filter(|image| !image.is_empty()).map(str::to_owned),
            image_type: read.parsed("sidecar.istio.io/proxyImageType", None, |text| image_type(text).map(Some)),
            resources: read.resources(),
            log_level: read.parsed("sidecar.istio.io/logLevel", None, |text| level(text).map(Some)),
            native_sidecar: read.parsed("sidecar.istio.io/nativeSidecar", None, |text| boolean(text).map(Some)),
            proxy_config,
            readiness_initial_delay: read.parsed("readiness.status.sidecar.istio.io/initialDelaySeconds", 0, number),
            readiness_period: read.parsed("readiness.status.sidecar.istio.io/periodSeconds", 15, number),
            readiness_failures: read.parsed("readiness.status.sidecar.istio.io/failureThreshold", 4, number),
            health: status_port != 0,
            merge_metrics: read.parsed("prometheus.istio.io/merge-metrics", true, boolean) && status_port != 0,
            user_volumes: read.parsed("sidecar.istio.io/userVolume", Vec::new(), named_objects),
            user_mounts: read.parsed("sidecar.istio.io/userVolumeMount", Vec::new(), named_objects),
        };
        if read.errors.is_empty() { Ok(options) } else { Err(read.errors) }
    }
}

/// Reads annotations and collects what is wrong with them.
struct Reader<'a> {
    pod: &'a PodView<'a>,
    errors: Vec<AnnotationError>,
}

// === impl Reader ===

impl Reader<'_> {
    /// An annotation's parsed value, or the default where it is absent or wrong (which is then noted).
    fn parsed<T>(&mut self, annotation: &str, default: T, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let Some(value) = self.pod.annotation(annotation) else { return default };
        parse(value).unwrap_or_else(|problem| {
            self.errors.push(AnnotationError { annotation: annotation.to_owned(), value: value.to_owned(), problem });
            default
        })
    }

    /// An annotation whose text is passed on once it has been checked.
    fn checked(&mut self, annotation: &str, default: &str, check: impl Fn(&str) -> Result<(), String>) -> String {
        self.parsed(annotation, default.to_owned(), |text| {
            let tight: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            check(&tight).map(|()| tight)
        })
    }

    fn resources(&mut self) -> Option<BTreeMap<&'static str, BTreeMap<&'static str, String>>> {
        let mut resources: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (annotation, side, resource) in [
            ("sidecar.istio.io/proxyCPU", "requests", "cpu"),
            ("sidecar.istio.io/proxyMemory", "requests", "memory"),
            ("sidecar.istio.io/proxyCPULimit", "limits", "cpu"),
            ("sidecar.istio.io/proxyMemoryLimit", "limits", "memory"),
        ] {
            if let Some(amount) = self.parsed(annotation, None, |text| quantity(text).map(Some)) {
                resources.entry(side).or_default().insert(resource, amount);
            }
        }
        (!resources.is_empty()).then_some(resources)
    }
}

fn interception(text: &str) -> Result<InterceptionMode, String> {
    match text {
        "REDIRECT" => Ok(InterceptionMode::Redirect),
        "NONE" => Ok(InterceptionMode::None),
        "TPROXY" => Err("needs rights that a restricted pod does not have: use REDIRECT or NONE".to_owned()),
        _ => Err("is not a mode: use REDIRECT or NONE".to_owned()),
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "is no boolean: use true or false".to_owned())
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "is not a whole number such as 2".to_owned())
}

fn level(text: &str) -> Result<String, String> {
    if LEVELS.contains(&text) { Ok(text.to_owned()) } else { Err(format!("is not a log level: use one of {}", LEVELS.join(", "))) }
}

fn image_type(text: &str) -> Result<String, String> {
    let known = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if known { Ok(text.to_owned()) } else { Err("is no variant of an image such as debug".to_owned()) }
}

/// Kubernetes' quantities: a number with an optional suffix. The API server checks the rest.
fn quantity(text: &str) -> Result<String, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = &text[digits.len()..];
    let known = ["", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].contains(&suffix);
    match digits.parse::<f64>() {
        Ok(amount) if known && amount.is_finite() && amount >= 0.0 => Ok(text.to_owned()),
        _ => Err("is not a quantity such as 100m or 128Mi".to_owned()),
    }
}

fn ranges_or_star(text: &str) -> Result<(), String> {
    if text == "*" { Ok(()) } else { ranges(text) }
}

fn ports_or_star(text: &str) -> Result<(), String> {
    if text == "*" { Ok(()) } else { ports(text) }
}

fn ranges(text: &str) -> Result<(), String> {
    each(text, |range| {
        let known = range.parse::<IpNet>().is_ok() || range.parse::<std::net::IpAddr>().is_ok();
        if known { Ok(()) } else { Err(format!("has {range:?}, which is no address range such as 10.0.0.0/8")) }
    })
}

fn ports(text: &str) -> Result<(), String> {
    each(text, |port| match port.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => Err(format!("has {port:?}, which is no port between 1 and 65535")),
    })
}

fn each(text: &str, check: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    text.split(',').filter(|part| !part.is_empty()).try_for_each(check)
}

fn port_or_zero(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "is no port between 1 and 65535, nor 0 for none".to_owned())
}

fn address(text: &str) -> Result<String, String> {
    let known = text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && ports(port).is_ok() && !port.is_empty());
    if known { Ok(text.to_owned()) } else { Err("is no address such as istio-pilot.istio-system.svc:15012".to_owned()) }
}

/// The reference's templates can be many; here there is one.
fn template(text: &str) -> Result<(), String> {
    let only = text.split(',').all(|name| name.trim() == "sidecar");
    if only { Ok(()) } else { Err("is no template of this mesh: use sidecar, or leave the annotation out".to_owned()) }
}

/// A map of names to objects, as the list of Kubernetes that it stands for.
fn named_objects(text: &str) -> Result<Vec<Value>, String> {
    let map: BTreeMap<String, serde_json::Map<String, Value>> =
        serde_saphyr::from_str(text).map_err(|_| "is not a JSON map from names of volumes to objects".to_owned())?;
    let named = map.into_iter().map(|(name, mut object)| {
        object.insert("name".to_owned(), name.into());
        Value::Object(object)
    });
    Ok(named.collect())
}

/// The pod's `proxy.istio.io/config` over the mesh's: member by member, `proxyMetadata` key by key.
fn merge(defaults: &ProxySettings, text: &str) -> Result<ProxySettings, String> {
    let own: serde_json::Value = serde_saphyr::from_str(text).map_err(|error| format!("is not YAML: {error}"))?;
    let Some(own) = own.as_object() else {
        return if own.is_null() { Ok(defaults.clone()) } else { Err("is not a YAML map of ProxyConfig's fields".to_owned()) };
    };
    let mut merged = serde_json::to_value(defaults).map_err(|error| error.to_string())?;
    for (key, value) in own {
        match (merged.get_mut(key).and_then(|v| v.as_object_mut()), value.as_object()) {
            (Some(base), Some(over)) => base.extend(over.clone()),
            _ => merged[key.as_str()] = value.clone(),
        }
    }
    let merged: ProxySettings = serde_json::from_value(merged).map_err(|error| format!("is not a ProxyConfig: {error}"))?;
    match proxy_problems(&merged, "").first() {
        Some(problem) => Err(format!("has {}: {}", problem.path, problem.message)),
        None => Ok(merged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn options(annotations: Value) -> Result<SidecarOptions, Vec<AnnotationError>> {
        let pod = json!({"metadata": {"annotations": annotations}, "spec": {}});
        SidecarOptions::of(&PodView::new(&pod), &ProxySettings::default())
    }

    #[test]
    fn a_pod_without_annotations_gets_the_defaults() {
        let options = options(json!({})).unwrap();
        assert_eq!(options.interception, InterceptionMode::Redirect);
        assert_eq!(options.include_outbound_ranges, "*");
        assert!(options.rewrite_probes);
        assert_eq!(options.resources, None);
    }

    #[test]
    fn every_wrong_annotation_is_named_at_once() {
        let errors = options(json!({
            "traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.0/33",
            "traffic.sidecar.istio.io/excludeInboundPorts": "80,x",
            "sidecar.istio.io/interceptionMode": "redirect",
            "readiness.status.sidecar.istio.io/periodSeconds": "soon",
            "sidecar.istio.io/proxyCPU": "a lot",
        }))
        .unwrap_err();
        let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(messages.len(), 5, "{messages:#?}");
        assert!(messages.contains(
            &"annotation traffic.sidecar.istio.io/excludeInboundPorts: \"80,x\" has \"x\", which is no port between 1 and 65535".to_owned()
        ));
    }

    #[test]
    fn proxy_config_is_merged_over_the_mesh_and_its_metadata_key_by_key() {
        let defaults = ProxySettings { proxy_metadata: [("A".to_owned(), "1".to_owned())].into(), ..ProxySettings::default() };
        let merged = merge(&defaults, "concurrency: 4\nproxyMetadata:\n  B: \"2\"\n").unwrap();
        assert_eq!(merged.concurrency, 4);
        assert_eq!(merged.proxy_metadata.len(), 2);
        assert!(merge(&defaults, "concurency: 4").unwrap_err().contains("concurency"));
        assert_eq!(merge(&defaults, "statusPort: 0").unwrap_err(), "has statusPort: 0 is no port");
        assert!(merge(&defaults, "drainDuration: soon").unwrap_err().starts_with("has drainDuration: \"soon\" is no duration"));
    }

    #[test]
    fn annotations_of_older_documents_outweigh_the_proxy_config() {
        let options = options(json!({
            "proxy.istio.io/config": "{discoveryAddress: 'a:1', statusPort: 15999}",
            "sidecar.istio.io/discoveryAddress": "pilot.old.svc:15010",
            "status.sidecar.istio.io/port": "0",
        }))
        .unwrap();
        assert_eq!(options.proxy_config.discovery_address, "pilot.old.svc:15010");
        assert_eq!(options.proxy_config.status_port, 15999);
        assert!(!options.health && !options.rewrite_probes && !options.merge_metrics);
    }

    #[test]
    fn volumes_are_maps_by_name() {
        let mounts = options(json!({"sidecar.istio.io/userVolumeMount": r#"{"tls": {"mountPath": "/etc/tls", "readOnly": true}}"#}));
        assert_eq!(mounts.unwrap().user_mounts, [json!({"name": "tls", "mountPath": "/etc/tls", "readOnly": true})]);
        let error = options(json!({"sidecar.istio.io/userVolume": "[tls]"})).unwrap_err();
        assert!(error[0].to_string().ends_with("is not a JSON map from names of volumes to objects"), "{}", error[0]);
    }

    #[test]
    fn only_the_template_that_there_is_can_be_asked_for() {
        assert!(options(json!({"inject.istio.io/templates": "sidecar"})).is_ok());
        assert!(options(json!({"inject.istio.io/templates": "gateway"})).is_err());
    }

    #[test]
    fn one_resource_annotation_drops_all_defaults() {
        let options = options(json!({"sidecar.istio.io/proxyCPU": "100m"})).unwrap();
        assert_eq!(options.resources.unwrap()["requests"]["cpu"], "100m");
    }
}
