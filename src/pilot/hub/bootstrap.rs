//! What users change in the configuration with which proxies start.

use std::collections::BTreeSet;

use envoy_api::envoy::config::bootstrap::v3::Bootstrap;
use tokio::sync::oneshot;

use super::{Hub, HubTask, JoinError};
use crate::compile::Fault;
use crate::pilot::node::{Claims, NodeError};

/// A proxy that is about to start.
#[derive(Debug)]
pub(super) struct Starting {
    claims: Claims,
    own: Box<Bootstrap>,
    answer: oneshot::Sender<Result<Changed, BootstrapError>>,
}

/// A configuration with the changes that hold for it.
#[derive(Debug)]
pub(in crate::pilot) struct Changed {
    pub(in crate::pilot) bootstrap: Bootstrap,
    /// What can't be applied.
    pub(in crate::pilot) faults: BTreeSet<Fault>,
}

/// Why a proxy's configuration is not changed.
#[derive(Debug, thiserror::Error)]
pub(in crate::pilot) enum BootstrapError {
    /// Its node is not served, or the process ends.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// Nobody knows yet what users want.
    #[error("the mesh is not known yet")]
    Unknown,
}

// === impl Hub ===

impl Hub {
    /// A proxy's configuration with what users change in it.
    ///
    /// # Errors
    /// When the mesh is not known yet, the proxy's pod belongs to another identity, or the process ends.
    pub(in crate::pilot) async fn change_bootstrap(&self, claims: Claims, own: Bootstrap) -> Result<Changed, BootstrapError> {
        let (answer, answered) = oneshot::channel();
        let starting = Starting { claims, own: Box::new(own), answer };
        self.starting.send(starting).await.map_err(|_| JoinError::Ended)?;
        answered.await.map_err(|_| JoinError::Ended)?
    }
}

// === impl HubTask ===

impl HubTask {
    /// Answers a proxy that is about to start.
    pub(super) fn change_bootstrap(&self, starting: Starting) {
        let Starting { claims, own, answer } = starting;
        let changed = self.compiler.as_ref().ok_or(BootstrapError::Unknown).and_then(|compiler| {
            let workload = compiler.snapshot().workloads.get(&claims.key);
            let proxy = claims.proxy(workload.map(|workload| &**workload)).map_err(|error: NodeError| JoinError::from(error))?;
            let (bootstrap, faults) = compiler.bootstrap(&proxy, *own);
            Ok(Changed { bootstrap, faults })
        });
        // Whoever does not wait for the answer needs none.
        let _ = answer.send(changed);
    }
}
