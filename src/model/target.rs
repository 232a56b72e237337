//! Which object of the Gateway API, or which service, a policy is for.

use std::sync::Arc;

/// An object of the policy's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetRef {
    /// What sort of object.
    pub kind: TargetKind,
    /// Its name.
    pub name: Arc<str>,
}

/// What sort of object a policy may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetKind {
    /// A Gateway of the Gateway API.
    Gateway,
    /// A GatewayClass, of which a policy of the mesh's own namespace is meant.
    GatewayClass,
    /// A Service of Kubernetes.
    Service,
    /// A ServiceEntry.
    ServiceEntry,
}
