//! A DestinationRule as it was parsed: how requests travel once their destination is known.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{ExportTo, HostPattern, Labels, LoadBalancing, ObjectRef, PerMillion, duration::duration_text};

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
    /// How an endpoint is chosen. A subset's replaces the host's as a whole.
    pub load_balancer: Option<LoadBalancing>,
    /// Limits of connections and requests.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is taken out.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS to the upstream.
    pub tls: Option<ClientTls>,
    /// Another host through which connections go.
    pub tunnel: Option<Tunnel>,
    /// Whether endpoints are told the client's address, and how.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How many requests may be retries.
    pub retry_budget: Option<RetryBudget>,
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
    /// How long an idle connection of HTTP is kept.
    pub idle_timeout: Option<Duration>,
    /// How long any connection may carry nothing; zero for ever.
    pub tcp_idle_timeout: Option<Duration>,
    /// How long a connection may live.
    pub max_connection_duration: Option<Duration>,
    /// Keepalive probes of sockets.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Whether HTTP/1.1 goes on as HTTP/2; `None` for the mesh's choice.
    pub h2_upgrade: Option<bool>,
    /// Whether the client's own version of HTTP is kept.
    pub use_client_protocol: bool,
    /// Most requests at once on a connection of HTTP/2.
    pub max_concurrent_streams: Option<u32>,
    /// Pings on connections of HTTP/2.
    pub http2_keepalive: Option<Http2Keepalive>,
}

/// Keepalive probes of a socket; `None` is the system's choice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TcpKeepalive {
    /// Unanswered probes that end the connection.
    pub probes: Option<u32>,
    /// Silence before the first probe.
    #[serde(with = "duration_text")]
    pub time: Option<Duration>,
    /// Time between probes.
    #[serde(with = "duration_text")]
    pub interval: Option<Duration>,
}

/// Pings on a connection of HTTP/2.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Http2Keepalive {
    /// Time between pings.
    pub interval: Option<Duration>,
    /// How long an answer may take.
    pub timeout: Option<Duration>,
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
    /// Whether failures before an answer are counted apart from the endpoint's own errors.
    pub split_local_origin: bool,
    /// Failures in a row before an answer, where they are counted apart.
    pub consecutive_local_origin_failures: Option<u32>,
    /// Status codes that count as errors beside 5xx.
    pub error_codes: Vec<u16>,
}

/// `tls` of a traffic policy.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// The Secret with key, certificate and roots, in place of the paths.
    pub credential_name: Option<Arc<str>>,
    /// Path of a list of revoked certificates.
    pub ca_crl: Option<Arc<str>>,
    /// Whether the server's certificate goes unchecked; `None` for the mesh's choice.
    pub insecure_skip_verify: Option<bool>,
}

// === impl DestinationRule ===

impl DestinationRule {
    /// Every `tls` in it: the rule's, its subsets' and their ports'.
    pub fn client_tls(&self) -> impl Iterator<Item = &ClientTls> {
        let policies = std::iter::once(&self.policy).chain(self.subsets.iter().map(|subset| &subset.policy));
        let all = policies.flat_map(|policy| std::iter::once(policy).chain(policy.ports.iter().map(|port| &port.policy)));
        all.filter_map(|policy| policy.tls.as_ref())
    }
}

// === impl ClientTls ===

impl ClientTls {
    /// Whether any certificate of the server will do.
    pub fn unverified(&self) -> bool {
        self.insecure_skip_verify == Some(true)
    }
}

/// How TLS is spoken to an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientTlsMode {
    /// In plain text, whatever the endpoint can do.
    #[default]
    Disable,
    /// TLS, without a client certificate.
    Simple,
    /// TLS with the given client certificate.
    Mutual,
    /// The mesh's mTLS with the workload's own certificate.
    IstioMutual,
}

/// `tunnel`: connections go through the host of the rule to another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Tunnel {
    /// By POST rather than CONNECT.
    pub by_post: bool,
    /// The host at the end.
    pub target_host: HostPattern,
    /// Its port.
    pub target_port: u16,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// The text form.
    V1,
    /// The binary form.
    V2,
}

/// `retryBudget`: how many requests may be retries. `None`: Envoy's default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetryBudget {
    /// The share of the requests in hand.
    pub share: Option<PerMillion>,
    /// Retries that are allowed whatever the share.
    pub min_retry_concurrency: Option<u32>,
    /// How far back requests count as in hand.
    pub interval: Option<Duration>,
}
