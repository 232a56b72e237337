//! A ServiceEntry as it was parsed; `index` turns it into [`super::Service`]s and their endpoints.

use std::sync::Arc;

use super::{ExportTo, HostPattern, Labels, ObjectRef, Resolution, ServicePort};

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
    /// An IP address or a host name.
    pub address: Arc<str>,
    /// Port numbers by service port name, where they differ from the service's own.
    pub ports: Vec<(Arc<str>, u16)>,
    /// Labels.
    pub labels: Labels,
    /// Relative weight; 0 counts as 1.
    pub weight: u32,
    /// `region/zone/subzone`; empty if not given.
    pub locality: Arc<str>,
    /// The service account that it runs as, if it has an identity.
    pub service_account: Option<Arc<str>>,
}
