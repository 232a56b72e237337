//! Names of resources, as the reference writes them: dashboards, tools and people know these.

use std::{fmt, net::IpAddr, sync::Arc};

use crate::model::{HostPattern, ServiceKey, SpiffeId};

/// The cluster that passes connections on to where the client wanted to go.
pub(super) const PASSTHROUGH_CLUSTER: &str = "PassthroughCluster";
/// The cluster without endpoints.
pub(super) const BLACK_HOLE_CLUSTER: &str = "BlackHoleCluster";
/// The cluster that passes connections from outside on to the port of the pod that they came for.
pub(super) const INBOUND_PASSTHROUGH_CLUSTER: &str = "InboundPassthroughCluster";
/// The listener to which all of the pod's outgoing connections are redirected.
pub(super) const VIRTUAL_OUTBOUND: &str = "virtualOutbound";
/// The listener to which all of the pod's incoming connections are redirected.
pub(super) const VIRTUAL_INBOUND: &str = "virtualInbound";
/// The port of [`VIRTUAL_OUTBOUND`].
pub(super) const OUTBOUND_PORT: u16 = 15001;
/// The port of [`VIRTUAL_INBOUND`].
pub(super) const INBOUND_PORT: u16 = 15006;

/// What an outbound cluster stands for: a service's port, and a subset of its workloads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ClusterKey {
    pub(super) service: ServiceKey,
    pub(super) port: u16,
    pub(super) subset: Option<Arc<str>>,
}

impl ClusterKey {
    /// The server name that the mesh's own TLS sends: `outbound_.9080_.v1_.reviews.shop.svc.cluster.local`.
    pub(super) fn server_name(&self) -> String {
        format!("outbound_.{}_.{}_.{}", self.port, self.subset.as_deref().unwrap_or(""), self.service.host)
    }
}

/// `outbound|9080|v1|reviews.shop.svc.cluster.local`.
impl fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&outbound_cluster(self.port, self.subset.as_deref(), &self.service.host))
    }
}

/// The cluster of a service's port, or of a subset of its workloads.
pub(super) fn outbound_cluster(port: u16, subset: Option<&str>, host: &HostPattern) -> String {
    format!("outbound|{port}|{}|{host}", subset.unwrap_or(""))
}

/// The cluster of one of the workload's own ports.
pub(super) fn inbound_cluster(port: u16) -> String {
    format!("inbound|{port}||")
}

/// The listener of an address and port; no address means all of them.
pub(super) fn listener(address: Option<IpAddr>, port: u16) -> String {
    match address {
        Some(address) => format!("{address}_{port}"),
        None => format!("0.0.0.0_{port}"),
    }
}

/// The listener, and the routes, of a Unix socket that the application calls.
pub(super) fn socket(path: &str) -> String {
    format!("unix://{path}")
}

/// The routes of HTTP that applications send to that port.
pub(super) fn routes(port: u16) -> String {
    port.to_string()
}

/// The routes of HTTP that was sent to a port of which nobody says what it speaks.
pub(super) fn sniffed_routes(host: &HostPattern, port: u16) -> String {
    format!("{host}:{port}")
}

/// A virtual host as it is called within its table.
pub(super) fn host(host: &HostPattern, port: u16) -> String {
    format!("{host}:{port}")
}

/// A virtual host that is sent by itself. What is before the last slash tells Envoy the table that it belongs to.
pub(super) fn host_of_table(table: &str, host: &str) -> String {
    format!("{table}/{host}")
}

/// The table of a virtual host that is sent by itself, and what the host is called there.
pub fn table_and_host(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('/')
}

/// The routes of HTTP that comes to a gateway's port.
pub(super) fn gateway_routes(port: u16) -> String {
    format!("http.{port}")
}

/// What every identity of that trust domain begins with.
pub(super) fn trust_domain_prefix(trust_domain: &str) -> String {
    format!("spiffe://{trust_domain}/")
}

/// The name that a client must see in a server's certificate.
pub(super) fn identity_san(identity: &SpiffeId) -> String {
    identity.to_string()
}
