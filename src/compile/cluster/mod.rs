//! Clusters: upstreams, each with how its endpoints are found, chosen, connected to and trusted.

mod balancing;
mod inbound;
mod limits;
mod passed_on;
mod protocol;
mod transport;

use envoy_api::envoy::{
    config::{
        cluster::v3::{
            Cluster,
            cluster::{ClusterDiscoveryType, CustomClusterType, DiscoveryType, EdsClusterConfig, LbConfig, LbPolicy, OriginalDstLbConfig},
        },
        core::v3::Metadata,
    },
    extensions::clusters::{common::dns::v3::DnsLookupFamily, dns::v3::DnsCluster},
};
use prost_types::Value;
use std::time::Duration;

use super::{
    endpoints, locality,
    message::{ads, api_path, duration, list, metadata, nested, object, text},
    name_lookup,
    naming::{BLACK_HOLE_CLUSTER, ClusterKey, PASSTHROUGH_CLUSTER},
    resource::{Draft, ResourceType},
    scope::Scope,
    tls,
};
use crate::model::{
    ClientTls, ClientTlsMode, LoadBalancer, Protocol, ProxyRole, Resolution, Service, TargetPort, TrafficPolicy, parse_duration,
};

use balancing::algorithm;
use protocol::Spoken;

pub(super) use inbound::{inbound, inbound_passthrough};
pub(super) use passed_on::{all_passed_on_keys, passed_on, passed_on_keys};

/// When the mesh's setting can't be read.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Spreads the proxies' DNS queries.
const DNS_JITTER: Duration = Duration::from_millis(100);

/// How a proxy finds the endpoints of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discovery {
    /// Pilot tells them.
    Eds,
    /// Where the connection wanted to go.
    OriginalDst,
    /// By DNS, all addresses of the answer.
    StrictDns,
    /// By DNS, one address at a time.
    LogicalDns,
    /// By DNS, the name that each request or connection asks for.
    DynamicDns,
}

// === impl Discovery ===

impl Discovery {
    /// Whether nobody lists the endpoints, so that nothing is known of them.
    fn is_unlisted(self) -> bool {
        matches!(self, Self::OriginalDst | Self::DynamicDns)
    }
}

