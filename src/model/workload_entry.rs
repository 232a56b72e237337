//! A WorkloadEntry as it was parsed: a workload outside of Kubernetes.

use super::{ObjectRef, ServiceEntryEndpoint};

/// A workload that Services and ServiceEntries of its namespace may select by its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadEntry {
    /// The object.
    pub origin: ObjectRef,
    /// How it is reached, with the labels of the object itself among its own.
    pub endpoint: Option<ServiceEntryEndpoint>,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}
