//! What a proxy is told at its start, and in which role it runs.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// The release of the reference whose names, and whose layout of what proxies are told, are those of this mesh. Proxies say it as their
/// version, because users' EnvoyFilters ask for it.
pub const REFERENCE_VERSION: &str = "1.31.0";
/// The release from which users' oldest documents are: what is for it alone holds here, too.
pub const OLDEST_VERSION: &str = "1.4.10";
/// The metadata in which a proxy says the release of its agent.
pub const AGENT_VERSION: &str = "FERROMESH_VERSION";

/// The variable, and so the metadata, by which a pod has its DNS queries answered by its agent.
const DNS_CAPTURE: &str = "ISTIO_META_DNS_CAPTURE";

/// The metadata in which a stream says that it is the agent's own, for names alone, and not its Envoy's.
pub const AGENT_STREAM: &str = "FERROMESH_AGENT_STREAM";

/// What the listeners of gRPC servers that speak xDS are called, before their address: bootstraps and pilot agree on it.
pub const GRPC_SERVER_PREFIX: &str = "xds.istio.io/grpc/lds/inbound/";

/// The mark of a transparent proxy's packets: those of its own connections in its callers' names, and those that it is given. Its pod's
/// redirect rules and its listener agree on it.
pub const TRANSPARENT_MARK: u32 = 1337;

/// The cluster in which a proxy finds the workloads of its own service: its bootstrap names it, pilot tells its endpoints.
pub const LOCAL_CLUSTER: &str = "local_cluster";

/// The role of a proxy, the first part of its node id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProxyRole {
    /// Beside an application, in its pod.
    Sidecar,
    /// A gateway: nothing is captured, listeners come from Gateway objects.
    Router,
}

impl fmt::Display for ProxyRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sidecar => "sidecar",
            Self::Router => "router",
        })
    }
}

impl FromStr for ProxyRole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sidecar" => Ok(Self::Sidecar),
            "router" => Ok(Self::Router),
            other => Err(format!("{other:?} is no proxy role: use sidecar or router")),
        }
    }
}

/// What reads the configuration that is made for a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Generator {
    /// Envoy.
    #[default]
    Envoy,
    /// An application's own gRPC library.
    Grpc,
}

// === impl Generator ===

impl Generator {
    /// The metadata in which a proxy says it.
    pub const METADATA: &str = "GENERATOR";

    /// What that metadata means; whoever says nothing, or what we don't know, is an Envoy.
    #[must_use]
    pub fn of(metadata: Option<&str>) -> Self {
        if metadata == Some("grpc") { Self::Grpc } else { Self::Envoy }
    }
}

/// How traffic comes to a sidecar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum InterceptionMode {
    /// Redirect rules send it there.
    #[default]
    Redirect,
    /// They give it inbound connections with their addresses as they were: the application sees who calls.
    Tproxy,
    /// Nothing is captured; the application talks to the proxy itself.
    None,
}

// === impl InterceptionMode ===

impl InterceptionMode {
    /// As Istio's API and the proxies' metadata write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redirect => "REDIRECT",
            Self::Tproxy => "TPROXY",
            Self::None => "NONE",
        }
    }
}

impl FromStr for InterceptionMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Redirect, Self::Tproxy, Self::None];
        all.into_iter().find(|mode| mode.as_str() == text).ok_or_else(|| "is not a mode: use REDIRECT, TPROXY or NONE".to_owned())
    }
}

/// Istio's ProxyConfig, as far as the mesh honours it: the mesh's `defaultConfig` with the pod's `proxy.istio.io/config` merged over it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProxySettings {
    /// `host:port` of pilot's xDS; empty for the mesh's own.
    pub discovery_address: String,
    /// Envoy's worker threads; 0 for one a core that the container may use.
    pub concurrency: u32,
    /// How long a terminating proxy serves requests in flight, as a duration text.
    pub termination_drain_duration: String,
    /// How long Envoy drains connections of a listener that changes, as a duration text.
    pub drain_duration: String,
    /// Whether the application's containers start only once the proxy is ready.
    pub hold_application_until_proxy_starts: bool,
    /// Environment of the proxy's container, and metadata of its node.
    pub proxy_metadata: BTreeMap<String, String>,
    /// The agent's port.
    pub status_port: u16,
    /// The proxy's image; `None` for the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ProxyImage>,
    /// How traffic comes to a sidecar whose pod does not say; `None` for by redirect rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interception_mode: Option<InterceptionMode>,
}

/// `image` of a ProxyConfig.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProxyImage {
    /// The variant, which the image's tag ends in; empty for the usual one.
    pub image_type: String,
}

// === impl ProxySettings ===

impl ProxySettings {
    /// Whether the agent answers the application's DNS queries.
    #[must_use]
    pub fn captures_dns(&self) -> bool {
        self.proxy_metadata.get(DNS_CAPTURE).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self {
            discovery_address: String::new(),
            concurrency: 2,
            termination_drain_duration: "5s".to_owned(),
            drain_duration: "45s".to_owned(),
            hold_application_until_proxy_starts: false,
            proxy_metadata: BTreeMap::new(),
            status_port: 15020,
            image: None,
            interception_mode: None,
        }
    }
}
