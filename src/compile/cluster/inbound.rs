//! Clusters for the proxy's own application.

use std::time::Duration;

use envoy_api::envoy::config::{
    cluster::v3::{
        Cluster,
        cluster::{ClusterDiscoveryType, DiscoveryType},
    },
    core::v3::{Address, BindConfig, ExtraSourceAddress, SocketAddress, socket_address::PortSpecifier},
    endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier},
};

use super::{as_addressed, connect_timeout, limits, named, protocol, service_entry};
use crate::compile::{
    message::{duration, list, metadata, object, socket_address, unix_socket},
    naming::{self, INBOUND_PASSTHROUGH_CLUSTER},
    resource::{Draft, ResourceType},
    scope::Scope,
    workload_ports::{WorkloadPort, workload_ports},
};
use crate::model::{ConnectionPool, IngressEndpoint};

/// The source address of connections to the application. What comes from here is not captured again, and the application tells its own
/// proxy from others by it.
const SOURCE: &str = "127.0.0.6";
/// The same for IPv6; the pod's redirect rules make it an address of its loopback interface.
const SOURCE_V6: &str = "::6";
/// How long an address that nobody used is kept.
const CLEANUP: Duration = Duration::from_secs(60);

/// The cluster of one of the workload's ports. Unless the Sidecar names an endpoint, it leads to the address that the caller wanted: the
/// pod's own, on which applications that listen on the pod's address and on all addresses can both be reached.
pub(in crate::compile) fn inbound(scope: &Scope<'_>, port: u16) -> Option<Draft> {
    let own = workload_ports(scope).remove(&port)?;
    let name = naming::inbound_cluster(port);
    let services = own.services.iter().map(|service| service_entry(service)).collect();
    own.services.iter().for_each(|service| scope.shaped_by(&service.origin));
    let pool = pool(scope, port, &own);
    let mut cluster = to_application(scope, &name, &pool);
    lead(scope, &mut cluster, port, &own);
    cluster.metadata = Some(metadata("istio", object([("services", list(services))])));
    protocol::set(&mut cluster, Some(protocol::inbound_options(own.protocol.is_http2(), &pool)));
    Some(Draft::new(ResourceType::Cluster, &name, &cluster))
}

/// The cluster for ports of which no service tells.
pub(in crate::compile) fn inbound_passthrough(scope: &Scope<'_>) -> Draft {
    let pool = of_sidecar(scope, None).unwrap_or_default();
    let mut cluster = to_application(scope, INBOUND_PASSTHROUGH_CLUSTER, &pool);
    protocol::set(&mut cluster, Some(protocol::inbound_options(false, &pool)));
    Draft::new(ResourceType::Cluster, INBOUND_PASSTHROUGH_CLUSTER, &cluster)
}

/// How much the application takes: what the Sidecar says, else the DestinationRule of the senior service. Who sets limits for callers
/// means the called, too, whose own default would be less.
fn pool(scope: &Scope<'_>, port: u16, own: &WorkloadPort<'_>) -> ConnectionPool {
    let of_rule = || own.services.first().and_then(|service| scope.inbound_policy(service, own.called).connection_pool);
    of_sidecar(scope, Some(port)).or_else(of_rule).unwrap_or_default()
}

fn of_sidecar(scope: &Scope<'_>, port: Option<u16>) -> Option<ConnectionPool> {
    let sidecar = scope.sidecar()?;
    let pool = sidecar.inbound_pool(port)?;
    scope.shaped_by(&sidecar.origin);
    Some(pool.clone())
}

fn to_application(scope: &Scope<'_>, name: &str, pool: &ConnectionPool) -> Cluster {
    let mut cluster = Cluster {
        connect_timeout: Some(duration(pool.connect_timeout.unwrap_or_else(|| connect_timeout(scope)))),
        cleanup_interval: Some(duration(CLEANUP)),
        circuit_breakers: Some(limits::circuit_breakers(pool, None)),
        // In transparent mode the caller's address is the source.
        upstream_bind_config: (!scope.is_transparent()).then(|| from_the_proxy(scope.has_ipv6())),
        upstream_connection_options: pool.tcp_keepalive.as_ref().map(protocol::keepalive),
        ..named(name)
    };
    as_addressed(&mut cluster);
    cluster
}

fn from_the_proxy(with_ipv6: bool) -> BindConfig {
    let at = |address: &str| {
        let port_specifier = Some(PortSpecifier::PortValue(0));
        Some(SocketAddress { address: address.to_owned(), port_specifier, ..SocketAddress::default() })
    };
    let further = with_ipv6.then(|| ExtraSourceAddress { address: at(SOURCE_V6), ..ExtraSourceAddress::default() });
    BindConfig { source_address: at(SOURCE), extra_source_addresses: further.into_iter().collect(), ..BindConfig::default() }
}

/// Leads a port to the endpoint that the Sidecar names. Who connects to the proxy itself wanted the proxy: his call goes to the port's
/// number on loopback, where the application can listen beside the proxy.
fn lead(scope: &Scope<'_>, cluster: &mut Cluster, port: u16, own: &WorkloadPort<'_>) {
    let Some(listed) = own.listed else { return };
    let loopback = |port: u16| (socket_address("127.0.0.1", port), false);
    let (address, from_the_proxy) = match &listed.endpoint {
        IngressEndpoint::SamePort if !own.is_opened(scope) => return,
        IngressEndpoint::SamePort => loopback(port),
        IngressEndpoint::Loopback(port) => loopback(*port),
        IngressEndpoint::PodAddress(port) => match scope.address() {
            Some(address) => (socket_address(&address.to_string(), *port), true),
            None => loopback(*port),
        },
        IngressEndpoint::Socket(path) => (unix_socket(path), false),
    };
    if !from_the_proxy {
        cluster.upstream_bind_config = None;
    }
    cluster.cleanup_interval = None;
    cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into()));
    cluster.lb_policy = Default::default();
    cluster.load_assignment = Some(sole_endpoint(&cluster.name, address));
}

fn sole_endpoint(cluster: &str, address: Address) -> ClusterLoadAssignment {
    let endpoint = HostIdentifier::Endpoint(Endpoint { address: Some(address), ..Endpoint::default() });
    let endpoint = LbEndpoint { host_identifier: Some(endpoint), ..LbEndpoint::default() };
    let endpoints = vec![LocalityLbEndpoints { lb_endpoints: vec![endpoint], ..LocalityLbEndpoints::default() }];
    ClusterLoadAssignment { cluster_name: cluster.to_owned(), endpoints, ..ClusterLoadAssignment::default() }
}
