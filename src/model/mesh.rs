//! Settings of the whole mesh.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ExportTo, HttpRetry, LocalityBalancing, MeshNetwork, ProxySettings, TcpKeepalive};

/// The fields of Istio's MeshConfig that the mesh honours. An unknown one is an error when it is parsed, never silence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct MeshConfig {
    /// The first part of every identity.
    pub trust_domain: String,
    /// The namespace whose configuration holds for the whole mesh.
    pub root_namespace: String,
    /// Where proxies write access logs; empty for nowhere.
    pub access_log_file: String,
    /// Envoy's format string; empty for the reference's default format.
    pub access_log_format: String,
    /// `TEXT` or `JSON`.
    pub access_log_encoding: AccessLogEncoding,
    /// Whether sidecars speak mTLS to every endpoint that can, unless a DestinationRule says otherwise.
    pub enable_auto_mtls: bool,
    /// What happens to traffic for hosts that nobody declared.
    pub outbound_traffic_policy: OutboundTrafficPolicy,
    /// Time-out of connecting to an upstream, as a duration text (`10s`).
    pub connect_timeout: String,
    /// Keepalive probes of connections to upstreams whose DestinationRule says nothing of them.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// How long a name is taken as resolved where DNS does not say, as a duration text (`60s`).
    pub dns_refresh_rate: String,
    /// How long the first bytes of a connection are waited for before it is taken for none that could be told by them, as a duration text;
    /// `0s` for as long as it takes.
    pub protocol_detection_timeout: String,
    /// Whether HTTP/1.1 goes on as HTTP/2 where the DestinationRule does not say.
    pub h2_upgrade_policy: H2UpgradePolicy,
    /// Which localities traffic goes to where the DestinationRule does not say.
    pub locality_lb_setting: LocalityBalancing,
    /// Networks whose workloads others reach by gateways alone, by their names.
    pub mesh_networks: Option<BTreeMap<String, MeshNetwork>>,
    /// What is retried where the VirtualService does not say; `None` for the mesh's own choice.
    pub default_http_retry_policy: Option<HttpRetry>,
    /// Who sees Services and ServiceEntries that do not say.
    pub default_service_export_to: ExportTo,
    /// Who sees VirtualServices that do not say.
    pub default_virtual_service_export_to: ExportTo,
    /// Who sees DestinationRules that do not say.
    pub default_destination_rule_export_to: ExportTo,
    /// Whether the agent serves the application's metrics with its own, where the pod does not say.
    pub enable_prometheus_merge: bool,
    /// How paths of requests are brought into one form before anything looks at them.
    pub path_normalization: PathNormalization,
    /// What every proxy starts from.
    pub default_config: MeshProxyDefaults,
}

/// `h2UpgradePolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum H2UpgradePolicy {
    /// Requests go on in the version in which they came, or that the port declares.
    #[default]
    DoNotUpgrade,
    /// What is declared as HTTP goes on as HTTP/2.
    Upgrade,
}

/// `pathNormalization`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PathNormalization {
    /// The forms that become one.
    pub normalization: NormalizationType,
}

/// What becomes of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NormalizationType {
    /// It stays as it is.
    None,
    /// As RFC 3986 says: dots are resolved, `\` becomes `/`.
    #[default]
    #[serde(alias = "DEFAULT")]
    Base,
    /// The same, and slashes in a row become one.
    MergeSlashes,
    /// The same, with slashes that are written as `%2F` or `%5C` among them.
    DecodeAndMergeSlashes,
}

/// How access logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AccessLogEncoding {
    /// A line of text.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// `outboundTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutboundTrafficPolicy {
    /// The mode.
    pub mode: OutboundTrafficMode,
}

/// What a sidecar does with traffic to a destination that is not in the registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboundTrafficMode {
    /// Passed through unchanged.
    #[default]
    AllowAny,
    /// Dropped.
    RegistryOnly,
}

/// `defaultConfig`, the ProxyConfig that each pod's own annotation is merged over.
pub type MeshProxyDefaults = ProxySettings;

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            trust_domain: "cluster.local".to_owned(),
            root_namespace: "istio-system".to_owned(),
            access_log_file: String::new(),
            access_log_format: String::new(),
            access_log_encoding: AccessLogEncoding::default(),
            enable_auto_mtls: true,
            outbound_traffic_policy: OutboundTrafficPolicy::default(),
            connect_timeout: "10s".to_owned(),
            tcp_keepalive: None,
            dns_refresh_rate: "60s".to_owned(),
            protocol_detection_timeout: "0s".to_owned(),
            h2_upgrade_policy: H2UpgradePolicy::default(),
            locality_lb_setting: LocalityBalancing::default(),
            mesh_networks: None,
            default_http_retry_policy: None,
            default_service_export_to: ExportTo::default(),
            default_virtual_service_export_to: ExportTo::default(),
            default_destination_rule_export_to: ExportTo::default(),
            enable_prometheus_merge: true,
            path_normalization: PathNormalization::default(),
            default_config: ProxySettings::default(),
        }
    }
}
