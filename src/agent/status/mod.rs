//! The agent's port (15020): health, merged metrics, the kubelet's probes in the application's place, the way to end the pod's proxy.

mod control;
mod merge;
mod metrics;
mod probe;
mod probing;
mod ready;
#[cfg(test)]
mod tests;
mod tls;

pub use metrics::AppMetrics;
pub use probe::{Probe, ProbeError, parse_probes};
pub use ready::wait_until_ready;

use axum::{
    Router,
    routing::{any, get, post},
};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::mpsc;

use super::{EnvoyAdmin, Order, grpc::Grpc};
use crate::runtime::{CertificateSource, Registry};
use metrics::ScrapeFailures;

/// What the port's answers are made of.
#[derive(Debug)]
pub(super) struct Status {
    /// What serves the application.
    pub(super) serving: Serving,
    /// The workload's certificate.
    pub(super) certificate: CertificateSource,
    /// The pod's address, at which its application listens.
    pub(super) address: IpAddr,
    /// The application's probes by the path under which they are answered here.
    pub(super) probes: BTreeMap<String, Probe>,
    /// The application's own metrics.
    pub(super) app_metrics: Option<AppMetrics>,
    /// The agent's own metrics.
    pub(super) registry: Registry,
    /// Scrapes that failed.
    pub(super) failures: ScrapeFailures,
    /// The supervisor.
    pub(super) orders: mpsc::Sender<Order>,
    /// Whether the proxy is on its way out.
    pub(super) draining: Draining,
}

/// What serves the application, and says how it is.
#[derive(Clone, Debug)]
pub(super) enum Serving {
    /// Envoy.
    Envoy(EnvoyAdmin),
    /// Its own gRPC library, with what the agent has for it.
    Grpc(Grpc),
}

/// Whether the proxy is on its way out. Cheap to clone; once set, it stays.
#[derive(Clone, Debug, Default)]
pub(super) struct Draining(Arc<AtomicBool>);

// === impl Draining ===

impl Draining {
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The routes for [`crate::runtime::Listener::serve`].
pub(super) fn routes(status: Status) -> Router {
    Router::new()
        .route("/healthz/ready", get(ready::ready))
        .route("/stats/prometheus", get(metrics::metrics))
        .route("/app-health/{*probe}", any(probing::probe))
        .route("/app-lifecycle/{*hook}", any(probing::probe))
        .route("/quitquitquit", post(control::quit))
        .route("/drain", post(control::drain))
        .with_state(Arc::new(status))
}

pub(super) use metrics::register;
