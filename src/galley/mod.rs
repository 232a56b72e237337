//! May this object be stored? The validating webhook for the mesh's configuration.
//!
//! It reads an object as pilot will read it, with the same parsers, and refuses what pilot would not understand, with everything that is
//! wrong in one message. What is doubtful but legal, or does not fit the rest of the mesh, is a warning. Objects that are stored all the same, past the webhook, are told by
//! their status. It answers from memory: no request waits for the API server. It never sees a MeshInstall: that is the operator's to
//! judge. If it is told to, it also distributes the configuration to pilot ([`DistributionConfig`]).
//!
//! [`start`] serves it:
//!
//! ```text
//! API server ──▶ webhook (/validate) ──▶ config::parse_object ──▶ review ──▶ allowed, with warnings, or denied
//!                                                                   ▲ World
//! watches ──▶ index ══ Arc<Snapshot>, Changes ══════════════════════╯
//!               ├═════ Verdicts ══▶ status ──▶ each object's status, and events
//!               ╰═════ CarriedObjects ══▶ distribution ──▶ pilot
//! ```

#[cfg(test)]
mod agreement;
mod distribution;
mod metrics;
mod review;
mod status;
mod webhook;

#[cfg(test)]
mod tests;

pub use distribution::DistributionConfig;

use axum::Router;
use kube::Client;
use std::{path::PathBuf, time::Duration};

use self::{
    metrics::{Metrics, StatusMetrics},
    review::KnownMesh,
    status::StatusWriter,
    webhook::Webhook,
};
use crate::config::ParseContext;
use crate::index::{self, ConfigSource, IndexConfig, Purpose};
use crate::model::{of_revision, served_revision};
use crate::runtime::{
    CertificateFiles, Elector, LeaseConfig, LeaseMaker, LeaseTiming, Limits, Listener, Readiness, Registry, Tasks, admission_route,
};

/// What galley is told.
#[derive(Debug)]
pub struct GalleyConfig {
    /// The folder with the serving certificate: `tls.crt` and `tls.key`.
    pub certificates: PathBuf,
    /// The file with the mesh's settings (MeshConfig in YAML); the defaults hold while it is absent.
    pub mesh_config: PathBuf,
    /// How often these files are looked at for changes.
    pub reread: Duration,
    /// The control plane's namespace.
    pub namespace: String,
    /// This pod's name.
    pub pod: String,
    /// The DNS domain of the cluster, under which short host names are looked for.
    pub cluster_domain: String,
    /// The control plane's revision; empty for the default one.
    pub revision: String,
    /// How the configuration is distributed, and where; none if it is not.
    pub distribution: Option<(DistributionConfig, Listener)>,
}

/// The lease by which galley's replicas agree on one that writes statuses, in the default revision.
const LEASE: &str = "istio-galley";

/// Starts galley's tasks. They end with `tasks`; `readiness` turns good once there is a certificate: what the cluster holds is not waited
/// for, because an answer from the object alone is better than none.
pub fn start(config: GalleyConfig, client: Client, listener: Listener, tasks: &mut Tasks, readiness: &Readiness, registry: &mut Registry) {
    let shutdown = tasks.shutdown();

    let (certificate, security) = CertificateFiles::new(config.certificates, config.reread, registry);
    tasks.spawn("serving certificate", certificate.run(readiness.wait_for("serving certificate"), shutdown.clone()));

    let index = IndexConfig {
        mesh_config: config.mesh_config,
        mesh_config_interval: config.reread,
        cluster_domain: config.cluster_domain.clone(),
        purpose: if config.distribution.is_some() { Purpose::Distribution } else { Purpose::Review },
        source: ConfigSource::Kubernetes,
        revision: config.revision.clone(),
    };
    let source = index::start(client.clone(), index, tasks, &Readiness::new(), registry);
    if let Some((distribution, listener)) = config.distribution {
        distribution::start(distribution, source.carried(), listener, tasks, registry);
    }
    let mesh = KnownMesh::default();
    tasks.spawn("review of the mesh", mesh.clone().follow(source.clone(), shutdown.clone()));
    // During an upgrade two control planes serve the same configuration, and authors are to hear one voice.
    let name = of_revision(LEASE, served_revision(&config.revision));
    let lease = LeaseConfig {
        namespace: config.namespace,
        name,
        identity: config.pod.clone(),
        maker: LeaseMaker::Operator,
        timing: LeaseTiming::default(),
    };
    let (elector, leadership) = Elector::new(client.clone(), lease);
    tasks.spawn("lease", elector.run(tasks.handover()));
    let statuses = StatusWriter::new(client, source.verdicts(), &config.pod, StatusMetrics::registered(registry));
    tasks.spawn("status", statuses.run(leadership, tasks.handover()));

    let context = ParseContext { cluster_domain: config.cluster_domain, ..ParseContext::default() };
    let routes = answers(context, mesh, registry);
    tasks.spawn("webhook", listener.serve(routes, security, Limits::webhook(), shutdown));
}

/// What [`start`] serves while nothing is known of the cluster: the webhook, whose answers then depend on `context` and the question
/// alone. Its metrics go to `registry`.
pub fn routes(context: ParseContext, registry: &mut Registry) -> Router {
    answers(context, KnownMesh::default(), registry)
}

fn answers(context: ParseContext, mesh: KnownMesh, registry: &mut Registry) -> Router {
    let webhook = Webhook { context, mesh, metrics: Metrics::registered(registry) };
    admission_route("/validate", move |request| webhook.answer(&request))
}
