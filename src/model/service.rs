//! A service: a name that clients call, and what it stands for. Kubernetes Services and ServiceEntries both become one.

use std::{fmt, net::IpAddr, sync::Arc};

use super::{ExportTo, HostPattern, Labels, ObjectRef, Outside, Protocol};

/// Which service: the host name within a namespace. Several namespaces may declare the same external host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceKey {
    /// Fully qualified, lower case.
    pub host: HostPattern,
    /// The namespace of the object that declares it.
    pub namespace: Arc<str>,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (namespace {})", self.host, self.namespace)
    }
}

/// A declared service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its host and namespace.
    pub key: ServiceKey,
    /// The object that declares it.
    pub origin: ObjectRef,
    /// The short name, for example `reviews`; the host itself for a ServiceEntry.
    pub name: Arc<str>,
    /// Virtual addresses; empty for a headless service and for hosts found by DNS alone.
    pub addresses: Vec<IpAddr>,
    /// Address ranges of a ServiceEntry.
    pub ranges: Vec<ipnet::IpNet>,
    /// The address that the mesh has given it, as it declares none. It means this service to the applications of those proxies alone
    /// that answer their DNS queries.
    pub automatic_address: Option<IpAddr>,
    /// Its ports, in the order in which they are declared.
    pub ports: Vec<ServicePort>,
    /// How a client finds an endpoint.
    pub resolution: Resolution,
    /// The host that it is another name for. Where the mesh knows that one as a service, calls of this one are calls of that one.
    pub alias_of: Option<HostPattern>,
    /// Labels of the workloads behind it; empty if it selects none.
    pub selector: Labels,
    /// Who may see it.
    pub export_to: ExportTo,
    /// Whether it lies outside of the mesh (a ServiceEntry with `location: MESH_EXTERNAL`), so that nothing there speaks our mTLS.
    pub external: bool,
    /// Names of which its servers must show one, whatever is known of the endpoints. Empty if it does not say.
    pub subject_alt_names: Vec<Arc<str>>,
    /// Whether addresses that are not ready are published too.
    pub publish_not_ready: bool,
    /// What is outside of the cluster reaches it so.
    pub outside: Outside,
    /// Seconds since the epoch at which its object was made: among conflicting objects the oldest wins.
    pub created: i64,
}

/// How a client finds an endpoint of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// The proxy balances over the endpoints that it is told (EDS).
    Eds,
    /// The proxy goes to the address that the client asked for: headless services, ServiceEntries without resolution.
    Passthrough,
    /// The proxy resolves the endpoints' names by DNS.
    Dns,
    /// The same, using one address of the answer at a time.
    DnsRoundRobin,
    /// The proxy resolves the name that each request or TLS connection asks for.
    DynamicDns,
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name; empty for the unnamed one.
    pub name: Arc<str>,
    /// The number that clients call.
    pub number: u16,
    /// What workloads listen on.
    pub target: TargetPort,
    /// What is spoken.
    pub protocol: Protocol,
}

/// What workloads listen on for a service port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// A number.
    Number(u16),
    /// The name of a container's port.
    Name(Arc<str>),
}

impl Service {
    /// The port of that number.
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|p| p.number == number)
    }
}
