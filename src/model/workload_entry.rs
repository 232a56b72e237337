//! A WorkloadEntry as it was parsed: a workload outside of Kubernetes.

use std::sync::Arc;

use super::{ObjectRef, ServiceEntryEndpoint};

/// A workload that Services and ServiceEntries of its namespace may select by its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadEntry {
    /// The object.
    pub origin: ObjectRef,
    /// How it is reached, with the labels of the object itself among its own; `None` where the mesh can't: behind another network's
    /// gateway.
    pub endpoint: Option<ServiceEntryEndpoint>,
    /// The network in which it lives; empty if not given.
    pub network: Arc<str>,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}