/// How the endpoints of a service are found, as its policy has it.
pub(super) type Finder = fn(&Scope<'_>, &Service, &TrafficPolicy) -> Discovery;

/// How the proxy finds the endpoints of a service.
pub(super) fn discovery(scope: &Scope<'_>, service: &Service, policy: &TrafficPolicy) -> Discovery {
    let as_addressed = service.resolution == Resolution::Passthrough || algorithm(policy) == Some(&LoadBalancer::Passthrough);
    match service.resolution {
        // Whoever calls a gateway wanted to go to the gateway: it has to choose an endpoint.
        _ if as_addressed && scope.role() == ProxyRole::Sidecar => Discovery::OriginalDst,
        _ => listed(scope, service, policy),
    }
}

/// The same for who chooses an endpoint always.
pub(super) fn listed(_: &Scope<'_>, service: &Service, _: &TrafficPolicy) -> Discovery {
    match service.resolution {
        Resolution::Eds | Resolution::Passthrough => Discovery::Eds,
        Resolution::Dns => Discovery::StrictDns,
        Resolution::DnsRoundRobin => Discovery::LogicalDns,
        Resolution::DynamicDns => Discovery::DynamicDns,
    }
}

/// The clusters of all that the proxy may call.
pub(super) fn outbound_keys(scope: &Scope<'_>) -> Vec<ClusterKey> {
    let mut keys = Vec::new();
    for (service, ports) in scope.callable_services() {
        let subsets = scope.subsets_of(service);
        for port in ports.into_iter().filter(|port| port.protocol != Protocol::Udp) {
            let key = |subset| ClusterKey { service: service.key.clone(), port: port.number, subset };
            keys.push(key(None));
            keys.extend(subsets.iter().map(|subset| key(Some(subset.clone()))));
        }
    }
    keys
}

/// The cluster of a service's port, or of a subset of its workloads.
pub(super) fn outbound(scope: &Scope<'_>, key: &ClusterKey) -> Option<Draft> {
    let cluster = outbound_by(scope, key, discovery)?;
    Some(Draft::new(ResourceType::Cluster, &cluster.name, &cluster))
}

/// The same before it is encoded, with endpoints that are found as `discovery` says.
pub(super) fn outbound_by(scope: &Scope<'_>, key: &ClusterKey, discovery: Finder) -> Option<Cluster> {
    let service = scope.service(&key.service)?;
    let port = service.port(key.port)?;
    let policy = scope.traffic_policy(service, key.port, key.subset.as_deref());
    let discovery = discovery(scope, service, &policy);
    scope.shaped_by(&service.origin);

    let name = key.to_string();
    let mut cluster = Cluster { metadata: Some(outbound_metadata(scope, service, key)), ..named(&name) };
    balancing::choose(&mut cluster, &policy, discovery);
    find_endpoints(scope, &mut cluster, service, key, &policy, discovery);
    let pool = policy.connection_pool.clone().unwrap_or_default();
    cluster.connect_timeout = Some(duration(pool.connect_timeout.unwrap_or_else(|| connect_timeout(scope))));
    cluster.circuit_breakers = Some(limits::circuit_breakers(&pool, policy.retry_budget.as_ref()));
    cluster.outlier_detection = policy.outlier_detection.as_ref().map(limits::outlier_detection);
    let panic = policy.outlier_detection.as_ref().and_then(|it| it.min_health_percent).unwrap_or(0);
    let preference = locality::preference(&policy, scope.settings()).filter(|_| !discovery.is_unlisted());
    cluster.common_lb_config = Some(limits::common(panic, preference.as_ref()));
    cluster.upstream_connection_options = pool.tcp_keepalive.as_ref().or(scope.settings().tcp_keepalive.as_ref()).map(protocol::keepalive);
    let spoken = Spoken::of(port.protocol, &pool, scope.settings().h2_upgrade_policy);
    transport::secure(scope, &mut cluster, &transport::Upstream { service, port, key, discovery, policy: &policy, spoken });
    let names = transport::names_from_request(service, &policy, port.protocol);
    let options = protocol::outbound_options(spoken, &pool, names, policy.outlier_detection.as_ref());
    protocol::set(&mut cluster, options);
    Some(cluster)
}

/// The cluster that passes connections on to where they wanted to go.
pub(super) fn passthrough(scope: &Scope<'_>) -> Draft {
    let mut cluster = Cluster {
        connect_timeout: Some(duration(connect_timeout(scope))),
        circuit_breakers: Some(limits::circuit_breakers(&Default::default(), None)),
        ..named(PASSTHROUGH_CLUSTER)
    };
    as_addressed(&mut cluster);
    protocol::set(&mut cluster, Some(protocol::as_downstream()));
    Draft::new(ResourceType::Cluster, PASSTHROUGH_CLUSTER, &cluster)
}

/// The cluster without endpoints.
pub(super) fn black_hole(scope: &Scope<'_>) -> Draft {
    let cluster = Cluster {
        connect_timeout: Some(duration(connect_timeout(scope))),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into())),
        ..named(BLACK_HOLE_CLUSTER)
    };
    Draft::new(ResourceType::Cluster, BLACK_HOLE_CLUSTER, &cluster)
}

/// A cluster that leads to one host, found by DNS, with TLS or not.
pub(super) fn by_name(scope: &Scope<'_>, name: &str, host: &str, port: u16, tls: bool) -> Draft {
    let simple = ClientTls { mode: ClientTlsMode::Simple, ..ClientTls::default() };
    let cluster = Cluster {
        connect_timeout: Some(duration(connect_timeout(scope))),
        cluster_discovery_type: Some(ClusterDiscoveryType::ClusterType(by_dns(scope, false))),
        load_assignment: Some(endpoints::alone(name, host, port)),
        transport_socket: tls.then(|| tls::client(&simple, Some(host), &["http/1.1"], false)),
        ..named(name)
    };
    Draft::new(ResourceType::Cluster, name, &cluster)
}

