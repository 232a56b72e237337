//! Which objects make up the mesh, and are they there? The operator of MeshInstalls.
//!
//! It watches MeshInstalls, everything that it made, the pods of that, all webhook configurations (to see another Istio), and what names
//! gateways' Secrets; and the metadata of all pods, for those that lack a sidecar ([`proxies`]). It answers the API server about
//! MeshInstalls, and as leader brings the cluster to the plan: it writes what differs, undoes what others changed, removes what is no
//! longer planned, and says in the status how things stand. It never writes a spec, never deletes what it didn't make, and holds none of
//! the rights that the mesh's parts get: it binds the chart's roles. Everything that it makes belongs to the MeshInstall and goes with it,
//! without a finalizer, so also while no operator runs.
//!
//! ```text
//! MeshInstall ──▶ settings ──▶ plan ──▶ apply ──▶ cluster
//!      ▲          (pure)      (pure)      ▲          │ watches
//!      └── status, events ◀── health ◀── live ◀──────┘
//! ```
//!
//! [`start`] is its single entry.

mod admission;
mod apply;
mod certificates;
mod credentials;
mod difference;
mod events;
mod family;
mod foreign;
mod generate;
mod health;
mod install;
mod intent;
mod live;
mod meshes;
mod metrics;
mod object;
mod outlook;
mod places;
mod plan;
mod planned;
mod probe;
mod proxies;
mod reconcile;
mod refusal;
mod report;
mod roles;
mod serving;
mod settings;
mod status;
#[cfg(test)]
mod tests;
mod watch;

pub use difference::{Difference, applying, between, missing};
pub use generate::{generate, generate_for};
pub use outlook::{Outlook, Prospect, Unreadable};
pub use plan::RENDERED_BY;
pub use proxies::{LiveInjector, Look, Outlier, Pass, RestartError, Rollouts};
#[cfg(test)]
pub(crate) use settings::variables_of;
pub use settings::{Images, Rolling, overlay, profile, spec_problems};
pub use webhook_certs::Source as CertificateSource;

use kube::Client;

use self::{meshes::MeshWatch, metrics::Metrics, reconcile::Reconciler, serving::Serving};
use crate::runtime::{Elector, LeaseConfig, LeaseMaker, LeaseTiming, Limits, Listener, Readiness, Registry, Tasks, admission_route};

/// What the operator is told.
#[derive(Clone, Debug)]
pub struct OperatorConfig {
    /// Where it runs.
    pub namespace: String,
    /// This replica's pod.
    pub pod: String,
    /// The mesh's images, where the MeshInstall names no others.
    pub images: Images,
    /// Who issues the webhooks' certificates.
    pub certificates: CertificateSource,
}

/// The lease of the operator that writes.
const LEASE: &str = "ferromesh-operator";
/// The webhook's path.
const PATH: &str = "/validate-meshinstall";

/// Starts the operator's tasks. They end with `tasks`; `readiness` turns good once the API server has asked the webhook.
pub fn start(
    config: OperatorConfig,
    client: Client,
    listener: Listener,
    tasks: &mut Tasks,
    readiness: &Readiness,
    registry: &mut Registry,
) {
    let metrics = Metrics::registered(registry);
    let shutdown = tasks.shutdown();

    let (watch, meshes) = MeshWatch::new(client.clone());
    tasks.spawn("meshinstalls", watch.run(readiness.wait_for("list of MeshInstalls"), shutdown.clone()));

    let (serving, security) = Serving::new(client.clone(), &config.namespace);
    tasks.spawn("serving certificate", serving.run(readiness.wait_for("serving certificate"), shutdown.clone()));

    let roles = readiness.wait_for("the chart's ClusterRoles");
    tasks.spawn("roles", roles::watch(client.clone(), roles, readiness.clone(), shutdown.clone()));

    let probed = readiness.wait_for("the API server's trust in the webhook");
    tasks.spawn("probe", probe::own_webhook(client.clone(), probed, shutdown.clone()));

    let (images, stored, refused) = (config.images.clone(), meshes.clone(), metrics.refused.clone());
    let answer = move |request: crate::runtime::AdmissionRequest| {
        let response = admission::review(&request, &images, &stored);
        if !response.allowed {
            refused.inc();
        }
        response
    };
    let routes = admission_route(PATH, answer);
    tasks.spawn("admission", listener.serve(routes, security, Limits::webhook(), shutdown.clone()));

    let lease = LeaseConfig {
        namespace: config.namespace.clone(),
        name: LEASE.to_owned(),
        identity: config.pod.clone(),
        maker: LeaseMaker::Candidates,
        timing: LeaseTiming::default(),
    };
    let (elector, leadership) = Elector::new(client.clone(), lease);
    tasks.spawn("lease", elector.run(tasks.handover()));
    tasks.spawn("reconciler", Reconciler::new(client, config, meshes, metrics).run(leadership, tasks.handover()));
}
