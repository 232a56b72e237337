//! The mesh's certificate authority: who are you, and which certificate may you have?
//!
//! It watches the Secrets `istio-ca-secret` and `cacerts` of its own namespace, and as leader every namespace and every ConfigMap
//! `istio-ca-root-cert`. It answers CSRs of callers whose service account token the API server confirms, and names them by that alone:
//! nothing that a request asks for but its public key and (as an upper bound) its lifetime reaches a certificate. It never makes a
//! second root while it knows a first one, and never takes one whose key and certificate do not belong together.
//!
//! ```text
//! Secret ──▶ roots ══ Arc<Authority> ══▶ issue (gRPC 15012) ◀── authenticate ◀── TokenReview
//!                          ╠══▶ serving (its own certificate)
//!                          ╚══▶ distribute (leader: ConfigMap in every namespace)
//! ```

mod authenticate;
mod authority;
mod csr;
mod distribute;
mod issue;
mod metrics;
mod roots;
mod serving;
#[cfg(test)]
mod tests;

pub use authority::AuthorityError;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

use self::{
    authenticate::Authenticator, authority::Authority, distribute::Distributor, issue::Issuance, metrics::Metrics, roots::Roots,
    serving::Serving,
};
use crate::model::SpiffeId;
use crate::runtime::{Elector, LeaseConfig, LeaseMaker, LeaseTiming, Limits, Listener, Readiness, Registry, Tasks};

/// What citadel is told.
#[derive(Clone, Debug)]
pub struct CitadelConfig {
    /// The namespace of the control plane: of the root's Secret, and the first to get the root.
    pub namespace: String,
    /// This replica's pod.
    pub pod: String,
    /// The first part of every identity.
    pub trust_domain: String,
    /// Lifetime of a certificate whose request names none.
    pub default_lifetime: Duration,
    /// The longest lifetime; a request for a longer one is granted this one.
    pub max_lifetime: Duration,
    /// The mesh's MeshInstall, which owns the ConfigMaps, so that they go with it. None for a citadel outside of an installation.
    pub owner: Option<OwnerReference>,
}

/// The current authority; none until the root is there.
type AuthoritySource = watch::Receiver<Option<Arc<Authority>>>;

/// What everything that citadel writes is named after.
const NAME: &str = "istio-citadel";

/// Starts citadel's tasks. They end with `tasks`; `readiness` turns good once it can sign and its own namespace has the root.
pub fn start(config: CitadelConfig, client: Client, listener: Listener, tasks: &mut Tasks, readiness: &Readiness, registry: &mut Registry) {
    let metrics = Metrics::registered(registry);
    let shutdown = tasks.shutdown();

    let (roots, authority) = Roots::new(client.clone(), &config.namespace, &config.trust_domain, metrics.clone());
    tasks.spawn("roots", roots.run(readiness.wait_for("root certificate"), shutdown.clone()));

    let lease = LeaseConfig {
        namespace: config.namespace.clone(),
        name: NAME.to_owned(),
        identity: config.pod.clone(),
        maker: LeaseMaker::Operator,
        timing: LeaseTiming::default(),
    };
    let (elector, leadership) = Elector::new(client.clone(), lease);
    tasks.spawn("lease", elector.run(tasks.handover()));

    let distributor = Distributor::new(client.clone(), &config, authority.clone(), metrics.clone());
    tasks.spawn("own root", distributor.clone().await_own_namespace(readiness.wait_for("root in own namespace"), shutdown.clone()));
    tasks.spawn("distribution", distributor.run(leadership, tasks.handover()));

    let identity = SpiffeId::new(&config.trust_domain, &config.namespace, NAME);
    let (serving, security) = Serving::new(identity, authority.clone(), config.default_lifetime.min(config.max_lifetime));
    tasks.spawn("serving certificate", serving.run(shutdown.clone()));

    let issuance = Issuance::new(Authenticator::new(client, &config.trust_domain), authority, &config, metrics);
    tasks.spawn("issuance", listener.serve(issuance.routes(), security, Limits::default(), shutdown));
}
