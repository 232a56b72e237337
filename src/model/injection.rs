//! What the injector writes into pods, as far as the mesh's owner decides it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

use super::LabelSelector;

/// What the operator tells the injector beside the MeshConfig: ConfigMap `istio-sidecar-injector`, key `values`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InjectionValues {
    /// Registry and repository prefix of the images.
    pub hub: String,
    /// Tag of the images.
    pub tag: String,
    /// `IfNotPresent`, `Always` or `Never`; empty leaves it to Kubernetes.
    #[serde(default)]
    pub image_pull_policy: String,
    /// Names of pull Secrets to add to injected pods.
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    /// This control plane's revision; `default` for the unnamed one.
    pub revision: String,
    /// The namespace of the control plane.
    pub istio_namespace: String,
    /// `host:port` of citadel.
    pub ca_address: String,
    /// The name of this cluster in metadata.
    pub cluster_id: String,
    /// The name of this cluster's network; empty if all pods of the mesh reach each other.
    #[serde(default)]
    pub network: String,
    /// What the sidecar gets where the pod says nothing.
    pub proxy: SidecarDefaults,
    /// Whether pods that say nothing get a sidecar.
    #[serde(default)]
    pub policy: InjectionPolicy,
    /// Pods that say nothing and get none. An empty selector chooses none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub never_inject_selector: Vec<LabelSelector>,
    /// Pods that say nothing and get one. An empty selector chooses none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub always_inject_selector: Vec<LabelSelector>,
    /// Templates of the mesh's owner, by name, beside those that are built in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<String, String>,
    /// The templates of a pod that names none; empty for `sidecar`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_templates: Vec<String>,
    /// Names that stand for several templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub template_aliases: BTreeMap<String, Vec<String>>,
    /// Images, beside the mesh's own, that pods of limited namespaces may choose for their proxies: a repository, or the beginning of one
    /// that ends in `/` or `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_images: Vec<String>,
    /// Whether the node redirects pods' traffic, so that no container has to.
    #[serde(default)]
    pub cni: bool,
}

/// Whether pods of chosen namespaces that say nothing themselves get a sidecar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InjectionPolicy {
    /// They do.
    #[default]
    Enabled,
    /// They do not: a pod has to ask.
    Disabled,
}

/// Defaults of the injected container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SidecarDefaults {
    /// `resources` of the container, as Kubernetes writes them: `{requests: {cpu: …}, limits: {…}}`.
    pub resources: BTreeMap<String, BTreeMap<String, Value>>,
    /// Envoy's log level; empty for its own default.
    pub log_level: String,
    /// Log levels of Envoy's parts, as `name:level,…`; empty for none.
    pub component_log_level: String,
    /// Addresses whose traffic the proxy takes, as a list of ranges; `*` for all.
    pub include_outbound_ranges: String,
    /// Addresses whose traffic it never takes, as a list of ranges.
    pub exclude_outbound_ranges: String,
    /// Ports at which it takes what comes; `*` for all.
    pub include_inbound_ports: String,
    /// Ports at which it never takes what comes.
    pub exclude_inbound_ports: String,
    /// Ports whose traffic it never takes on the way out.
    pub exclude_outbound_ports: String,
    /// Whether the agent asks the application what the kubelet wants to know.
    pub rewrite_probes: bool,
    /// Whether the application waits for the proxy.
    pub hold_application: bool,
    /// Seconds before the proxy's readiness is asked for.
    pub readiness_initial_delay: u32,
    /// Seconds between two such questions.
    pub readiness_period: u32,
    /// After so many bad answers the pod is not ready.
    pub readiness_failures: u32,
}

// === impl SidecarDefaults ===

impl Default for SidecarDefaults {
    fn default() -> Self {
        Self {
            resources: BTreeMap::new(),
            log_level: String::new(),
            component_log_level: String::new(),
            include_outbound_ranges: "*".to_owned(),
            exclude_outbound_ranges: String::new(),
            include_inbound_ports: "*".to_owned(),
            exclude_inbound_ports: String::new(),
            exclude_outbound_ports: String::new(),
            rewrite_probes: true,
            hold_application: false,
            readiness_initial_delay: 0,
            readiness_period: 15,
            readiness_failures: 4,
        }
    }
}
