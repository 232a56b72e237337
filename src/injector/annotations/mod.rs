//! What a pod's annotations ask of its sidecar.
//!
//! Names and meanings are the reference's. All errors of a pod are reported together, each naming its annotation and its value.

mod proxy_config;
mod syntax;

use std::collections::BTreeMap;

use serde_json::Value;

use self::syntax::{
    address, agent_level, boolean, component_levels, config_map, control_plane_policy, image_type, interception, interfaces, level,
    named_objects, number, port_or_zero, ports, ports_or_star, quantity, ranges, ranges_or_star, statistics,
};
use super::{pod::PodView, probes::REWRITE};
use crate::model::{InterceptionMode, ProxySettings, ProxyStatistics, SidecarDefaults};

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

/// What holds where a pod says nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults<'a> {
    /// The mesh's ProxyConfig, with what the namespace's says.
    pub(super) proxy_config: &'a ProxySettings,
    /// What the mesh's owner says of sidecars.
    pub(super) sidecar: &'a SidecarDefaults,
    /// Whether metrics are merged.
    pub(super) merge_metrics: bool,
}

/// Everything that annotations can change, with the mesh's defaults where they say nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SidecarOptions {
    /// The ConfigMap with what is laid over Envoy's bootstrap.
    pub(super) bootstrap_override: Option<String>,
    /// How traffic is captured.
    pub(super) interception: InterceptionMode,
    /// Outbound address ranges to capture: `*`, or a list; empty for none.
    pub(super) include_outbound_ranges: String,
    /// Outbound address ranges to leave alone.
    pub(super) exclude_outbound_ranges: String,
    /// Outbound ports to capture beside the ranges.
    pub(super) include_outbound_ports: String,
    /// Outbound ports to leave alone.
    pub(super) exclude_outbound_ports: String,
    /// Inbound ports to capture: `*`, or a list; empty for none.
    pub(super) include_inbound_ports: String,
    /// Inbound ports to leave alone, the mesh's own not among them.
    pub(super) exclude_inbound_ports: String,
    /// Interfaces whose traffic is left alone.
    pub(super) exclude_interfaces: String,
    /// Interfaces of virtual machines within the pod, whose calls are captured.
    pub(super) virtual_interfaces: String,
    /// Whether the kubelet's probes go through the agent.
    pub(super) rewrite_probes: bool,
    /// Names of the templates, as a comma list; `None` for the mesh's choice.
    pub(super) templates: Option<String>,
    /// An image instead of the mesh's.
    pub(super) image: Option<String>,
    /// A variant of the image, in place of what the proxy's configuration says.
    pub(super) image_type: Option<String>,
    /// CPU and memory requests and limits. If any is set, none of the mesh's defaults hold.
    pub(super) resources: Option<BTreeMap<&'static str, BTreeMap<&'static str, String>>>,
    /// Envoy's log level; empty for its own default.
    pub(super) log_level: String,
    /// Log levels of Envoy's parts; empty for their own defaults.
    pub(super) component_log_level: String,
    /// The agent's log level.
    pub(super) agent_log_level: Option<String>,
    /// Whether the proxy may bind ports below 1024.
    pub(super) bind_low_ports: bool,
    /// Whether the sidecar is a native sidecar container; `None` leaves it to what the nodes can do.
    pub(super) native_sidecar: Option<bool>,
    /// The mesh's defaultConfig with the pod's own merged over it.
    pub(super) proxy_config: ProxySettings,
    /// Readiness probe: initial delay in seconds.
    pub(super) readiness_initial_delay: u32,
    /// Readiness probe: period in seconds.
    pub(super) readiness_period: u32,
    /// Readiness probe: failures until it counts.
    pub(super) readiness_failures: u32,
    /// Whether the kubelet asks the sidecar whether it is ready.
    pub(super) health: bool,
    /// Whether the application's metrics are merged into the agent's.
    pub(super) merge_metrics: bool,
    /// Volumes that the pod wants in addition, as Kubernetes writes them.
    pub(super) user_volumes: Vec<Value>,
    /// Where the sidecar mounts them.
    pub(super) user_mounts: Vec<Value>,
}

