//! A Sidecar as it was parsed: what of the mesh a workload's proxy needs to know.

use std::{net::IpAddr, sync::Arc};

use super::{Bind, ConnectionPool, Destination, HostPattern, Labels, ObjectRef, OutboundTrafficMode, Protocol, ServerTls};

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
    /// Whether connections are made to the proxy itself, rather than redirected to it; `None` as the pod is set up.
    pub opened: Option<bool>,
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EgressListener {
    /// The port that it is about; `None` for all others, and for a Unix socket.
    pub port: Option<u16>,
    /// What is spoken; `None` for what the services say.
    pub protocol: Option<Protocol>,
    /// Where the application calls; `None` for the services' own addresses.
    pub bind: Option<Bind>,
    /// Whether applications call the proxy itself there, rather than being redirected; `None` as the pod is set up.
    pub opened: Option<bool>,
    /// The hosts that are visible on it.
    pub hosts: Vec<HostSelector>,
    /// Hosts that are not, whatever `hosts` says.
    pub excluded: Vec<HostSelector>,
}

/// `namespace/host` of an egress listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSelector {
    /// `None` for any namespace (`*`).
    pub namespace: Option<Arc<str>>,
    /// The hosts.
    pub host: HostPattern,
}

// === impl Sidecar ===

impl Sidecar {
    /// The limits of connections to one of the workload's ports, or to all of which `ingress` does not speak.
    pub fn inbound_pool(&self, port: Option<u16>) -> Option<&ConnectionPool> {
        let own = self.ingress.iter().find(|listener| Some(listener.port) == port).and_then(|listener| listener.connection_pool.as_ref());
        own.or(self.inbound_connection_pool.as_ref())
    }
}

// === impl EgressListener ===

impl EgressListener {
    /// The path of the Unix socket that it is.
    pub fn socket(&self) -> Option<&Arc<str>> {
        match &self.bind {
            Some(Bind::Socket(path)) => Some(path),
            _ => None,
        }
    }

    /// Whether it lets the proxy know what an object of that namespace says about a host.
    pub fn admits(&self, namespace: &Arc<str>, host: &HostPattern) -> bool {
        let selects = |selector: &HostSelector| selector.namespace.as_ref().is_none_or(|wanted| wanted == namespace);
        self.hosts.iter().any(|selector| selects(selector) && selector.host.overlaps(host))
            && !self.excluded.iter().any(|selector| selects(selector) && selector.host.covers(host))
    }
}