/// A cluster of that name. The semicolon ends the name in statistics, where bars and dots would leave its end open.
fn named(name: &str) -> Cluster {
    Cluster { name: name.to_owned(), alt_stat_name: format!("{name};"), ..Cluster::default() }
}

fn connect_timeout(scope: &Scope<'_>) -> Duration {
    parse_duration(&scope.settings().connect_timeout).unwrap_or(CONNECT_TIMEOUT)
}

fn as_addressed(cluster: &mut Cluster) {
    cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::OriginalDst.into()));
    cluster.lb_policy = LbPolicy::ClusterProvided.into();
}

fn find_endpoints(
    scope: &Scope<'_>,
    cluster: &mut Cluster,
    service: &Service,
    key: &ClusterKey,
    policy: &TrafficPolicy,
    discovery: Discovery,
) {
    match discovery {
        Discovery::OriginalDst => {
            as_addressed(cluster);
            cluster.lb_config = other_port(service, key.port);
        }
        Discovery::DynamicDns => {
            cluster.cluster_discovery_type = Some(ClusterDiscoveryType::ClusterType(name_lookup::cluster_type(scope)));
        }
        Discovery::Eds => {
            cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into()));
            cluster.eds_cluster_config = Some(EdsClusterConfig { eds_config: Some(ads()), service_name: cluster.name.clone() });
        }
        Discovery::StrictDns | Discovery::LogicalDns => {
            let one = discovery == Discovery::LogicalDns;
            cluster.cluster_discovery_type = Some(ClusterDiscoveryType::ClusterType(by_dns(scope, one)));
            cluster.load_assignment = Some(endpoints::resolved_by_dns(scope, service, key, policy, one));
        }
    }
}

/// The port at which the addresses that clients chose are called, where it is another than theirs. Endpoints of a headless Service
/// are called at their own port.
fn other_port(service: &Service, called: u16) -> Option<LbConfig> {
    let target = &service.port(called).filter(|_| service.origin.kind != "Service")?.target;
    let TargetPort::Number(number) = target else { return None };
    let config = OriginalDstLbConfig { upstream_port_override: Some((*number).into()), ..OriginalDstLbConfig::default() };
    (*number != called).then_some(LbConfig::OriginalDstLbConfig(config))
}

/// Envoy's cluster type for names: all addresses of an answer are endpoints of their own, or `one` of them is used at a time. These are
/// what used to be STRICT_DNS and LOGICAL_DNS, whose settings are deprecated.
fn by_dns(scope: &Scope<'_>, one: bool) -> CustomClusterType {
    let config = DnsCluster {
        dns_refresh_rate: Some(duration(scope.dns_refresh())),
        respect_dns_ttl: true,
        dns_jitter: Some(duration(DNS_JITTER)),
        dns_lookup_family: DnsLookupFamily::V4Only.into(),
        all_addresses_in_single_endpoint: one,
        ..DnsCluster::default()
    };
    CustomClusterType { name: "envoy.cluster.dns".to_owned(), typed_config: Some(envoy_api::any(&config)) }
}

/// `{host, name, namespace}` of a service, which tools read from `istio` metadata.
fn service_entry(service: &Service) -> Value {
    nested(object([
        ("host", text(service.key.host.as_str())),
        ("name", text(&*service.name)),
        ("namespace", text(&*service.key.namespace)),
    ]))
}

fn outbound_metadata(scope: &Scope<'_>, service: &Service, key: &ClusterKey) -> Metadata {
    let mut fields = vec![("services", list(vec![service_entry(service)]))];
    if let Some(rule) = scope.rules_for(service).first() {
        fields.push(("config", api_path(&rule.origin, "destination-rule")));
    }
    if let Some(subset) = &key.subset {
        fields.push(("subset", text(&**subset)));
    }
    metadata("istio", object(fields))
}