/// Every annotation that the injector reads or writes.
pub(super) const HONOURED: [&str; 42] = [
    "inject.istio.io/templates",
    "istio.io/reroute-virtual-interfaces",
    "prometheus.istio.io/merge-metrics",
    "proxy.istio.io/config",
    "proxy.istio.io/overrides",
    "readiness.status.sidecar.istio.io/failureThreshold",
    "readiness.status.sidecar.istio.io/initialDelaySeconds",
    "readiness.status.sidecar.istio.io/periodSeconds",
    "sidecar.istio.io/agentLogLevel",
    "sidecar.istio.io/bootstrapOverride",
    "sidecar.istio.io/capNetBindService",
    "sidecar.istio.io/componentLogLevel",
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
    "sidecar.istio.io/statsEvictionInterval",
    "sidecar.istio.io/statsFlushInterval",
    "sidecar.istio.io/statsHistogramBuckets",
    "sidecar.istio.io/statsInclusionPrefixes",
    "sidecar.istio.io/statsInclusionRegexps",
    "sidecar.istio.io/statsInclusionSuffixes",
    "sidecar.istio.io/status",
    "sidecar.istio.io/userVolume",
    "sidecar.istio.io/userVolumeMount",
    "status.sidecar.istio.io/port",
    "traffic.sidecar.istio.io/excludeInboundPorts",
    "traffic.sidecar.istio.io/excludeInterfaces",
    "traffic.sidecar.istio.io/excludeOutboundIPRanges",
    "traffic.sidecar.istio.io/excludeOutboundPorts",
    "traffic.sidecar.istio.io/includeInboundPorts",
    "traffic.sidecar.istio.io/includeOutboundIPRanges",
    "traffic.sidecar.istio.io/includeOutboundPorts",
    "traffic.sidecar.istio.io/kubevirtInterfaces",
];

const TRAFFIC: &str = "traffic.sidecar.istio.io/";
const INITIAL_DELAY: &str = "readiness.status.sidecar.istio.io/initialDelaySeconds";
const PERIOD: &str = "readiness.status.sidecar.istio.io/periodSeconds";
const FAILURES: &str = "readiness.status.sidecar.istio.io/failureThreshold";

// === impl SidecarOptions ===

