//! Clusters for the proxy's own application.

use std::time::Duration;

use envoy_api::envoy::config::{
    cluster::v3::Cluster,
    core::v3::{BindConfig, SocketAddress, socket_address::PortSpecifier},
};

use super::{as_addressed, connect_timeout, limits, named, protocol, service_entry};
use crate::compile::{
    message::{duration, list, metadata, object},
    naming::{self, INBOUND_PASSTHROUGH_CLUSTER},
    resource::{Draft, ResourceType},
    scope::Scope,
    workload_ports::workload_ports,
};

/// The source address of connections to the application. What comes from here is not captured again, and the application tells its own
/// proxy from others by it.
const SOURCE: &str = "127.0.0.6";
/// How long an address that nobody used is kept.
const CLEANUP: Duration = Duration::from_secs(60);

/// The cluster of one of the workload's ports. It leads to the address that the caller wanted: the pod's own, on which applications
/// that listen on the pod's address and on all addresses can both be reached.
pub(in crate::compile) fn inbound(scope: &Scope<'_>, port: u16) -> Option<Draft> {
    let own = workload_ports(scope).remove(&port)?;
    let name = naming::inbound_cluster(port);
    let services = own.services.iter().map(|service| service_entry(service)).collect();
    own.services.iter().for_each(|service| scope.shaped_by(&service.origin));
    let mut cluster = to_application(scope, &name);
    cluster.metadata = Some(metadata("istio", object([("services", list(services))])));
    let options = if own.protocol.is_http2() { protocol::http2() } else { protocol::as_downstream() };
    protocol::set(&mut cluster, Some(options));
    Some(Draft::new(ResourceType::Cluster, &name, &cluster))
}

/// The cluster for ports of which no service tells.
pub(in crate::compile) fn inbound_passthrough(scope: &Scope<'_>) -> Draft {
    let mut cluster = to_application(scope, INBOUND_PASSTHROUGH_CLUSTER);
    protocol::set(&mut cluster, Some(protocol::as_downstream()));
    Draft::new(ResourceType::Cluster, INBOUND_PASSTHROUGH_CLUSTER, &cluster)
}

fn to_application(scope: &Scope<'_>, name: &str) -> Cluster {
    let address =
        SocketAddress { address: SOURCE.to_owned(), port_specifier: Some(PortSpecifier::PortValue(0)), ..SocketAddress::default() };
    let mut cluster = Cluster {
        connect_timeout: Some(duration(connect_timeout(scope))),
        cleanup_interval: Some(duration(CLEANUP)),
        circuit_breakers: Some(limits::circuit_breakers(&Default::default(), None)),
        upstream_bind_config: Some(BindConfig { source_address: Some(address), ..BindConfig::default() }),
        ..named(name)
    };
    as_addressed(&mut cluster);
    cluster
}
