//! To which workloads a policy of security, telemetry or extensions is attached.

use std::sync::Arc;

use super::Labels;

/// The workloads of a policy.
#[derive(Clone, Debug, PartialEq)]
pub enum PolicyTarget {
    /// Those with these labels; all of the namespace if there are none, or of the mesh if the policy is in the root namespace.
    Workloads(Labels),
    /// Those that serve one of these resources of the policy's namespace.
    Resources(Vec<TargetResource>),
}

/// A resource to which a policy is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetResource {
    /// What it is.
    pub kind: TargetKind,
    /// Its name.
    pub name: Arc<str>,
}

/// The kinds of resources to which a policy can be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetKind {
    /// A gateway of the Gateway API.
    Gateway,
    /// All gateways of a class of the Gateway API.
    GatewayClass,
    /// A Service of Kubernetes.
    Service,
    /// A ServiceEntry.
    ServiceEntry,
}
