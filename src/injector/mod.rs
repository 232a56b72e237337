//! Does this pod get a sidecar, and which? The mutating webhook for pods.
//!
//! It watches nodes (to know whether every kubelet can run native sidecar containers), reads the mesh's configuration and its own
//! values from files, and answers the API server from memory. It never calls the API server to answer, never reads Secrets, and never
//! denies a pod but for an annotation of ours that cannot be understood.
//!
//! [`decide`] and [`inject`] are pure; [`run`] serves them.

mod annotations;
mod container;
mod decide;
mod inject;
mod nodes;
mod pod;
mod probes;
mod workload;

#[cfg(test)]
mod tests;

pub use annotations::{AnnotationError, InterceptionMode, SidecarOptions};
pub use decide::{Decision, Skip, decide};
pub use inject::{InjectError, Template, inject};
pub use nodes::NativeSidecars;
