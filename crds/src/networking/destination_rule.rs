//! DestinationRule: a host's subsets, and how connections to it are made.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::connection_pool::ConnectionPool;
use super::load_balancer::LoadBalancer;
use super::virtual_service::PortSelector;
use crate::object::api_objects;
use crate::schema::{self, Required};
use crate::selector::MatchLabels;
use crate::status::MeshStatus;

api_objects! {
    /// What holds for connections to `host`, after routing.
    #[derive(CustomResource)]
    #[kube(
        group = "networking.istio.io", version = "v1", kind = "DestinationRule", namespaced,
        plural = "destinationrules", shortname = "dr",
        category = "istio-io", category = "networking-istio-io",
        doc = "Names the subsets of a host and says how connections to it are made.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Host", type_ = "string", json_path = ".spec.host",
            description = "The host that the rule is for."),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    #[schemars(transform = Required(&["host"]))]
    pub struct DestinationRuleSpec {
        /// The host, as VirtualServices name it; `*.` in front for a wildcard. A name without dots means a
        /// Service of the object's namespace.
        pub host: String,
        /// What holds for every connection to the host.
        pub traffic_policy: Option<TrafficPolicy>,
        /// Named parts of the host's endpoints.
        #[schemars(length(max = 1024))]
        pub subsets: Vec<Subset>,
        /// Namespaces that see this object: names, `.` for its own, `*` for all. Without it: all.
        pub export_to: Vec<String>,
        /// The clients for which the rule holds, within the object's namespace. Without it: all.
        pub workload_selector: Option<MatchLabels>,
    }

    /// A named part of a host's endpoints.
    #[schemars(transform = Required(&["name"]))]
    pub struct Subset {
        /// The name by which routes choose it.
        pub name: String,
        /// Labels that its endpoints carry.
        pub labels: BTreeMap<String, String>,
        /// What holds for this subset; replaces the host's own, setting by setting.
        pub traffic_policy: Option<TrafficPolicy>,
    }

    /// How connections are made.
    pub struct TrafficPolicy {
        /// How requests are spread over endpoints.
        pub load_balancer: Option<LoadBalancer>,
        /// Limits on connections and requests.
        pub connection_pool: Option<ConnectionPool>,
        /// When an endpoint is left out because it fails.
        pub outlier_detection: Option<OutlierDetection>,
        /// TLS to the endpoints; without it the mesh chooses mutual TLS where the other side can.
        pub tls: Option<ClientTls>,
        /// Settings of single ports; such a port takes nothing from the settings above.
        #[schemars(length(max = 256))]
        pub port_level_settings: Vec<PortTrafficPolicy>,
        /// Sends the connections through another host's CONNECT or POST.
        pub tunnel: Option<Tunnel>,
        /// Tells endpoints the client's address by the PROXY protocol.
        pub proxy_protocol: Option<ProxyProtocol>,
        /// Limits retries to a share of the requests in hand.
        pub retry_budget: Option<RetryBudget>,
    }

    /// How connections to one port are made.
    pub struct PortTrafficPolicy {
        /// The port.
        pub port: Option<PortSelector>,
        /// How requests are spread over endpoints.
        pub load_balancer: Option<LoadBalancer>,
        /// Limits on connections and requests.
        pub connection_pool: Option<ConnectionPool>,
        /// When an endpoint is left out because it fails.
        pub outlier_detection: Option<OutlierDetection>,
        /// TLS to the endpoints.
        pub tls: Option<ClientTls>,
    }

    /// When an endpoint is left out because it fails.
    pub struct OutlierDetection {
        /// Deprecated: use `consecutive5xxErrors`.
        #[schemars(range(min = 0, max = 2147483647))]
        pub consecutive_errors: Option<i32>,
        /// How many errors of status 5xx in a row; 0 turns this off, 5 without it.
        #[serde(rename = "consecutive5xxErrors")]
        #[schemars(range(max = 4294967295u32))]
        pub consecutive_5xx_errors: Option<u32>,
        /// How many errors of status 502, 503 or 504 in a row; 0 turns this off.
        #[schemars(range(max = 4294967295u32))]
        pub consecutive_gateway_errors: Option<u32>,
        /// How many failures in a row before a response came, when they are counted apart; 5 without it.
        #[schemars(range(max = 4294967295u32))]
        pub consecutive_local_origin_failures: Option<u32>,
        /// Whether failures before a response are counted apart from the endpoint's own errors.
        pub split_external_local_origin_errors: Option<bool>,
        /// How often endpoints are looked at; 10s without it.
        #[schemars(schema_with = "schema::duration")]
        pub interval: Option<String>,
        /// How long an endpoint is left out, times how often it was; 30s without it.
        #[schemars(schema_with = "schema::duration")]
        pub base_ejection_time: Option<String>,
        /// How many endpoints may be left out, in percent; 10 without it.
        #[schemars(range(min = 0, max = 100))]
        pub max_ejection_percent: Option<i32>,
        /// With fewer endpoints in use than this, in percent, none is left out.
        #[schemars(range(min = 0, max = 100))]
        pub min_health_percent: Option<i32>,
        /// Status codes that count as errors beside 5xx.
        #[schemars(inner(range(min = 100, max = 599)))]
        pub outlier_detection_http_error_codes: Vec<u32>,
    }

    /// TLS towards endpoints.
    pub struct ClientTls {
        /// DISABLE: none. SIMPLE: TLS. MUTUAL: TLS with the client certificate named here. ISTIO_MUTUAL:
        /// mutual TLS with the mesh's own certificates.
        pub mode: Option<ClientTlsMode>,
        /// A file with the client's certificate; needed for MUTUAL without `credentialName`.
        pub client_certificate: Option<String>,
        /// A file with the client's key; needed for MUTUAL without `credentialName`.
        pub private_key: Option<String>,
        /// A file with the authorities that sign the server's certificate; without it the system's own.
        pub ca_certificates: Option<String>,
        /// A Secret with key, certificate and authorities, in place of the files.
        pub credential_name: Option<String>,
        /// Names of which the server's certificate must carry one.
        pub subject_alt_names: Vec<String>,
        /// The server name to ask for.
        pub sni: Option<String>,
        /// Whether the server's certificate is left unchecked.
        pub insecure_skip_verify: Option<bool>,
        /// A file with revoked certificates.
        pub ca_crl: Option<String>,
    }

    /// A tunnel through another host.
    #[schemars(transform = Required(&["targetHost", "targetPort"]))]
    pub struct Tunnel {
        /// CONNECT (the default) or POST.
        pub protocol: Option<String>,
        /// The host that the tunnel leads to.
        pub target_host: String,
        /// The port that the tunnel leads to.
        #[schemars(range(min = 1, max = 65535))]
        pub target_port: Option<u32>,
    }

    /// The PROXY protocol.
    pub struct ProxyProtocol {
        /// V1 (the default) or V2.
        pub version: Option<ProxyProtocolVersion>,
    }

    /// Limits retries to a share of the requests in hand.
    pub struct RetryBudget {
        /// The share, in percent of the requests in hand; 20 without it.
        #[schemars(range(min = 0, max = 100))]
        pub percent: Option<f64>,
        /// How many retries are allowed whatever the share; 3 without it.
        #[schemars(range(max = 4294967295u32))]
        pub min_retry_concurrency: Option<u32>,
        /// How far back requests count as in hand; 0s counts only those that are.
        pub budget_interval: Option<String>,
    }
}

/// How TLS towards endpoints is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum ClientTlsMode {
    /// None.
    Disable,
    /// TLS without a client certificate.
    Simple,
    /// TLS with a client certificate of the user's own.
    Mutual,
    /// TLS with the mesh's certificates.
    IstioMutual,
}

/// Versions of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(description = "")]
pub enum ProxyProtocolVersion {
    /// The text form.
    V1,
    /// The binary form.
    V2,
}