impl SidecarOptions {
    /// Reads a pod's annotations over the mesh's defaults.
    ///
    /// # Errors
    /// One for each annotation that cannot be understood.
    pub(super) fn of(pod: &PodView<'_>, defaults: &Defaults<'_>) -> Result<Self, Vec<AnnotationError>> {
        let Defaults { sidecar, .. } = *defaults;
        let mut read = Reader { pod, errors: Vec::new() };
        let traffic = |name: &str| format!("{TRAFFIC}{name}");
        let mut proxy_config =
            read.parsed("proxy.istio.io/config", defaults.proxy_config.clone(), |text| proxy_config::merge(defaults.proxy_config, text));
        // The annotations of older documents outweigh what proxy.istio.io/config says.
        proxy_config.discovery_address = read.parsed("sidecar.istio.io/discoveryAddress", proxy_config.discovery_address, address);
        let status_port = read.parsed("status.sidecar.istio.io/port", proxy_config.status_port, port_or_zero);
        if status_port != 0 {
            proxy_config.status_port = status_port;
        }
        read.parsed("sidecar.istio.io/controlPlaneAuthPolicy", (), control_plane_policy);
        let mode = proxy_config.interception_mode.unwrap_or_default();
        let text = |annotation: &str| pod.annotation(annotation).filter(|text| !text.is_empty()).map(str::to_owned);
        // The name of older documents, and that of today, which outweighs it.
        let virtual_interfaces = read.checked(&traffic("kubevirtInterfaces"), "", interfaces);
        for annotation in ProxyStatistics::ANNOTATIONS {
            // The agent reads them itself.
            read.parsed(annotation, (), |text| statistics(annotation, text));
        }
        let options = Self {
            bootstrap_override: read.parsed("sidecar.istio.io/bootstrapOverride", None, |text| config_map(text).map(Some)),
            interception: read.parsed("sidecar.istio.io/interceptionMode", mode, interception),
            include_outbound_ranges: read.checked(&traffic("includeOutboundIPRanges"), &sidecar.include_outbound_ranges, ranges_or_star),
            exclude_outbound_ranges: read.checked(&traffic("excludeOutboundIPRanges"), &sidecar.exclude_outbound_ranges, ranges),
            include_outbound_ports: read.checked(&traffic("includeOutboundPorts"), "", ports),
            exclude_outbound_ports: read.checked(&traffic("excludeOutboundPorts"), &sidecar.exclude_outbound_ports, ports),
            include_inbound_ports: read.checked(&traffic("includeInboundPorts"), &sidecar.include_inbound_ports, ports_or_star),
            exclude_inbound_ports: read.checked(&traffic("excludeInboundPorts"), &sidecar.exclude_inbound_ports, ports),
            exclude_interfaces: read.checked(&traffic("excludeInterfaces"), "", interfaces),
            virtual_interfaces: read.checked("istio.io/reroute-virtual-interfaces", &virtual_interfaces, interfaces),
            rewrite_probes: read.parsed(REWRITE, sidecar.rewrite_probes, boolean) && status_port != 0,
            templates: text("inject.istio.io/templates"),
            image: text("sidecar.istio.io/proxyImage"),
            image_type: read.parsed("sidecar.istio.io/proxyImageType", None, |text| image_type(text).map(Some)),
            resources: read.resources(),
            log_level: read.parsed("sidecar.istio.io/logLevel", sidecar.log_level.clone(), level),
            component_log_level: read.parsed("sidecar.istio.io/componentLogLevel", sidecar.component_log_level.clone(), component_levels),
            agent_log_level: read.parsed("sidecar.istio.io/agentLogLevel", None, |text| agent_level(text).map(Some)),
            bind_low_ports: read.parsed("sidecar.istio.io/capNetBindService", false, boolean),
            native_sidecar: read.parsed("sidecar.istio.io/nativeSidecar", None, |text| boolean(text).map(Some)),
            proxy_config,
            readiness_initial_delay: read.parsed(INITIAL_DELAY, sidecar.readiness_initial_delay, number),
            readiness_period: read.parsed(PERIOD, sidecar.readiness_period, number),
            readiness_failures: read.parsed(FAILURES, sidecar.readiness_failures, number),
            health: status_port != 0,
            merge_metrics: read.parsed("prometheus.istio.io/merge-metrics", defaults.merge_metrics, boolean) && status_port != 0,
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn options(annotations: Value) -> Result<SidecarOptions, Vec<AnnotationError>> {
        let pod = json!({"metadata": {"annotations": annotations}, "spec": {}});
        let (proxy_config, sidecar) = (ProxySettings::default(), SidecarDefaults::default());
        SidecarOptions::of(&PodView::new(&pod), &Defaults { proxy_config: &proxy_config, sidecar: &sidecar, merge_metrics: true })
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
    fn virtual_interfaces_have_an_old_and_a_new_name() {
        let (old, new) = ("traffic.sidecar.istio.io/kubevirtInterfaces", "istio.io/reroute-virtual-interfaces");
        assert_eq!(options(json!({old: "net1, net2"})).unwrap().virtual_interfaces, "net1,net2");
        assert_eq!(options(json!({old: "net1", new: "net3"})).unwrap().virtual_interfaces, "net3");
        let error = options(json!({"traffic.sidecar.istio.io/excludeInterfaces": "eth0,../x"})).unwrap_err();
        assert!(error[0].to_string().ends_with("has \"../x\", which is no name of an interface such as eth1"), "{}", error[0]);
    }

    #[test]
    fn booleans_are_spelled_as_the_reference_does() {
        for (text, value) in [("T", true), ("1", true), ("True", true), ("f", false), ("FALSE", false)] {
            assert_eq!(options(json!({"sidecar.istio.io/nativeSidecar": text})).unwrap().native_sidecar, Some(value), "{text}");
        }
        assert!(options(json!({"sidecar.istio.io/nativeSidecar": "yes"})).is_err());
    }

    #[test]
    fn levels_of_parts_and_of_the_agent() {
        let levels = |annotation: &str, text: &str| options(json!({annotation: text}));
        let parts = levels("sidecar.istio.io/componentLogLevel", "filter:debug,http2:off").unwrap();
        assert_eq!(parts.component_log_level, "filter:debug,http2:off");
        for wrong in ["filter", "filter:loud", "Filter:debug", ":debug"] {
            assert!(levels("sidecar.istio.io/componentLogLevel", wrong).is_err(), "{wrong}");
        }
        assert_eq!(levels("sidecar.istio.io/agentLogLevel", "default:info").unwrap().agent_log_level.as_deref(), Some("info"));
        assert!(levels("sidecar.istio.io/agentLogLevel", "warning").is_err(), "that is Envoy's word");
    }

    #[test]
    fn what_the_mesh_says_of_sidecars_holds_until_the_pod_says_otherwise() {
        let sidecar =
            SidecarDefaults { log_level: "error".to_owned(), rewrite_probes: false, readiness_period: 5, ..SidecarDefaults::default() };
        let proxy_config = ProxySettings { interception_mode: Some(InterceptionMode::None), ..ProxySettings::default() };
        let defaults = Defaults { proxy_config: &proxy_config, sidecar: &sidecar, merge_metrics: false };
        let read = |annotations: Value| {
            let pod = json!({"metadata": {"annotations": annotations}});
            let options = SidecarOptions::of(&PodView::new(&pod), &defaults).unwrap();
            (options.log_level, options.rewrite_probes, options.readiness_period, options.interception, options.merge_metrics)
        };
        assert_eq!(read(json!({})), ("error".to_owned(), false, 5, InterceptionMode::None, false));
        let annotations = json!({
            "sidecar.istio.io/logLevel": "debug",
            "sidecar.istio.io/rewriteAppHTTPProbers": "true",
            "readiness.status.sidecar.istio.io/periodSeconds": "7",
            "sidecar.istio.io/interceptionMode": "REDIRECT",
            "prometheus.istio.io/merge-metrics": "true",
        });
        assert_eq!(read(annotations), ("debug".to_owned(), true, 7, InterceptionMode::Redirect, true));
    }

    #[test]
    fn one_resource_annotation_drops_all_defaults() {
        let options = options(json!({"sidecar.istio.io/proxyCPU": "100m"})).unwrap();
        assert_eq!(options.resources.unwrap()["requests"]["cpu"], "100m");
    }
}
