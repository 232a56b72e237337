//! A Sidecar as it was parsed: what of the mesh a workload's proxy needs to know.

use std::sync::Arc;

use super::{HostPattern, Labels, ObjectRef, OutboundTrafficMode};

/// Narrows the configuration of the workloads that it selects.
#[derive(Clone, Debug, PartialEq)]
pub struct Sidecar {
    /// The object.
    pub origin: ObjectRef,
    /// Labels of its workloads; empty for all of the namespace.
    pub selector: Labels,
    /// What the proxy may reach; `None` for everything.
    pub egress: Option<Vec<EgressListener>>,
    /// What happens to other traffic; `None` for the mesh's setting.
    pub outbound_traffic: Option<OutboundTrafficMode>,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
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
