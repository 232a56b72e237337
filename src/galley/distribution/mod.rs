//! Distribution: pilot gets the mesh's configuration from here, if it is told to. [`crate::mcp`] says how it travels.
//!
//! What is served are consistent states of what the index has taken in, never before it knows all kinds. Nobody but pilot is answered.
//!
//! ```text
//! index ══ CarriedObjects ══ watch ══▶ conversation (one a stream) ──▶ pilot
//!                                       └ session: what does it miss?
//! ```

mod conversation;
mod metrics;
mod server;
mod session;
#[cfg(test)]
mod tests;

use axum::Router;
use tokio::sync::watch;

use self::{metrics::Metrics, server::Distributor};
use crate::index::CarriedObjects;
use crate::model::SpiffeId;
use crate::runtime::{CertificateSource, Limits, Listener, Registry, Security, Shutdown, Tasks};

/// What the distribution is told.
#[derive(Clone, Debug)]
pub struct DistributionConfig {
    /// The own certificate. Readers are believed by the same roots.
    pub certificate: CertificateSource,
    /// The service account that may read, of the own namespace and trust domain: pilot's.
    pub reader: String,
}

/// Few: a handful of pilots, each with one connection. Whoever else comes by is sent away, and his connection is closed.
const LIMITS: Limits = Limits { connections: 256, streams: 4, ..Limits::DEFAULT };

/// Serves the states of `objects` by mutual TLS until shutdown.
pub(super) fn start(
    config: DistributionConfig,
    objects: watch::Receiver<Option<CarriedObjects>>,
    listener: Listener,
    tasks: &mut Tasks,
    registry: &mut Registry,
) {
    let shutdown = tasks.shutdown();
    let routes = routes(&config, objects, Metrics::registered(registry), shutdown.clone());
    tasks.spawn("distribution", listener.serve(routes, Security::Mutual(config.certificate), LIMITS, shutdown));
}

fn routes(config: &DistributionConfig, objects: watch::Receiver<Option<CarriedObjects>>, metrics: Metrics, shutdown: Shutdown) -> Router {
    let (certificate, account) = (config.certificate.clone(), config.reader.clone());
    // Known once there is a certificate, and before that nobody gets here.
    let reader = move || {
        let own = certificate.borrow().as_ref().map(|own| own.identity.clone())?;
        Some(SpiffeId::new(&own.trust_domain, &own.namespace, &account))
    };
    Distributor::new(reader, objects, metrics, shutdown).into_router()
}
