//! A ServiceEntry as it was parsed; `index` turns it into [`super::Service`]s and their endpoints.

use std::{net::IpAddr, sync::Arc};

use super::{ExportTo, HostPattern, Labels, ObjectRef, Resolution, ServicePort, TargetPort};

/// A declaration of hosts that Kubernetes does not know.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceEntry {
    /// The object.
    pub origin: ObjectRef,
    /// Its hosts.
    pub hosts: Vec<HostPattern>,
    /// Its virtual addresses and ranges (a single address is a /32 or /128).
    pub addresses: Vec<ipnet::IpNet>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Inside or outside of the mesh.
    pub location: Location,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// Names of which servers must show one; empty for any.
    pub subject_alt_names: Vec<Arc<str>>,
    /// Whether the mesh gives the hosts addresses, should there be none.
    pub automatic_addresses: bool,
    /// The addresses that its status says were given to its hosts.
    pub given_addresses: Vec<(HostPattern, IpAddr)>,
    /// Endpoints that it names itself.
    pub endpoints: Vec<ServiceEntryEndpoint>,
    /// Labels of workloads behind it; `None` if it names its endpoints or has none.
    pub workload_selector: Option<Labels>,
    /// Who may see it.
    pub export_to: ExportTo,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}

/// Where the hosts live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Location {
    /// Outside: no mTLS is expected there.
    #[default]
    External,
    /// Inside: workloads there have identities.
    Internal,
}

/// An endpoint that a ServiceEntry names.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceEntryEndpoint {
    /// An IP address, a host name, or a socket as [`UNIX_SOCKET`](super::UNIX_SOCKET) and its path; empty where its network's gateway alone
    /// knows it.
    pub address: Arc<str>,
    /// Port numbers by service port name, where they differ from the service's own.
    pub ports: Vec<(Arc<str>, u16)>,
    /// Labels, its network's among them.
    pub labels: Labels,
    /// Relative weight; 0 counts as 1.
    pub weight: u32,
    /// `region/zone/subzone`; empty if not given.
    pub locality: Arc<str>,
    /// The service account that it runs as, if it has an identity.
    pub service_account: Option<Arc<str>>,
}

/// The label by which an endpoint says whether a sidecar answers mTLS for it.
const TLS_MODE: &str = "security.istio.io/tlsMode";

// === impl ServiceEntryEndpoint ===

impl ServiceEntryEndpoint {
    /// Whether it answers the mesh's mTLS: as its label says; without one, if it has an identity.
    pub fn speaks_mtls(&self) -> bool {
        self.labels.get(TLS_MODE).map_or(self.service_account.is_some(), |mode| mode == "istio")
    }

    /// The port at which it serves a port of a service: its own for that name, else the one that the service's port targets. `None` if
    /// the latter is a name that the endpoint does not know.
    pub fn port_of(&self, port: &ServicePort) -> Option<u16> {
        let own = |wanted: &Arc<str>| self.ports.iter().find(|(name, _)| name == wanted).map(|(_, number)| *number);
        own(&port.name).or_else(|| match &port.target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(name) => own(name),
        })
    }
}
