//! The xDS server: who is connected, what did they acknowledge, what do they miss?
//!
//! It watches nothing itself: its single entry, [`start`], is given the mesh's snapshots and what changed between them. It serves delta
//! ADS by mutual TLS, to proxies whose certificate proves what they say about themselves, and never before the mesh is known. It never
//! decides what a proxy gets; that is the compiler's. What proxies refuse it traces to the object at fault, which is then withheld from
//! all of them until it changes, and whose status says so.
//!
//! ```text
//! snapshots ──▶ quarantine ──▶ hub (compiler) ══ watch, one a proxy ══▶ serve::session ──▶ Envoy
//!                  ▲              ▲                                       │ ACK, NACK
//!                  │              └── node: is it who it says it is?      ├▶ connections ──▶ debug
//! problems ◀── hub::blame ◀══════════════ reports ════════════════════════┘
//!     └──▶ status ──▶ each object's condition `Programmed`
//! ```

mod connections;
mod debug;
mod hub;
mod metrics;
mod node;
mod problems;
mod quarantine;
mod reports;
mod serve;
mod status;
#[cfg(test)]
mod tests;

pub use debug::DebugAccess;

use std::{convert::Infallible, sync::Arc};

use axum::Router;
use futures::Stream;

use self::{connections::Connections, hub::Hub, metrics::Metrics, problems::Problems, serve::Server, status::StatusWriter};
use crate::index::{NeededSecrets, SnapshotSource};
use crate::model::{Changes, Snapshot};
use crate::runtime::{CertificateSource, Limits, Listener, Readiness, Registry, Security, Tasks};

/// What pilot is told.
#[derive(Clone, Debug)]
pub struct PilotConfig {
    /// Its own certificate, which its connections show.
    pub certificate: CertificateSource,
    /// This pod's name.
    pub pod: String,
}

/// Starts pilot's tasks. They end with `tasks`; `readiness` turns good once pilot has a certificate and knows the mesh.
///
/// Returns the debug pages, for the monitoring port. They answer to loopback alone until [`DebugAccess::open`] lets others in.
pub fn start(
    config: PilotConfig,
    kubernetes: kube::Client,
    mesh: SnapshotSource,
    listener: Listener,
    tasks: &mut Tasks,
    readiness: &Readiness,
    registry: &mut Registry,
) -> Router {
    let services = debug::mesh(mesh.clone());
    let (metrics, problems) = (Metrics::registered(registry), Problems::new());
    let statuses = StatusWriter::new(kubernetes, mesh.verdicts(), &problems, &config.pod, metrics.clone()).knowing(mesh.standings());
    tasks.spawn("status", statuses.run(tasks.shutdown()));
    let needed = mesh.needed_secrets();
    let told = (Connections::registered(metrics, registry), problems);
    serve_with(config.certificate, mesh.into_stream(), needed, listener, tasks, readiness, told).merge(services)
}

/// The same, with a certificate and snapshots from elsewhere.
///
/// `snapshots` gives the latest snapshot and all that changed since the one that it gave before, everything at first; it is asked for the
/// next one only when the last one has been worked in. `needed` is told which Secrets proxies need.
fn serve_with<S>(
    certificate: CertificateSource,
    snapshots: S,
    needed: NeededSecrets,
    listener: Listener,
    tasks: &mut Tasks,
    readiness: &Readiness,
    (connections, problems): (Connections, Problems),
) -> Router
where
    S: Stream<Item = (Arc<Snapshot>, Changes)> + Send + 'static,
{
    let (metrics, shutdown) = (connections.metrics().clone(), tasks.shutdown());
    let (hub, task) = Hub::new(metrics.clone(), needed, problems, readiness.wait_for("the mesh's configuration"));
    tasks.spawn("hub", task.run(snapshots, shutdown.clone()));

    let (guard, mut issued, ended) = (readiness.wait_for("own certificate"), certificate.clone(), shutdown.clone());
    tasks.spawn("own certificate", async move {
        tokio::select! {
            () = ended.requested() => return Ok::<_, Infallible>(()),
            Ok(_) = issued.wait_for(Option::is_some) => drop(guard),
        }
        ended.requested().await;
        Ok(())
    });

    // A proxy has one stream; more would only let one certificate ask for many configurations at a time.
    let limits = Limits { streams: 4, ..Limits::default() };
    let routes = serve::routes(Server::new(hub, connections.clone(), metrics, shutdown.clone()));
    tasks.spawn("xds", listener.serve(routes, Security::Mutual(certificate), limits, shutdown));
    debug::routes(connections)
}
