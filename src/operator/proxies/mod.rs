//! Which pods lack the sidecar that they should have, or have an old one, and what is done about it.
//!
//! While this operator leads it watches the metadata of all pods and namespaces, and holds them against the webhook configuration as the
//! cluster has it and against the injector's own decision, and asks pilots how many have what they are told. What it finds goes into the MeshInstall's status, into metrics, and as an event
//! to the owner of each missed pod. Only where the MeshInstall asks for it, it restarts workloads, a few at a time. It never touches a pod,
//! and no workload that isn't told of.
//!
//! ```text
//! pods, namespaces ──▶ watch ──▶ find ──▶ report ──▶ status, events
//!       reconciler ──▶ Wanted ────┘ └──▶ owners ──▶ cause ──▶ roll ──▶ workloads
//! ```
//!
//! [`Proxies::run`] is the operator's entry; [`link`] makes one with its ends for the reconciler. [`Rollouts`] is the command line's: the
//! same judgement and the same limits, without a watch.

mod cause;
mod find;
mod once;
mod owners;
mod report;
mod restart;
mod roll;
mod synced;
mod watch;
mod work;
mod workload;

pub use once::{LiveInjector, Look, Outlier, Pass, Rollouts};
pub(super) use report::Tally;
pub use restart::RestartError;
pub(super) use synced::Synced;

use kube::Client;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};
use tokio::sync::watch as channel;

use super::{metrics::Metrics, settings::Rolling};
use crate::injector::Entry;
use crate::model::InjectionValues;
use crate::runtime::Term;

/// What the reconciler knows and this needs: how pods of one revision should be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wanted {
    /// What the cluster's webhook configuration asks the injector about.
    pub(super) entries: Vec<Entry>,
    /// What the injector is told.
    pub(super) values: InjectionValues,
    /// Whether it answers.
    pub(super) injector_ready: bool,
    /// How workloads are restarted; none if their owners do it.
    pub(super) rolling: Option<Rolling>,
    /// Where its pilots' metrics are.
    pub(super) pilots: Vec<SocketAddr>,
    /// How many pods of gateways the mesh itself has with it.
    pub(super) gateways: usize,
}

/// How pods of each revision should be; empty while there is no mesh.
pub(super) type AllWanted = BTreeMap<String, Wanted>;
/// What was found of each revision; empty while nothing is known.
pub(super) type Tallies = BTreeMap<String, Arc<Tally>>;

/// Looks after the proxies, while this operator leads.
pub(super) struct Proxies {
    client: Client,
    /// This operator's pod, for events.
    pod: String,
    metrics: Metrics,
    wanted: channel::Receiver<Arc<AllWanted>>,
    found: channel::Sender<Arc<Tallies>>,
}

/// The reconciler's ends.
pub(super) struct ProxyLink {
    pub(super) wanted: channel::Sender<Arc<AllWanted>>,
    pub(super) found: channel::Receiver<Arc<Tallies>>,
}

/// One who looks after the proxies, and the ends by which he is told what to look for and tells what he found.
pub(super) fn link(client: Client, pod: &str, metrics: Metrics) -> (Proxies, ProxyLink) {
    let (tell, wanted) = channel::channel(Arc::default());
    let (found, hear) = channel::channel(Arc::default());
    (Proxies { client, pod: pod.to_owned(), metrics, wanted, found }, ProxyLink { wanted: tell, found: hear })
}

// === impl Proxies ===

impl Proxies {
    /// Works for ever; dropped when the term ends. Nothing is watched before the mesh is installed, or the operator would lack the right
    /// to.
    pub(super) async fn run(mut self, term: &Term) {
        loop {
            if self.wanted.wait_for(|wanted| !wanted.is_empty()).await.is_err() {
                // The reconciler is gone, and this goes with it.
                std::future::pending::<()>().await;
            }
            work::Work::new(&self, term).run(&mut self.wanted.clone()).await;
            self.found.send_replace(Arc::default());
        }
    }
}

// === impl ProxyLink ===

impl ProxyLink {
    /// Tells what to look for.
    pub(super) fn want(&self, wanted: AllWanted) {
        self.wanted.send_if_modified(|current| {
            if **current == wanted {
                return false;
            }
            *current = Arc::new(wanted);
            true
        });
    }
}
