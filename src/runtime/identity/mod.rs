//! The workload's own certificate: asked for at citadel, renewed long before it expires.
//!
//! Used by the agent of each pod and by pilot. The key is made here and never leaves the process but into the pod's own Envoy.

mod certificate;
mod client;
mod schedule;
#[cfg(test)]
mod tests;

pub use certificate::WorkloadCert;
pub use client::{IdentityClient, IdentityConfig, IdentityError};

use std::sync::Arc;
use tokio::sync::watch;

/// The current certificate; none until the first one has been issued.
pub type CertificateSource = watch::Receiver<Option<Arc<WorkloadCert>>>;
