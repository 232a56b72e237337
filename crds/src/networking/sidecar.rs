//! Sidecar: what a workload's proxy listens on, and which services it knows.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::connection_pool::ConnectionPool;
use super::gateway::ServerTls;
use super::virtual_service::Destination;
use crate::object::api_objects;
use crate::schema::Required;
use crate::selector::WorkloadSelector;
use crate::status::MeshStatus;

api_objects! {
    /// What the selected workloads' proxies do.
    #[derive(CustomResource)]
    #[kube(
        group = "networking.istio.io", version = "v1", kind = "Sidecar", namespaced,
        plural = "sidecars",
        category = "istio-io", category = "networking-istio-io",
        doc = "Narrows what the proxies of workloads listen on and which services they know.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    pub struct SidecarSpec {
        /// The workloads meant, within the namespace. Without it: all that no other Sidecar selects.
        pub workload_selector: Option<WorkloadSelector>,
        /// Ports of the workload. Without it they come from the Services that select it.
        #[schemars(length(max = 1024))]
        pub ingress: Vec<IngressListener>,
        /// Services that the workload may reach. Without it: all that it can see.
        pub egress: Vec<EgressListener>,
        /// Limits on connections to the workload; replaces those of DestinationRules.
        pub inbound_connection_pool: Option<ConnectionPool>,
        /// What happens to connections to unknown services; replaces the mesh's own setting.
        pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
    }

    /// A port of the workload.
    #[schemars(transform = Required(&["port"]))]
    pub struct IngressListener {
        /// The port.
        pub port: Option<SidecarPort>,
        /// The address to listen on; only when connections are not redirected.
        pub bind: Option<String>,
        /// How connections get here: DEFAULT and IPTABLES by redirection, NONE by the client itself.
        pub capture_mode: Option<CaptureMode>,
        /// Where connections go: `127.0.0.1:PORT`, `[::1]:PORT`, `0.0.0.0:PORT` or `[::]:PORT` for the
        /// pod's address, or `unix:///path`. Without it: the same port.
        pub default_endpoint: Option<String>,
        /// TLS of this port; only when it replaces the mesh's own.
        pub tls: Option<ServerTls>,
        /// Limits on connections to this port.
        pub connection_pool: Option<ConnectionPool>,
    }

    /// A port on which services are reached.
    #[schemars(transform = Required(&["hosts"]))]
    pub struct EgressListener {
        /// The port. Without it: every port of the services in `hosts`; such an entry comes last.
        pub port: Option<SidecarPort>,
        /// The address to listen on, or `unix:///path`; needs `port`.
        pub bind: Option<String>,
        /// How connections get here: DEFAULT and IPTABLES by redirection, NONE by the client itself.
        pub capture_mode: Option<CaptureMode>,
        /// Services, as `namespace/host`. Namespace: a name, `.` its own, `*` any, `~` none. Host: a DNS
        /// name, `*.` in front for a wildcard, or `*`.
        pub hosts: Vec<String>,
    }

    /// A port that a sidecar listens on.
    pub struct SidecarPort {
        /// The port's number; none for a Unix socket.
        #[schemars(range(min = 0, max = 65535))]
        pub number: Option<u32>,
        /// HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP or TLS.
        pub protocol: Option<String>,
        /// A name.
        pub name: Option<String>,
        /// Has no effect here, so it must be left out.
        #[schemars(range(min = 0, max = 65535))]
        pub target_port: Option<u32>,
    }

    /// What happens to connections to unknown services.
    pub struct OutboundTrafficPolicy {
        /// REGISTRY_ONLY: refused. ALLOW_ANY: passed on.
        pub mode: Option<OutboundTrafficMode>,
        /// Sends them to this service; only with ALLOW_ANY.
        pub egress_proxy: Option<Destination>,
    }
}

/// How connections get to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum CaptureMode {
    /// As the workload's own setting says.
    Default,
    /// By redirection.
    Iptables,
    /// By the client itself.
    None,
}

/// What happens to connections to unknown services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum OutboundTrafficMode {
    /// They are refused.
    RegistryOnly,
    /// They are passed on.
    AllowAny,
}
