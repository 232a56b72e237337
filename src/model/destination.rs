//! A DestinationRule as it was parsed: how requests travel once their destination is known.

use std::{sync::Arc, time::Duration};

use super::{ExportTo, HostPattern, Labels, ObjectRef};

/// Policy for a host, and its subsets.
#[derive(Clone, Debug, PartialEq)]
pub struct DestinationRule {
    /// The object.
    pub origin: ObjectRef,
    /// The host that it is about, short names resolved.
    pub host: HostPattern,
    /// Policy for all of the host.
    pub policy: TrafficPolicy,
    /// Named parts of the host's workloads.
    pub subsets: Vec<Subset>,
    /// Who may see it.
    pub export_to: ExportTo,
    /// Workloads to which it applies as clients; `None` for all.
    pub workload_selector: Option<Labels>,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}

/// A named part of a host's workloads.
#[derive(Clone, Debug, PartialEq)]
pub struct Subset {
    /// Its name.
    pub name: Arc<str>,
    /// Labels that pick the workloads.
    pub labels: Labels,
    /// Policy that replaces the host's, member by member.
    pub policy: TrafficPolicy,
}

/// `trafficPolicy`. Each member that is `None` is inherited.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrafficPolicy {
    /// How an endpoint is chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits of connections and requests.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is taken out.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS to the upstream.
    pub tls: Option<ClientTls>,
    /// Policies of single ports. They replace the whole policy for their port, not member by member.
    pub ports: Vec<PortTrafficPolicy>,
}

/// Policy for one port.
#[derive(Clone, Debug, PartialEq)]
pub struct PortTrafficPolicy {
    /// The service port's number.
    pub port: u16,
    /// Its policy; `ports` in it is empty.
    pub policy: TrafficPolicy,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadBalancer {
    /// The less busy of two picked at random: the default.
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// By chance.
    Random,
    /// The address that the client asked for.
    Passthrough,
}

/// Limits of connections and requests to a host. `None`: Envoy's own, or the mesh's, default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectionPool {
    /// Most connections.
    pub max_connections: Option<u32>,
    /// Time-out of connecting.
    pub connect_timeout: Option<Duration>,
    /// Most requests that wait for a connection.
    pub http1_max_pending_requests: Option<u32>,
    /// Most requests in flight.
    pub http2_max_requests: Option<u32>,
    /// Most requests on one connection; 1 switches keep-alive off.
    pub max_requests_per_connection: Option<u32>,
    /// Most retries at once.
    pub max_retries: Option<u32>,
    /// How long an idle connection is kept.
    pub idle_timeout: Option<Duration>,
}

/// When an endpoint is taken out of use for a while.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutlierDetection {
    /// 5xx answers in a row; 0 switches it off.
    pub consecutive_5xx_errors: Option<u32>,
    /// 502, 503, 504 in a row; 0 switches it off.
    pub consecutive_gateway_errors: Option<u32>,
    /// Time between sweeps.
    pub interval: Option<Duration>,
    /// How long the first ejection lasts.
    pub base_ejection_time: Option<Duration>,
    /// Most endpoints out at once, in percent.
    pub max_ejection_percent: Option<u32>,
    /// Below this share of healthy endpoints, all are used; in percent.
    pub min_health_percent: Option<u32>,
}

/// `tls` of a traffic policy.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientTls {
    /// The mode.
    pub mode: ClientTlsMode,
    /// Server name to send; `None` for the mesh's own choice.
    pub sni: Option<Arc<str>>,
    /// Names of which the server must show one.
    pub subject_alt_names: Vec<Arc<str>>,
    /// Path of the roots that the server is checked against.
    pub ca_certificates: Option<Arc<str>>,
    /// Path of the client's certificate chain.
    pub client_certificate: Option<Arc<str>>,
    /// Path of the client's key.
    pub private_key: Option<Arc<str>>,
}

/// How TLS is spoken to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientTlsMode {
    /// In plain text, whatever the endpoint can do.
    Disable,
    /// TLS, without a client certificate.
    Simple,
    /// TLS with the given client certificate.
    Mutual,
    /// The mesh's mTLS with the workload's own certificate.
    IstioMutual,
}
