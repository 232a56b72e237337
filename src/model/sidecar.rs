//! A Sidecar as it was parsed: what of the mesh a workload's proxy needs to know.

use std::{net::IpAddr, sync::Arc};

use super::{ConnectionPool, Destination, HostPattern, Labels, ObjectRef, OutboundTrafficMode, Protocol, ServerTls};

/// Narrows the configuration of the workloads that it selects.
#[derive(Clone, Debug, PartialEq)]
pub struct Sidecar {
    /// The object.
    pub origin: ObjectRef,
    /// Labels of its workloads; empty for all of the namespace.
    pub selector: Labels,
    /// Ports of the workload; empty for those of the services that select it.
    pub ingress: Vec<IngressListener>,
    /// Limits of connections to the workload, in place of those of DestinationRules.
    pub inbound_connection_pool: Option<ConnectionPool>,
    /// What the proxy may reach; `None` for everything.
    pub egress: Option<Vec<EgressListener>>,
    /// What happens to other traffic; `None` for the mesh's setting.
    pub outbound_traffic: Option<OutboundTrafficMode>,
    /// Where traffic goes that is passed on; `None` for where its client sent it.
    pub egress_proxy: Option<Destination>,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}

/// One entry of `ingress`.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressListener {
    /// The port.
    pub port: u16,
    /// Its name; empty if it has none.
    pub port_name: Arc<str>,
    /// What is spoken; `None` to find out.
    pub protocol: Option<Protocol>,
    /// The address to listen on; `None` for the pod's.
    pub bind: Option<IpAddr>,
    /// Whether connections are redirected to the proxy, rather than made to it.
    pub redirected: bool,
    /// Where connections go.
    pub endpoint: IngressEndpoint,
    /// TLS of the port's own.
    pub tls: Option<ServerTls>,
    /// Limits of connections to the port.
    pub connection_pool: Option<ConnectionPool>,
}

/// Where connections to a workload's port go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressEndpoint {
    /// To the same port of the workload.
    SamePort,
    /// To a port of the loopback address.
    Loopback(u16),
    /// To a port of the pod's address.
    PodAddress(u16),
    /// To the Unix socket of that path.
    Socket(Arc<str>),
}

/// One entry of `egress`.
#[derive(Clone, Debug, PartialEq)]
pub struct EgressListener {
    /// The port that it is about; `None` for all others.
    pub port: Option<u16>,
    /// The hosts that are visible on it.
    pub hosts: Vec<HostSelector>,
}

/// `namespace/host` of an egress listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSelector {
    /// `None` for any namespace (`*`).
    pub namespace: Option<Arc<str>>,
    /// The hosts.
    pub host: HostPattern,
}
