//! A PeerAuthentication as it was parsed: which callers a workload accepts.

use std::collections::BTreeMap;

use super::{Labels, ObjectRef};

/// mTLS that workloads ask of their callers.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerAuthentication {
    /// The object.
    pub origin: ObjectRef,
    /// Labels of its workloads; empty for the namespace, or the mesh if it is in the root namespace.
    pub selector: Labels,
    /// The mode; `None` inherits it.
    pub mode: Option<MtlsMode>,
    /// Modes of single workload ports.
    pub ports: BTreeMap<u16, Option<MtlsMode>>,
    /// Seconds since the epoch at which the object was made: of two for the same scope the oldest holds.
    pub created: i64,
}

/// What a workload accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MtlsMode {
    /// Plain text alone.
    Disable,
    /// Both: the default.
    Permissive,
    /// mTLS alone.
    Strict,
}
